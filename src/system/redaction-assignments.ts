import { isPlaceholder, isSecretName, looksRandom, type TellMasked } from "./redaction-rules.ts";

/**
 * Masks what a text assigns to a secret name: `DB_PASSWORD=…`, `"token":"…"` (in JSON in JSON too), `x-api-key: …`,
 * `secret: …`, `?token=…`. Read by hand, left to right and never back: one regular expression for all quotings
 * would not be linear.
 */

/** A name, its closing quote, the separator with the blanks around it. Starts only where a run of name characters starts. */
const ASSIGNED = /(?<![\w.$-])([\w.$-]{2,})(\\{0,7}["'`]?)([ \t]{0,8})(=>|:=|[:=]|%3[AaDd])([ \t]{0,8})/g;
const HEADER_NAME = /(?:authorization|cookie)$/i;
const CALL_OR_PATH = /^[A-Za-z_$][\w$]*(?:(?:\.[A-Za-z_$]+)+[;,]?$|\(\S*\))/;
const NUMBER = /^\d+$/;
/** `token=3`; but six digits may be a password. */
const SMALL_NUMBER = /^\d{1,5}$/;
const MASKED_SCHEME = /^\w+ \[REDACTED:[\w-]+\]?$/;
const HEADER_END = end(String.raw`["'\`\\\r\n]`);
const VARIABLE_END = end(String.raw`[\s"'\`]|\\{1,15}[nrt"]`);
const BARE_END = end(String.raw`[\s"'\`,;&|<>)\]}\\]`);
const LINE_END = end(String.raw` #|["'\`\\\r\n]`);
const LINE_START_CHARS_MAX = 40;
const JUDGED_CHARS_MAX = 160;

interface Assignment {
  readonly text: string;
  readonly name: string;
  readonly nameStart: number;
  readonly separator: string;
  /** `a=b`, not `a = b`. */
  readonly tight: boolean;
  readonly valueStart: number;
}

type Place = "variable" | "parameter" | "tight" | "line" | "inside";

interface Span {
  readonly start: number;
  readonly end: number;
}

export function maskAssignments(text: string, tell: TellMasked): string {
  let out = "";
  let kept = 0;
  ASSIGNED.lastIndex = 0;
  for (let match = ASSIGNED.exec(text); match !== null; match = ASSIGNED.exec(text)) {
    const found = assignmentOf(text, match);
    if (!isSecretName(found.name)) continue;
    const span = secretSpan(found);
    if (span === null) continue;
    tell("assigned");
    out += `${text.slice(kept, span.start)}[REDACTED:assigned]`;
    kept = span.end;
    ASSIGNED.lastIndex = span.end;
  }
  return out + text.slice(kept);
}

function assignmentOf(text: string, match: RegExpExecArray): Assignment {
  const [whole, run = "", , blanks = "", separator = "", after = ""] = match;
  const skipped = escapeChars(text, match.index, run);
  return {
    text,
    name: run.slice(skipped),
    nameStart: match.index + skipped,
    separator,
    tight: blanks === "" && after === "",
    valueStart: match.index + whole.length,
  };
}

/** The `n` of an escaped line feed, the `0A` of an encoded one, the `31m` of a colour are no part of the name. */
function escapeChars(text: string, at: number, run: string): number {
  const before = text[at - 1];
  if (before === "\\") return /^(?:[bfnrt]|u[\da-fA-F]{4})/.exec(run)?.[0].length ?? 0;
  if (before === "%") return /^[\da-fA-F]{2}/.exec(run)?.[0].length ?? 0;
  if (before === "[" || before === ";") return /^\d{1,3}m/.exec(run)?.[0].length ?? 0;
  return 0;
}

function secretSpan(found: Assignment): Span | null {
  const { text } = found;
  // Markdown: in `token=`, the last backtick opens nothing.
  const quoted = found.tight && text[found.valueStart] === "`" ? null : quotedSpan(text, found.valueStart);
  if (quoted !== null) return isPlaceholder(text.slice(quoted.start, quoted.end)) ? null : quoted;
  return HEADER_NAME.test(found.name) ? headerSpan(found) : bareSpan(found);
}

/** What stands between quotes, which may be escaped themselves; to the end of the line when they don't close. */
function quotedSpan(text: string, at: number): Span | null {
  const [opening, slashes = "", quote = ""] = /^(\\{0,7})(["'`])/.exec(text.slice(at, at + 8)) ?? [];
  if (opening === undefined) return null;
  const start = at + opening.length;
  // Each level of JSON in JSON doubles the backslashes: k before a quote close it, k + 1 more stand for a backslash.
  const level = slashes.length + 1;
  let run = 0;
  for (let index = start; index < text.length; index++) {
    const char = text[index];
    if (char === "\n") return { start, end: index };
    if (char === quote && run % (2 * level) === slashes.length) return { start, end: index - slashes.length };
    run = char === "\\" ? run + 1 : 0;
  }
  return { start, end: text.length };
}

/** To the end of the line or of the quotes around the header. A sentence about cookies holds no `=`. */
function headerSpan({ text, valueStart }: Assignment): Span | null {
  const end = endOf(text, valueStart, HEADER_END);
  const value = text.slice(valueStart, end);
  return isPlaceholder(value) || MASKED_SCHEME.test(value) || !/[=\d]|\S{8}/.test(value)
    ? null
    : { start: valueStart, end: wholeEnd(text, valueStart, end, HEADER_END) };
}

function bareSpan(found: Assignment): Span | null {
  const { text, separator, valueStart } = found;
  const place = placeOf(found);
  const stop = place === "variable" ? VARIABLE_END : BARE_END;
  const end = endOf(text, valueStart, stop);
  const value = text.slice(valueStart, end);
  if (isPlaceholder(value) || (separator === "=" ? SMALL_NUMBER : NUMBER).test(value)) return null;
  if (!isBareSecret(found, place, value, end)) return null;
  const isSentence = place === "line" && separator === ":" && text[end] === " " && !looksRandom(value);
  // A passphrase in YAML may have blanks.
  return { start: valueStart, end: isSentence ? nextOf(text, end, LINE_END) : wholeEnd(text, valueStart, end, stop) };
}

function isBareSecret({ text, name, valueStart }: Assignment, place: Place, value: string, end: number): boolean {
  if (place === "variable" || place === "parameter") return true;
  if (CALL_OR_PATH.test(text.slice(valueStart, end + 1))) return false;
  if (place === "tight" || looksRandom(value)) return true;
  // A word on a line of its own is a password in YAML; after `token` it is more often a parser's complaint.
  return place === "line" && !/token$/i.test(name) && !/[,;)]/.test(text[end] ?? "");
}

/**
 * `variable`: `NAME=value` on a line of its own; `parameter`: an option, a query, a connection string; `tight`:
 * another `a=b`, which may be code; `line`: the name begins its line; `inside`: somewhere in a sentence or in code.
 */
function placeOf({ text, name, nameStart, separator, tight }: Assignment): Place {
  const before = text.slice(Math.max(0, nameStart - LINE_START_CHARS_MAX), nameStart);
  const ownLine = /(?:^|\n|\\n)(?:[ \t]{0,30}(?:- )?|(?:export|set|ENV) )$/.test(before);
  if (!tight || separator === ":") return ownLine ? "line" : "inside";
  if (name.startsWith("-") || /[?&;]$/.test(before)) return "parameter";
  return ownLine ? "variable" : "tight";
}

/** Where the value ends, looked for in its first characters only: what is no secret must not be read again and again. */
function endOf(text: string, from: number, stop: RegExp): number {
  const at = text.slice(from, from + JUDGED_CHARS_MAX).search(stop);
  return at < 0 ? Math.min(text.length, from + JUDGED_CHARS_MAX) : from + at;
}

/** Where it really ends, for what is going to be masked. */
function wholeEnd(text: string, from: number, end: number, stop: RegExp): number {
  return end - from < JUDGED_CHARS_MAX ? end : nextOf(text, end, stop);
}

/** A colour ends everything. */
function end(marks: string): RegExp {
  return new RegExp(String.raw`\u001b|${marks}`, "g");
}

function nextOf(text: string, from: number, stop: RegExp): number {
  stop.lastIndex = from;
  return stop.exec(text)?.index ?? text.length;
}
