import { maskAssignments } from "./redaction-assignments.ts";
import { isPlaceholder, isSecretName, looksRandom, maskShapes, type TellMasked } from "./redaction-rules.ts";

/** What a secret key's value becomes. */
const MASKED_VALUE = "***";
const SECRET_CHARS_MIN = 8;
const SECRET_LINE_CHARS_MIN = 16;
const DEPTH_MAX = 64;
const SINGLE_WORD = /^[a-z]{1,12}$/i;
const ADDRESS_PASSWORD = /:\/\/[^\s/@:]{0,100}:([^\s/@]{8,300})@/g;

export interface Redactor {
  /**
   * Masks secrets inside a text as `[REDACTED:kind]`. Give it whole lines, and a PEM block whole: what a chunk
   * border cuts is missed. Masking twice changes nothing.
   */
  text(text: string): string;
  /** How much of a text that still grows may be masked and shown: what follows may be the begin of a secret. */
  settled(text: string): number;
  /**
   * A copy of plain data: strings under a secret key become `***`, other strings go through `text`. Numbers,
   * booleans and null stay, wherever they are. A cycle becomes `[circular]`, what lies below 64 levels `[too deep]`,
   * binary data `[binary]`.
   */
  value<T>(value: T): T;
  /** Masked places so far, by kind; `key` for those of secret keys. */
  count(): Readonly<Record<string, number>>;
}

/**
 * The values (at least 8 characters each) are masked wherever they stand, escaped or encoded too. A function is asked
 * before each text, and gives the same list as long as nothing has changed.
 */
export function createRedactor(options: { secretValues: readonly string[] | (() => readonly string[]) }): Redactor {
  const { secretValues } = options;
  let known: readonly string[] = [];
  let needles: readonly string[] = [];
  const currentNeedles = () => {
    const values = typeof secretValues === "function" ? secretValues() : secretValues;
    if (values !== known) needles = needlesOf(values);
    known = values;
    return needles;
  };
  const counts = new Map<string, number>();
  const tell = (kind: string) => counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const text = (given: string) => maskAssignments(maskShapes(maskKnown(given, currentNeedles(), tell), tell), tell);
  return {
    text,
    settled: (growing) => beforeBegun(growing, currentNeedles()),
    // The one place where types can't follow: a copy has the shape of what was copied.
    value: <T>(value: T): T => copyMasked(value, { text, tell, done: new Map(), doneSecret: new Map() }, false, 0) as T,
    count: () => Object.fromEntries(counts),
  };
}

/**
 * The values of environment variables whose name says that they are secret; of others the password of an address, and
 * what looks random in a list of headers. A single word (`PGPASSWORD=postgres`) is none: texts would lose it everywhere.
 */
export function collectSecretValues(env: Readonly<Record<string, string | undefined>>): string[] {
  const values = Object.entries(env).flatMap(([name, value = ""]) => {
    if (isSecretName(name)) return isCredentialsFile(name, value) ? [] : [value];
    const inAddresses = [...value.matchAll(ADDRESS_PASSWORD)].map((match) => match[1] ?? "");
    const inHeaders = /headers$/i.test(name) ? value.split(/[,="]|%20| /).filter(looksRandom) : [];
    const inHook = /webhook_url$/i.test(name) ? [value] : [];
    return [...inAddresses, ...inHeaders, ...inHook];
  });
  const isTold = (value: string) => value.length < SECRET_CHARS_MIN || SINGLE_WORD.test(value) || isPlaceholder(value);
  return [...new Set(values)].filter((value) => !isTold(value));
}

/** GOOGLE_APPLICATION_CREDENTIALS is a path, and error messages need it. */
function isCredentialsFile(name: string, value: string): boolean {
  return /credentials?$/i.test(name) && /^[~.\w:-]*[/\\][~./\\\w:-]*\.[a-z]{2,5}$/i.test(value);
}

/** Every form in which a secret may be written; the longest first, so that none is cut by a shorter one. */
function needlesOf(secretValues: readonly string[]): string[] {
  const needles = new Set<string>();
  for (const secret of secretValues) {
    const value = secret.trim();
    if (value.length < SECRET_CHARS_MIN) continue;
    const lines = value
      .split(/\r?\n/)
      .filter((line) => line.length >= SECRET_LINE_CHARS_MIN && !line.startsWith("-----"));
    for (const plain of [secret, value, ...lines])
      for (const form of [plain, escaped(plain), escaped(escaped(plain)), ...urlForms(plain)]) needles.add(form);
    for (const form of base64Forms(value)) needles.add(form);
  }
  return [...needles].sort((a, b) => b.length - a.length);
}

/** As a text within JSON has it. */
function escaped(value: string): string {
  return JSON.stringify(value).slice(1, -1);
}

/** As encodeURIComponent writes it, with small letters, and as a form or a strict encoder does. */
function urlForms(value: string): string[] {
  // encodeURIComponent throws on a lone surrogate.
  const encoded = encodeURIComponent(value.replace(/[\ud800-\udfff]/gu, "\ufffd"));
  const small = encoded.replace(/%[\dA-F]{2}/g, (code) => code.toLowerCase());
  const strict = encoded.replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  return [encoded, small, strict, strict.replaceAll("%20", "+")];
}

/** Whole, and as it stands inside a longer text (`user:secret`): the three ways it may lie on groups of three bytes. */
function base64Forms(value: string): string[] {
  const bytes = Buffer.from(value);
  const forms = [bytes.toString("base64")];
  for (const [offset, firstWhole] of [0, 2, 3].entries()) {
    const all = Buffer.concat([Buffer.alloc(offset), bytes]);
    forms.push(all.toString("base64").slice(firstWhole, Math.floor((all.length * 4) / 3)));
  }
  return forms.flatMap((form) => [form, form.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")]);
}

function maskKnown(text: string, needles: readonly string[], tell: TellMasked): string {
  let masked = text;
  for (const needle of needles) {
    if (!masked.includes(needle)) continue;
    masked = masked.replaceAll(needle, () => {
      tell("known-value");
      return "[REDACTED:known-value]";
    });
  }
  return masked;
}

/** Keys and tokens are written without blanks, in ASCII: other scripts have none between their words. */
function beforeBegun(text: string, needles: readonly string[]): number {
  let end = text.length;
  while (end > 0 && /[\u0021-\u007e]/.test(text.charAt(end - 1))) end--;
  const whole = text.slice(0, end);
  for (const needle of needles)
    for (let length = Math.min(needle.length - 1, whole.length); length > 0; length--)
      if (whole.endsWith(needle.slice(0, length))) {
        end = Math.min(end, whole.length - length);
        break;
      }
  return end;
}

interface Walk {
  readonly text: (text: string) => string;
  readonly tell: TellMasked;
  /** Copies made, so that what is shared is copied once; null while being copied. Secret ones are other copies. */
  readonly done: Map<object, unknown>;
  readonly doneSecret: Map<object, unknown>;
}

function copyMasked(value: unknown, walk: Walk, secret: boolean, depth: number): unknown {
  if (typeof value === "string") return secret ? maskedString(value, walk.tell) : walk.text(value);
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  if (ArrayBuffer.isView(value)) return "[binary]";
  if (depth >= DEPTH_MAX) return "[too deep]";
  const done = secret ? walk.doneSecret : walk.done;
  if (done.has(value)) return done.get(value) ?? "[circular]";
  done.set(value, null);
  const copy = Array.isArray(value) ? copyList(value, walk, secret, depth) : copyObject(value, walk, secret, depth);
  done.set(value, copy);
  return copy;
}

function maskedString(value: string, tell: TellMasked): string {
  if (value === "" || value === MASKED_VALUE) return value;
  tell("key");
  return MASKED_VALUE;
}

/** In an argument list, what follows `--token` is secret. */
function copyList(list: readonly unknown[], walk: Walk, secret: boolean, depth: number): unknown[] {
  return list.map((item, index) => {
    const before: unknown = list[index - 1];
    const isFlagValue = typeof before === "string" && /^--?[A-Za-z][\w-]{0,60}$/.test(before) && isSecretName(before);
    return copyMasked(item, walk, secret || isFlagValue, depth + 1);
  });
}

/** `{ name: "auth_token", value }` names its value too: labels, headers and variables are often kept so. */
function copyObject(value: object, walk: Walk, secret: boolean, depth: number): object {
  const entries: [string, unknown][] =
    value instanceof Error
      ? [["name", value.name], ["message", value.message], ...Object.entries(value)]
      : Object.entries(value);
  const named = entries.find(([key, name]) => (key === "name" || key === "key") && typeof name === "string")?.[1];
  const namesSecret = typeof named === "string" && isSecretName(named);
  return Object.fromEntries(
    entries.map(([key, item]) => {
      const isSecret = secret || isSecretName(key) || (namesSecret && key === "value");
      return [walk.text(key), copyMasked(item, walk, isSecret, depth + 1)];
    }),
  );
}
