/**
 * Secrets of the common services, by name and by shape, and what looks like one and is none. Values are made at run
 * time from seeds, and prefixes from pieces, so that no scanner takes this file for a leak.
 */
const UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER = UPPER.toLowerCase();
const DIGITS = "0123456789";
const ALNUM = UPPER + LOWER + DIGITS;
const URL_SAFE = `${ALNUM}-_`;
export const BASE64 = `${ALNUM}+/`;

/** `count` characters of `alphabet`. Begins and ends with a letter or digit, holds a digit: as real ones do. */
export type Make = (alphabet: string, count: number) => string;
interface Kind {
  secret: (make: Make) => string;
  /** Where it stands; without, in every common form. */
  forms?: ((secret: string) => string)[];
}

export const join = (...pieces: string[]) => pieces.join("");
const json = JSON.stringify;
export const ANYWHERE: ((secret: string) => string)[] = [
  (secret) => secret,
  (secret) => `It said ${secret}, then stopped.`,
  (secret) => json({ note: secret }),
  (secret) => json({ log: json({ line: `first\n${secret}\nlast` }) }),
  (secret) => `SOME_SETTING=${secret}`,
  (secret) => `setting: '${secret}'`,
  (secret) => `tool --setting ${secret} --verbose`,
  (secret) => `https://host.example/path?setting=${secret}&page=2`,
  (secret) => `\u001b[31m${secret}\u001b[0m`,
];
const anywhere = (secret: Kind["secret"]): Kind => ({ secret });
const where = (secret: Kind["secret"], ...forms: ((secret: string) => string)[]): Kind => ({ secret, forms });
const password = (make: Make) => make(`${ALNUM}!#%*+^~`, 14);
const opaque = (make: Make) => make(ALNUM, 32);

export const KINDS: Record<string, Kind> = {
  "openai, old": anywhere((make) => join("s", "k-", make(ALNUM, 48))),
  "openai, project": anywhere((make) => join("s", "k-", "proj-", make(URL_SAFE, 80))),
  anthropic: anywhere((make) => join("s", "k-", "ant-api03-", make(URL_SAFE, 90))),
  "github ghp": anywhere((make) => join("gh", "p_", make(ALNUM, 36))),
  "github gho": anywhere((make) => join("gh", "o_", make(ALNUM, 36))),
  "github fine-grained": anywhere((make) => join("github", "_pat_", make(ALNUM, 22), "_", make(ALNUM, 59))),
  gitlab: anywhere((make) => join("gl", "pat-", make(URL_SAFE, 20))),
  "aws id": anywhere((make) => join("AK", "IA", make(`${UPPER}234567`, 16))),
  "gcp key": anywhere((make) => join("AI", "za", make(URL_SAFE, 35))),
  "slack bot": anywhere((make) => join("xo", "xb-", make(DIGITS, 12), "-", make(DIGITS, 12), "-", make(ALNUM, 24))),
  "slack hook": where(
    (make) => join("T", make(UPPER, 8), "/B", make(UPPER, 8), "/", make(ALNUM, 24)),
    (secret) => join("https://hooks.", "slack.com/services/", secret),
    (secret) => json({ hook: join("https://hooks.", "slack.com/services/", secret) }),
  ),
  stripe: anywhere((make) => join("s", "k_", "live_", make(ALNUM, 24))),
  npm: anywhere((make) => join("np", "m_", make(ALNUM, 36))),
  sendgrid: anywhere((make) => join("S", "G.", make(URL_SAFE, 22), ".", make(URL_SAFE, 43))),
  huggingface: anywhere((make) => join("h", "f_", make(ALNUM, 34))),
  jwt: anywhere((make) => join("ey", "J", make(ALNUM, 20), ".", "ey", "J", make(ALNUM, 60), ".", make(URL_SAFE, 43))),
  "google oauth": anywhere((make) => join("GOC", "SPX-", make(URL_SAFE, 28))),
  telegram: anywhere((make) => join(make("123456789", 9), ":AA", make(URL_SAFE, 33))),
  groq: anywhere((make) => join("gs", "k_", make(ALNUM, 52))),
  xai: anywhere((make) => join("xa", "i-", make(ALNUM, 80))),
  vault: anywhere((make) => join("hv", "s.", make(URL_SAFE, 90))),
  pypi: anywhere((make) => join("py", "pi-", "AgEIcHlwaS5vcmc", make(URL_SAFE, 120))),
  discord: anywhere((make) => join("M", make(ALNUM, 23), ".", make(ALNUM, 6), ".", make(URL_SAFE, 38))),
  pem: where(
    (make) => make(BASE64, 64),
    (secret) => pem(secret),
    (secret) => json({ file: pem(secret) }),
    (secret) => json({ log: json({ file: pem(secret) }) }),
    (secret) => pem(secret).slice(0, -40),
  ),
  "aws secret": where(
    (make) => make(BASE64, 40),
    (secret) => `AWS_SECRET_ACCESS_KEY=${secret}`,
    (secret) => `export AWS_SECRET_ACCESS_KEY="${secret}"`,
    (secret) => `aws_secret_access_key = ${secret}`,
    (secret) => json({ Credentials: { SecretAccessKey: secret } }),
  ),
  "azure account key": where(
    (make) => `${make(BASE64, 86)}==`,
    (secret) => `DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=${secret};EndpointSuffix=core.windows.net`,
    (secret) => json({ connection: `AccountName=shop;AccountKey=${secret}` }),
  ),
  "bearer and curl -H": where(
    opaque,
    (secret) => `Authorization: Bearer ${secret}`,
    (secret) => `curl -H "Authorization: Bearer ${secret}" https://host.example`,
    (secret) => json({ headers: { Authorization: `Bearer ${secret}` } }),
    (secret) => `sent with bearer ${secret}`,
  ),
  basic: where(
    (make) => Buffer.from(`user:${make(ALNUM, 16)}`).toString("base64"),
    (secret) => `Authorization: Basic ${secret}`,
    (secret) => `> authorization: Basic ${secret}\n> accept: */*`,
    (secret) => json({ authorization: `Basic ${secret}` }),
  ),
  "url password": where(
    (make) => make(`${ALNUM}!*-_`, 14),
    (secret) => `postgres://app:${secret}@db.example:5432/shop`,
    (secret) => `DATABASE_URL=redis://:${secret}@cache.example`,
    (secret) => json({ url: `https://x-access-token:${secret}@git.example/a/b.git` }),
    (secret) => `https://${secret}${secret}@git.example/a/b.git`,
  ),
  "url query": where(
    opaque,
    (secret) => `GET https://host.example/v1?api_key=${secret}&page=2`,
    (secret) => `https://host.example/v1?page=2&access_token=${secret}`,
    (secret) => `/callback?token=${secret}`,
  ),
  "password variable": where(
    password,
    (secret) => `DB_PASSWORD=${secret}`,
    (secret) => `line one\nexport DB_PASSWORD='${secret}'\nline three`,
    (secret) => json({ log: `line one\nPGPASSWORD=${secret}\nline three` }),
    (secret) => `Server=db;Password=${secret};Database=shop`,
  ),
  "password option": where(
    password,
    (secret) => `mysql --password=${secret} shop`,
    (secret) => `tool --password ${secret} run`,
    (secret) => `curl -u user:${secret} https://host.example`,
  ),
  "json password": where(
    (make) => make(`${ALNUM}"\\ {}`, 16),
    (secret) => json({ user: "me", password: secret }),
    (secret) => json({ user: "me", oauth: { clientSecret: secret, expires_in: 3600 } }),
    (secret) => json({ a: { b: { refresh_token: secret } } }),
    (secret) => json({ body: json({ password: secret, user: "me" }) }),
    (secret) => json({ body: json({ body: json({ password: secret }) }) }),
  ),
  cookie: where(
    opaque,
    (secret) => `Cookie: session=${secret}; theme=dark`,
    (secret) => `Set-Cookie: sid=${secret}; HttpOnly`,
    (secret) => `curl -H 'Cookie: theme=dark; session=${secret}' https://host.example`,
  ),
  "x-api-key": where(
    opaque,
    (secret) => `x-api-key: ${secret}`,
    (secret) => `curl -H "X-Api-Key: ${secret}" https://host.example`,
    (secret) => `PRIVATE-TOKEN: ${secret}`,
  ),
  "yaml secret": where(
    password,
    (secret) => `db:\n  secret: ${secret}\n  port: 5432`,
    (secret) => `db:\n  - password: "${secret}"`,
    (secret) => `apiKey: ${secret}`,
  ),
  passphrase: where(
    (make) => `correct ${make(LOWER, 7)} battery`,
    (secret) => `passphrase: ${secret}`,
    (secret) => `passphrase = "${secret}"`,
    (secret) => json({ passphrase: secret }),
  ),
  said: where(
    password,
    (secret) => `The password is ${secret} as before`,
    (secret) => `API key: ${secret}`,
  ),
};

export const HARMLESS_NAMES =
  "tokens_total crew.task.tokens_total input_tokens outputTokens max_tokens tokenCount tokenizer author authors authority keyboard keyboardShortcut keyCount primaryKey foreign_key monkey keywords hotkey authored_at passed compass secretary tokenBudget unauthorized_count key cacheKey sort_key idempotency_key publicKey token_usage token_type password_length secret_name auth sessionId cookies_enabled bypass tokens keys eos_token nextPageToken taskKey".split(
    " ",
  );
export const HARMLESS_TEXTS = [
  "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
  `sha256:${"9f86d081884c7d65".repeat(4)}`,
  `"integrity": "sha512-${"q83vEjRWeJCrze8S".repeat(5)}abcdef=="`,
  "123e4567-e89b-12d3-a456-426614174000",
  "run 01ARZ3NDEKTSV4RRFFQ69G5FAV ended",
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ",
  "@mariozechner/pi-coding-agent@0.73.1",
  "2026-11-20T10:11:12.345Z",
  "git@github.com:owner/name.git",
  "git+ssh://git@github.com/owner/name.git",
  "Bearer tokens are described in RFC 6750",
  "auth: none",
  "password: (not set)",
  "token: null",
  "DB_PASSWORD=",
  `DB_PASSWORD=\${DB_PASSWORD}`,
  "const token = await getToken();",
  "interface Login { password: string; token?: string }",
  "connect({ password: options.password, token })",
  "SyntaxError: Unexpected token: identifier",
  "http://localhost:8080/users/@me",
  "docker run -u 1000:1000 image",
  "use the --token option of the command",
  "The cookie: a small text kept by the browser",
  "npm_package_devDependencies_typescript",
  "task-manager-with-a-rather-long-name-2",
  '{"token": 12345, "password": true, "secret": null}',
  "ask-for-something-quite-long-in-kebab-case",
];

export function pem(body: string): string {
  const edge = (word: string) => join("-----", word, " RSA PRIVATE", " KEY-----");
  return [edge("BEGIN"), body, body.split("").reverse().join(""), edge("END")].join("\n");
}

/** Mulberry32. */
export function maker(seed: number): Make {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const pick = (alphabet: string) => alphabet[Math.floor(next() * alphabet.length)] ?? "";
  return (alphabet, count) => {
    const plain = alphabet.replace(/[^A-Za-z0-9]/g, "");
    const digit = /\d/.test(alphabet) ? pick(plain.replace(/\D/g, "")) : pick(plain);
    let middle = "";
    while (middle.length < count - 3) middle += pick(alphabet);
    return pick(plain) + digit + middle + pick(plain);
  };
}
