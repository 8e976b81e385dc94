/** How long a provider asked to wait. RFC 9110 §10.2.3 (Retry-After) and §5.6.7 (its date); milliseconds. */

const secondsPattern = /^(\d+(?:\.\d+)?)(?=$|[\s,;])/;
const datePattern =
  /^(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?,?\s.*?\d\d:\d\d:\d\d(?:\s\d{4})?/i;
/** The header as a message quotes it: `Retry-After: 30`, `"retry-after":"30"`. */
const quotedPattern = /\bretry-after["']?\s*[:=]\s*["']?([^"')\r\n]+)/gi;
/** What SDKs make of it: "try again in 1m2.5s", "retry after 30 seconds". */
const spokenPattern =
  /\b(?:retry|try again)\s+(?:after|in)\s+(?:(\d+)\s*m(?:in(?:utes?)?)?(?![a-z])\s*)?(?:(\d+(?:\.\d+)?)\s*(ms|s))?/i;

/** The header's value, seconds or a date; null when it is neither. A date that has passed is 0. */
export function parseRetryAfterMs(value: string, nowMs: number): number | null {
  const text = value.trim();
  const seconds = secondsPattern.exec(text)?.[1];
  if (seconds !== undefined) return Number(seconds) * 1000;
  const date = datePattern.exec(text)?.[0];
  if (date === undefined) return null;
  // the three forms of a date are all in GMT, and the oldest does not say so
  const at = Date.parse(`${date} GMT`);
  return Number.isFinite(at) ? Math.max(0, at - nowMs) : null;
}

/** The same, found in an error's message; the last word counts. Null when the message asks for nothing. */
export function findRetryAfterMs(message: string, nowMs: number): number | null {
  const quoted = [...message.matchAll(quotedPattern)].at(-1)?.[1];
  const asked = quoted === undefined ? null : parseRetryAfterMs(quoted, nowMs);
  if (asked !== null) return asked;
  const [, minutes, amount, unit] = spokenPattern.exec(message) ?? [];
  if (minutes === undefined && amount === undefined) return null;
  return Number(minutes ?? 0) * 60_000 + Number(amount ?? 0) * (unit?.toLowerCase() === "ms" ? 1 : 1000);
}
