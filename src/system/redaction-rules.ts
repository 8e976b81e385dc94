/**
 * What looks like a secret: by the words of a name, or by the shape of a value. Every pattern begins at a boundary or
 * a literal, and its loops are bounded or can't fail after they have matched: hostile text costs linear time.
 */

/** Told once per masked place, with its kind. */
export type TellMasked = (kind: string) => void;

const NAME_CHARS_MAX = 200;
/** Where a shell stands and stood, by names that sound like a password's. */
const FOLDERS: ReadonlySet<string> = new Set(["PWD", "OLDPWD"]);
const SECRET_WORD =
  /(?:password|passwd|passphrase|passcode|pwd|secrets?|token|credentials?|apikey|secretkey|privatekey|accesskey|authorization|cookie|jwt|sshpass)$/;
/** Most names are ruled out before they are split into words. */
const MAY_BE_SECRET = /pass|pwd|secret|token|credential|key|authorization|cookie|jwt|string|pat/i;
/** Words that are secret only after certain others: `key`, `pass` and `tokens` alone are harmless. */
const SECRET_AFTER = new Map([
  [
    "key",
    wordSet(
      "api access private secret signing signature encryption decryption master account storage auth subscription deploy webhook hmac session ssh service",
    ),
  ],
  ["keys", wordSet("api access private secret signing encryption")],
  [
    "pass",
    wordSet(
      "db database mysql pg postgres redis mongo smtp mail email user admin root ftp ssh auth login proxy registry docker amqp",
    ),
  ],
  ["tokens", wordSet("access refresh auth bearer api")],
  ["string", wordSet("connection")],
  ["pat", wordSet("github gitlab azure devops ado gh bitbucket")],
]);
/** Tokens of a parser, a tokenizer, a page or a price are no credentials. */
const HARMLESS_TOKEN_AFTER = wordSet(
  "page next eos bos pad unk sep cls mask stop special syntax unexpected per design",
);
/** `STRIPE_SECRET_LIVE`, `token_old`: the word before says what it is. */
const QUALIFIERS = wordSet(
  "prod production staging stage dev test live sandbox old new primary secondary backup current default local ci",
);
const QUESTIONS = wordSet("has is needs requires missing");

/**
 * True when a name says that its value is a secret. `session id` is no such name: `sessionId` in `crew.run.created` is
 * Pi's, and no credential.
 */
export function isSecretName(name: string): boolean {
  if (!MAY_BE_SECRET.test(name) || FOLDERS.has(name)) return false;
  const words = wordsOf(name.slice(-NAME_CHARS_MAX));
  while (words.length > 1 && QUALIFIERS.has(words.at(-1) ?? "")) words.pop();
  const last = words.at(-1) ?? "";
  const before = words.at(-2) ?? "";
  if (before !== "" && QUESTIONS.has(words[0] ?? "")) return false;
  if (last === "token" && HARMLESS_TOKEN_AFTER.has(before)) return false;
  return SECRET_AFTER.get(last)?.has(before) ?? SECRET_WORD.test(last);
}

function wordSet(words: string): ReadonlySet<string> {
  return new Set(words.split(" "));
}

function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replace(/([A-Z])([A-Z][a-z])/g, "$1 $2")
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter((word) => word !== "");
}

const PLACEHOLDER =
  /^(?:\[REDACTED:[\w-]+\]?|\*+|<[^>]*>|\$?\{[^}]*\}*|%\w+%|\(not|\(not set\)|none|null|nil|undefined|unset|empty|true|false|yes|no|on|off|string|number|boolean|unknown|any|required|optional|missing|invalid|expired|disabled|enabled|x{3,}|\.{3}|[\^~]?\d+\.\d+\.\d+|(?:process\.env|os\.environ)[\w.[\]"']*)$/i;
const SHELL_VARIABLE = /^\$[A-Z_][A-Z0-9_]*$/;
const PLACEHOLDER_CHARS_MAX = 200;

/** Nothing to hide: a type, a variable, a word for "there is none", what is masked already. */
export function isPlaceholder(value: string): boolean {
  return (
    value === "" || (value.length <= PLACEHOLDER_CHARS_MAX && (PLACEHOLDER.test(value) || SHELL_VARIABLE.test(value)))
  );
}

/** No letter or digit before it, unless that ends an escape of JSON or of a URL, or a colour. */
const START = String.raw`(?<=^|[^A-Za-z0-9]|\\[bfnrt]|\\u[\da-fA-F]{4}|%[\da-fA-F]{2}|\[[\d;]{0,12}m)`;

/** Kind and shape of values that are secret wherever they stand. No capture groups: the place in the list is the group. */
const SHAPES: readonly (readonly [kind: string, shape: string])[] = [
  ["anthropic-key", String.raw`sk-ant-[\w-]{20,}`],
  ["openai-key", String.raw`sk-[\w-]{20,}`],
  ["github-token", String.raw`gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{22,}`],
  ["gitlab-token", String.raw`gl(?:pat|dt|rt|ptt|cbt|ft|oas|agent)-[\w-]{18,}`],
  ["aws-key-id", "(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Z0-9])"],
  ["google-key", String.raw`AIza[\w-]{30,}`],
  ["google-oauth", String.raw`GOCSPX-[\w-]{20,}|ya29\.[\w-]{20,}|1//0[\w-]{30,}`],
  ["slack-token", String.raw`xox[abceoprs](?:\.xox[bp])?-[\w-]{10,}|xapp-[\w-]{10,}`],
  ["stripe-key", "[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{24,}"],
  ["npm-token", "npm_[A-Za-z0-9]{30,}"],
  ["sendgrid-key", String.raw`SG\.[\w-]{16,}\.[\w-]{16,}`],
  ["huggingface-token", "hf_[A-Za-z0-9]{30,}"],
  ["groq-key", "gsk_[A-Za-z0-9]{30,}"],
  ["xai-key", String.raw`xai-\w{30,}`],
  ["vault-token", String.raw`hv[sbr]\.[\w-]{20,}`],
  ["pypi-token", String.raw`pypi-[\w-]{40,}`],
  ["telegram-token", String.raw`\d{8,10}:[\w-]{35}(?![\w-])`],
  ["jwt", String.raw`(?<![._]|\w-)eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*`],
  ["discord-token", String.raw`(?<![._]|\w-)[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,38}`],
  ["shopify-token", "shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"],
  ["digitalocean-token", "do[opr]_v1_[a-f0-9]{40,}"],
  ["grafana-token", "gl(?:sa|c)_[A-Za-z0-9+/=_]{30,}"],
  ["sentry-token", String.raw`sntry[su]_[\w+/=.-]{30,}`],
  ["databricks-token", "dapi[a-f0-9]{32}"],
  ["twilio-key", "SK[a-f0-9]{32}"],
  ["atlassian-token", String.raw`ATATT3[\w=-]{30,}`],
  [
    "vendor-token",
    String.raw`(?:dckr_pat_|dp\.(?:pt|st|ct)\.|lin_api_|ntn_|figd_|pscale_(?:pw|tkn)_|PMAK-|pplx-|pcsk_|NRAK-|sbp_|r8_|rubygems_|HRKU-|sq0(?:atp|csp)-|AGE-SECRET-KEY-1)[A-Za-z0-9_-]{20,}`,
  ],
  ["slack-webhook", String.raw`hooks\.slack\.com/(?:services|workflows|triggers)/[\w/-]{20,}`],
  ["discord-webhook", String.raw`discord(?:app)?\.com/api/webhooks/\d{5,25}/[\w-]{20,}`],
];
const SHAPE = new RegExp(`${START}(?:${SHAPES.map(([, shape]) => `(${shape})`).join("|")})`, "g");

// A body without its END line counts too: the text may have been cut.
const PEM =
  /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[A-Za-z0-9+/=\s\\,:.;()]|-(?!----)){0,20000}(?:-----END [A-Z0-9 ]{0,40}-----)?/g;
// No `/` before the `@`: `http://host:8080/users/@me` holds no password.
const URL_PASSWORD = /(:\/\/(?!\[REDACTED:[\w-]{1,40}\]@)[^\s/@:"'<>]{0,100}:)([^\s/"'<>]{1,300})@/g;
const URL_USER = /(https?:\/\/)([^\s/@:"'<>]{20,300})@/g;
const BEARER = after(String.raw`bearer(?:[ \t+]|%20){1,4}`, String.raw`[\w.~+/=-]{16,}`, "gi");
const CURL_USER = after(
  String.raw`curl\b[^\n]{0,160}?\s(?:-u|--user|--proxy-user)[ =]["']?[^\s:"']{1,64}:`,
  String.raw`[^\s"'\u001b]{1,300}`,
  "g",
);
const URL_SIGNATURE = /([?&](?:sig|signature|x-amz-signature|key)=)([\w%.~+/=-]{20,})/gi;
const SAID = after(
  String.raw`(?:pass(?:word|phrase|code)|secret|token|(?:api|access|secret|private|auth) key)(?:[ \t](?:is|was))?[:=]?[ \t]{1,4}["'\`]?`,
  String.raw`[^\s"'\`\u001b]{6,200}`,
  "gi",
);
const FLAG = /((?<=^|[\s"'`])--?([A-Za-z][\w-]{2,60})\\{0,7}["']?[ \t,]{1,4}\\{0,7}["']?)([^\s"'`\\]{6,300})/g;
const ELEMENT = /(<([A-Za-z][\w.:-]{1,60})>)([^\s<>]{6,300})(?=<\\{0,7}\/)/g;

/** What stands after certain words, which begin at a boundary. */
function after(words: string, value: string, flags: string): RegExp {
  return new RegExp(`(${START.replace("[^A-Za-z0-9]", String.raw`\W`)}${words})(${value})`, flags);
}

/** The text with every value masked that its shape, or what stands right before it, gives away. */
export function maskShapes(text: string, tell: TellMasked): string {
  const mask = (kind: string) => {
    tell(kind);
    return `[REDACTED:${kind}]`;
  };
  const masking =
    (kind: string, fits: (value: string) => boolean, end = "") =>
    (whole: string, before: string, value: string) =>
      isPlaceholder(value) || !fits(value) ? whole : `${before}${mask(kind)}${end}`;
  const named = (kind: string) => (whole: string, before: string, name: string, value: string) =>
    isSecretName(name) && looksRandom(value) && !isPlaceholder(value) ? `${before}${mask(kind)}` : whole;
  return text
    .replace(PEM, () => mask("private-key"))
    .replace(SHAPE, (whole: string, ...groups: unknown[]) => {
      if (!/[A-Z\d]/.test(whole.slice(3))) return whole;
      return mask(SHAPES[groups.findIndex((group) => group !== undefined)]?.[0] ?? "token");
    })
    .replace(
      URL_PASSWORD,
      masking("url-password", () => true, "@"),
    )
    .replace(
      URL_USER,
      masking("url-password", () => true, "@"),
    )
    .replace(
      BEARER,
      masking("bearer", (value) => /\d/.test(value)),
    )
    .replace(
      CURL_USER,
      masking("password", () => true),
    )
    .replace(URL_SIGNATURE, masking("signature", looksRandom))
    .replace(SAID, masking("said", looksRandom))
    .replace(FLAG, named("flag"))
    .replace(ELEMENT, named("element"));
}

/** Not a word of a sentence: six characters or more, letters with digits, no call or path of identifiers. */
export function looksRandom(value: string): boolean {
  return value.length >= 6 && /\d/.test(value) && /[A-Za-z]/.test(value) && !/[(){}]/.test(value);
}
