/** Numbers as people read them. What is not a finite number is shown as a dash. */

const NOTHING = "–";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Milliseconds as `850ms`, `1.2s`, `42s`, `2m 05s`, `1h 03m`, `2d 04h`: at most seven characters up to 99 days. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return NOTHING;
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (Math.round(ms) < SECOND_MS) return `${ms > 0 && ms < 10 ? trim(ms, 1) : Math.round(ms)}ms`;
  // thresholds lie where rounding would give 10.0s, 60s, 60m or 24h
  if (ms < 9950) return `${trim(ms / SECOND_MS, 1)}s`;
  if (ms < MINUTE_MS - SECOND_MS / 2) return `${Math.round(ms / SECOND_MS)}s`;
  if (ms < HOUR_MS - SECOND_MS / 2) return twoParts(Math.round(ms / SECOND_MS), 60, "m", "s");
  if (ms < DAY_MS - MINUTE_MS / 2) return twoParts(Math.round(ms / MINUTE_MS), 60, "h", "m");
  return twoParts(Math.round(ms / HOUR_MS), 24, "d", "h");
}

/** `950`, `1.2k`, `34k`, `1.2M`, `3.4B`. */
export function formatTokens(tokens: number): string {
  if (!Number.isFinite(tokens)) return NOTHING;
  if (tokens < 0) return `-${formatTokens(-tokens)}`;
  if (tokens < 999.5) return String(Math.round(tokens));
  for (const [size, letter] of [
    [1e3, "k"],
    [1e6, "M"],
  ] as const) {
    if (tokens < size * 9.95) return `${trim(tokens / size, 1)}${letter}`;
    if (tokens < size * 999.5) return `${Math.round(tokens / size)}${letter}`;
  }
  return `${formatCount(Math.round(tokens / 1e8) / 10)}B`;
}

/** US dollars to the cent, `$1,234.50`; below ten cents to two significant digits, `$0.018`, `$0.0042`. */
export function formatUsd(usd: number): string {
  if (!Number.isFinite(usd)) return NOTHING;
  if (usd < 0) return `-${formatUsd(-usd)}`;
  if (usd > 0 && usd < 0.0995) return `$${plainDigits(usd)}`;
  const [whole = "0", cents = "00"] = usd.toFixed(2).split(".");
  return `$${groupThousands(whole)}.${cents}`;
}

/** Thousands separated by commas, at most two decimals: `1,234,567`, `0.25`. */
export function formatCount(value: number): string {
  if (!Number.isFinite(value)) return NOTHING;
  if (value < 0) return `-${formatCount(-value)}`;
  const [whole = "0", decimals = ""] = trim(value, 2).split(".");
  return decimals === "" ? groupThousands(whole) : `${groupThousands(whole)}.${decimals}`;
}

/** `1 file`, `1,234 files`. */
export function counted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function twoParts(total: number, base: number, big: string, small: string): string {
  return `${formatCount(Math.floor(total / base))}${big} ${String(total % base).padStart(2, "0")}${small}`;
}

function trim(value: number, decimals: number): string {
  const text = value.toFixed(decimals);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Two significant digits without an exponent, as far as toFixed goes (20 decimals are plenty for money). */
function plainDigits(value: number): string {
  const decimals = Math.min(20, 1 - Math.floor(Math.log10(value)));
  return trim(value, decimals);
}

function groupThousands(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+$)/g, ",");
}
