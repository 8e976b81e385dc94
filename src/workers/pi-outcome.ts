import type { AttemptOutcome, EventError, FailureKind } from "../events/crew-event.ts";
import type { PiTally } from "./pi-events.ts";

/** How a pi attempt ended, judged from what the host said. */

/** Whoever shows it masks secrets first and cuts then: what is cut before may be half a secret. */
const errorCharsMax = 16_000;
const followUpCharsMax = 2000;
/** The exit code of `timeout(1)`. */
const timeoutExitCode = 124;

/** Why we ended the session ourselves; null when it ended by itself. */
export type StopCause = "timeout" | "cancelled" | "max-turns" | null;

export interface PiEnd {
  tally: PiTally;
  stopCause: StopCause;
  /** What the host threw instead of an end; empty when it did not. */
  thrown: string;
  /** `Retry-After` of the provider's last answer, in its own words; empty when none was seen. */
  retryAfter: string;
  /** For the sentence of a timeout. */
  timeoutSec: number | null;
  maxTurns: number | null;
}

export interface PiVerdict {
  outcome: AttemptOutcome;
  failureKind: FailureKind | null;
  error: EventError | null;
  exitCode: number | null;
}

export function judgePiEnd(end: PiEnd): PiVerdict {
  const { tally } = end;
  switch (end.stopCause) {
    case "timeout":
      return timedOut(end.timeoutSec);
    case "cancelled":
      return cancelled();
    case "max-turns":
      return failed("permanent", "max-turns", `The agent used its maxTurns ${end.maxTurns ?? 0} without an end.`);
    case null:
      break;
  }
  if (end.thrown) return failedRequest(end.thrown, end.retryAfter);
  if (tally.stopReason === null) return failed("permanent", "no-reply", "The session ended without a model's reply.");
  if (tally.stopReason === "error") return failedRequest(tally.errorMessage ?? "unknown error", end.retryAfter);
  if (tally.stopReason === "aborted") return cancelled(tally.errorMessage ?? "The session was aborted.");
  if (tally.stopReason === "length")
    return failed("permanent", "output-length", "The model's reply was cut at its output limit.");
  // tools were used, nothing was said: another try most likely speaks, and a next step would have nothing to go by
  if (!tally.answered)
    return failed("transient", "no-answer", "The agent ended without an answer: its last reply was empty.");
  return judgeWords(tally.lastText);
}

/** Only a status of its own counts, not digits within an id. */
const transientPattern =
  /overloaded|rate.?limit|too many requests|\b(408|409|425|429|5\d\d)\b|service.?unavailable|server.?error|internal.?error|bad gateway|network|connection|connect error|socket|econn|etimedout|eai_again|enotfound|epipe|fetch failed|timed? ?out|timeout|terminated|stream ended|ended without|other side closed|provider.?returned.?error|retry delay|http2/i;
const permanentPattern =
  /\b(400|401|402|403|404|405|413|422)\b|api.?key|unauthori[sz]ed|authentication|permission|forbidden|invalid.?request|context.?(length|window)|too many tokens|prompt is too long|maximum context|no model|unknown model|model.{0,40}not found|does not exist|not supported|billing|credit|insufficient.?quota|quota exceeded/i;

/** Unknown words are taken as permanent: a retry of what is not understood costs money. */
export function failureKindOf(message: string): "transient" | "permanent" {
  const status = /^\s*(?:error:?\s*)?(\d{3})\b/i.exec(message)?.[1];
  if (status) return /^(408|409|425|429|5\d\d)$/.test(status) ? "transient" : "permanent";
  if (permanentPattern.test(message)) return "permanent";
  return transientPattern.test(message) ? "transient" : "permanent";
}

function failedRequest(message: string, retryAfter: string): PiVerdict {
  const wait = retryAfter ? ` (Retry-After: ${retryAfter})` : "";
  return failed(failureKindOf(message), "model-request", `${message}${wait}`);
}

/**
 * The agent's own word, which shipped agents give on a line of its own: `VERDICT: fail`, or `blocked` after `VERDICT:`,
 * `RESULT:` or `PLAN:`. The last such line counts. A verdict on another's work (`changes-needed`) is a result like any.
 */
export function judgeWords(text: string): PiVerdict {
  const lines = text.split("\n");
  const at = lines.findLastIndex((line) => WORD.test(line));
  const [, keyword = "", word = ""] = WORD.exec(lines[at] ?? "") ?? [];
  // the contract of the shipped agents puts one sentence for the user below the word
  const message = [lines[at], lines[at + 1]]
    .map((line) => line?.trim())
    .filter(Boolean)
    .join(": ");
  if (word.toLowerCase() === "blocked") return blocked("verdict", message);
  if (keyword.toLowerCase() === "verdict" && word.toLowerCase() === "fail")
    return failed("permanent", "verdict", message);
  return { outcome: "completed", failureKind: null, error: null, exitCode: 0 };
}

/** What an agent says is left to do: a line `FOLLOW-UP: …`, or what stands below `## Left open`; null when it is nothing. */
export function followUpOf(text: string): string | null {
  const said = /^[\s>*_-]*follow-?up\s*:[\s*_]*(.+)$/im.exec(text)?.[1] ?? LEFT_OPEN.exec(text)?.[1] ?? "";
  const words = said.trim();
  return /^(-\s*)?(none|nothing)?\.?$/i.test(words) ? null : words.slice(0, followUpCharsMax);
}

const LEFT_OPEN = /^#+ left open[^\n]*\n((?:(?!#).*\n?)*)/im;

const WORD = /^[\s>*_#`-]*(verdict|result|plan)\s*:[\s*_`]*([a-z-]+)\b/i;

export function failed(failureKind: FailureKind, kind: string, message: string): PiVerdict {
  return { outcome: "failed", failureKind, error: errorOf(kind, message), exitCode: 1 };
}

export function blocked(kind: string, message: string): PiVerdict {
  return { outcome: "blocked", failureKind: "permanent", error: errorOf(kind, message), exitCode: null };
}

export function timedOut(timeoutSec: number | null): PiVerdict {
  return {
    ...failed("transient", "timeout", `No end within timeoutSec ${timeoutSec ?? 0}.`),
    exitCode: timeoutExitCode,
  };
}

export function cancelled(message = "The attempt was cancelled."): PiVerdict {
  return { outcome: "cancelled", failureKind: "cancelled", error: errorOf("cancelled", message), exitCode: null };
}

function errorOf(kind: string, message: string): EventError {
  return { kind, message: message.slice(0, errorCharsMax) };
}
