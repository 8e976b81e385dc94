import type { AttemptOutcome, EventError, FailureKind } from "../events/crew-event.ts";
import { UserError } from "../system/errors.ts";
import { matchesGlob } from "../system/glob.ts";
import { findRetryAfterMs } from "./retry-after.ts";

/** Why an attempt failed, and whether another one makes sense. */

/** Finer than the kind; for people and for the length of a wait. */
export type FailureReason =
  | "rate-limit"
  | "overloaded"
  | "network"
  | "timeout"
  | "tool"
  | "verify"
  /** A step's own command: its exit code, or what ended it. */
  | "command"
  | "blocked"
  | "lost"
  | "cancelled"
  | "permanent"
  /** Transient by the worker's word, for a reason we have no name for. */
  | "other";

/** What is known of a failed attempt: an `AttemptReport` or an ended `AttemptRecord` is one. */
export interface FailedAttempt {
  outcome: AttemptOutcome;
  /** The worker's own judgement; null when it gave none. */
  failureKind: FailureKind | null;
  error: EventError | null;
}

export interface Failure {
  kind: FailureKind;
  reason: FailureReason;
  /** What the provider asked for; null when it asked for nothing. */
  retryAfterMs: number | null;
  error: EventError;
}

/** The error kind of an attempt that was ended because its heartbeat was dead. */
export const HEARTBEAT_DEAD = "heartbeat-dead";
/** The error kind of an attempt whose worker went down with the run's owner; it does not count as a try. */
export const INTERRUPTED = "interrupted";

/** The error kind of an attempt that ended by its agent's own word. */
export const VERDICT = "verdict";

/** Whether the agent itself said that it can't go on without its user. */
export function isQuestion(attempt: FailedAttempt): attempt is FailedAttempt & { error: EventError } {
  return attempt.outcome === "blocked" && attempt.error?.kind === VERDICT;
}

const messageCharsMax = 2000;
const rateLimitPattern = /\b429\b|rate.?limit|too many requests|tokens per min|requests per min/i;
const overloadedPattern =
  /overloaded|\b(?:503|529)\b|service.?unavailable|at capacity|server is busy|resource.?exhausted/i;
const networkPattern =
  /network|connection|connect error|socket|econn|etimedout|eai_again|enotfound|epipe|fetch failed|other side closed|stream ended|terminated|http2|bad gateway|\b50[24]\b/i;
const timeoutPattern = /timed? ?out|timeout|\b408\b/i;

/** Never called for an attempt that completed. `nowMs` is the wall clock, for a Retry-After that is a date. */
export function classifyFailure(attempt: FailedAttempt, nowMs: number): Failure {
  const error = attempt.error ?? { kind: attempt.outcome, message: "" };
  const named = reasonOf(error);
  const kind = kindOf(attempt, named);
  return {
    kind,
    reason: shownReason(attempt.outcome, kind, named),
    retryAfterMs:
      kind === "transient" && !ofCommand.has(error.kind)
        ? findRetryAfterMs(error.message.slice(0, messageCharsMax), nowMs)
        : null,
    error,
  };
}

/**
 * Whether one of the globs fits the error's message, its kind, or `kind: message`; upper and lower case alike. `*` is
 * any text, so that `*ECONNRESET*` finds it behind a URL.
 */
export function matchesError(globs: readonly string[], error: EventError): boolean {
  const message = error.message.slice(0, messageCharsMax);
  const texts = [message, error.kind, `${error.kind}: ${message}`];
  return globs.some((glob) => texts.some((text) => matchesGlob(glob, text)));
}

/**
 * The failure in something that was thrown. It may carry its own judgement (`failure`); a UserError is permanent, an
 * AbortError a cancellation, all else transient: whoever throws and knows better says so.
 */
export function failureOfThrown(thrown: unknown, nowMs: number): Failure {
  if (isAttemptFailure(thrown)) return thrown.failure;
  const isError = thrown instanceof Error;
  const message = (isError ? thrown.message : String(thrown)).slice(0, messageCharsMax);
  const code = isError && "code" in thrown && typeof thrown.code === "string" ? thrown.code : "";
  const error = { kind: code || (isError ? thrown.name : "error"), message };
  if (isError && thrown.name === "AbortError")
    return { kind: "cancelled", reason: "cancelled", retryAfterMs: null, error };
  const failureKind = thrown instanceof UserError ? "permanent" : "transient";
  return classifyFailure({ outcome: "failed", failureKind, error }, nowMs);
}

/** A failed attempt as something to throw through `executeWithRetry`. */
export class AttemptFailure extends Error {
  override readonly name = "AttemptFailure";
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.error.message);
    this.failure = failure;
  }
}

/** By its shape too: the host evaluates our modules anew for each session. */
function isAttemptFailure(thrown: unknown): thrown is AttemptFailure {
  return thrown instanceof Error && thrown.name === "AttemptFailure" && "failure" in thrown;
}

function kindOf({ outcome, failureKind }: FailedAttempt, named: FailureReason | null): FailureKind {
  if (outcome === "lost" || outcome === "cancelled") return outcome;
  if (outcome === "blocked") return "permanent";
  // a retry of what is not understood costs money
  return failureKind ?? (named === null || named === "tool" ? "permanent" : "transient");
}

function shownReason(outcome: AttemptOutcome, kind: FailureKind, named: FailureReason | null): FailureReason {
  if (kind === "lost" || kind === "cancelled") return kind;
  if (outcome === "blocked") return "blocked";
  if (kind === "transient") return named ?? "other";
  // words like "429" within a permanent refusal would mislead
  return named === "tool" || named === "verify" || named === "command" || named === "timeout" ? named : "permanent";
}

/** Errors whose message holds what a command printed, which is nobody's word about its failure. */
const ofCommand: ReadonlySet<string> = new Set(["verify", "exit", "signal"]);

/** The worker names what it knows by kind; the provider's and the system's words tell the rest. */
function reasonOf({ kind, message }: EventError): FailureReason | null {
  if (kind === "exit" || kind === "signal") return "command";
  if (kind === "timeout" || kind === "tool" || kind === "verify") return kind;
  const text = `${kind} ${message.slice(0, messageCharsMax)}`;
  if (rateLimitPattern.test(text)) return "rate-limit";
  if (overloadedPattern.test(text)) return "overloaded";
  if (networkPattern.test(text)) return "network";
  return timeoutPattern.test(text) ? "timeout" : null;
}
