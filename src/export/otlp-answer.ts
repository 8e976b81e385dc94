import { cutText, safeText } from "../system/safe-text.ts";
import type { PostAnswer } from "./otlp-post.ts";

/** What a collector's answer means: https://opentelemetry.io/docs/specs/otlp/#otlphttp-response */
export type Verdict =
  /** `rejected` of the items were not taken, for good; `message` is a warning, which may come without any rejected. */
  | { readonly kind: "accepted"; readonly rejected: number; readonly message: string | null }
  /** `again`: the same may succeed later, not before `askedMs` when the collector asked for that. */
  | { readonly kind: "refused"; readonly again: boolean; readonly askedMs: number | null; readonly reason: string };

const AGAIN: ReadonlySet<number> = new Set([429, 502, 503, 504]);
const REASON_CHARS_MAX = 300;

/** `nowMs`: milliseconds since 1970. */
export function judgeAnswer({ status, retryAfter, body }: PostAnswer, nowMs: number): Verdict {
  const text = cutText(safeText(body.trim(), { multiline: false }), REASON_CHARS_MAX);
  if (status < 200 || status > 299) {
    const again = AGAIN.has(status);
    const askedMs = again && retryAfter !== null ? waitOf(retryAfter, nowMs) : null;
    return { kind: "refused", again, askedMs, reason: `answered ${status}${text === "" ? "" : `: ${text}`}` };
  }
  const { rejected, message } = partialSuccessOf(body);
  return { kind: "accepted", rejected, message: message === null ? null : cutText(message, REASON_CHARS_MAX) };
}

/** Seconds or a date (RFC 9110 §10.2.3) as milliseconds from now; null when it is neither. */
function waitOf(retryAfter: string, nowMs: number): number | null {
  const text = retryAfter.trim();
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const at = text.endsWith("GMT") ? Date.parse(text) : Number.NaN;
  return Number.isFinite(at) ? Math.max(0, at - nowMs) : null;
}

/** An answer in another form, or none, has accepted all. */
function partialSuccessOf(body: string): { rejected: number; message: string | null } {
  const partial = fieldOf(parsed(body), "partialSuccess");
  const count = Number(fieldOf(partial, "rejectedDataPoints") ?? fieldOf(partial, "rejectedSpans") ?? 0);
  const said = fieldOf(partial, "errorMessage");
  const message = typeof said === "string" && said !== "" ? safeText(said, { multiline: false }) : null;
  return { rejected: Number.isSafeInteger(count) && count > 0 ? count : 0, message };
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && name in value ? (value as Record<string, unknown>)[name] : null;
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}
