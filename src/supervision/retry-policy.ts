import type { FailureKind } from "../events/crew-event.ts";
import type { RetryPolicy, RunConfig } from "../runs/run-config.ts";
import type { AttemptRecord } from "../runs/run-state.ts";
import type { Random } from "../system/world.ts";
import { type Failure, INTERRUPTED, isQuestion, matchesError } from "./failure-kind.ts";

/** Whether and when a failed attempt is followed by another. Pure. */

/** Why no other attempt is made. `max-retries` only where retry is on: then the task is a dead letter. */
export type GiveUpReason = "max-retries" | "retry-off" | "permanent" | "cancelled";

export type NextMove =
  /** Milliseconds until the next attempt. `kind` is what the failure counts as under the policy. */
  { again: number; kind: FailureKind } | { giveUp: GiveUpReason; kind: FailureKind };

/** Largest power that is ever computed: 5^64 is far beyond any `maxDelayMs` and still a number. */
const exponentMax = 64;
/** The system's timers fire at once when set for longer than 24 days; nobody waits for a day. */
const delayMsMax = 86_400_000;

/** `backoffMs · factor^(attempt-1)`, at most `maxDelayMs`; `attempt` is the one that failed, from 1. Before jitter. */
export function backoffDelayMs(attempt: number, policy: RetryPolicy): number {
  const exponent = Math.min(Math.max(0, attempt - 1), exponentMax);
  return Math.min(capOf(policy), policy.backoffMs * policy.exponentialFactor ** exponent);
}

function capOf({ maxDelayMs }: RetryPolicy): number {
  return Math.min(maxDelayMs, delayMsMax);
}

/** Whole milliseconds in [0, maxDelayMs], after the failed `attempt`; a provider's Retry-After is the least. */
export function nextDelayMs(
  attempt: number,
  policy: RetryPolicy,
  random: Pick<Random, "next">,
  retryAfterMs: number | null = null,
): number {
  const spread = 1 + policy.jitterRatio * (2 * random.next() - 1);
  const asked = retryAfterMs !== null && retryAfterMs > 0 ? retryAfterMs : 0;
  const delay = Math.max(asked, backoffDelayMs(attempt, policy) * spread);
  return Math.min(capOf(policy), Math.ceil(delay));
}

/**
 * `attemptsMade` includes the failed one (`countedAttempts`); `policy` is null where retry is off. Only transient and
 * lost retry.
 */
export function decideNext(
  failure: Failure,
  attemptsMade: number,
  policy: RetryPolicy | null,
  random: Pick<Random, "next">,
): NextMove {
  const kind = kindUnder(policy, failure);
  // who resumed the run wants its tasks done again, retry or not
  if (kind === "lost" && failure.error.kind === INTERRUPTED) return { again: 0, kind };
  if (kind === "cancelled" || kind === "permanent") return { giveUp: kind, kind };
  if (policy === null) return { giveUp: "retry-off", kind };
  if (attemptsMade >= policy.maxAttempts) return { giveUp: "max-retries", kind };
  return { again: nextDelayMs(attemptsMade, policy, random, failure.retryAfterMs), kind };
}

function kindUnder(policy: RetryPolicy | null, failure: Failure): FailureKind {
  const { kind, reason, error } = failure;
  const isError = (kind === "transient" || kind === "permanent") && reason !== "blocked";
  if (!isError || policy === null || policy.retryableErrors.length === 0) return kind;
  return matchesError(policy.retryableErrors, error) ? "transient" : "permanent";
}

/**
 * The policy of one step: null where retry is off. A step that names its attempts opts in by itself; with one attempt
 * it opts out.
 */
export function policyOf(
  step: { maxAttempts: number } | null,
  configured: Pick<RunConfig["reliability"], "autoRetry" | "retryPolicy">,
): RetryPolicy | null {
  if (step === null) return configured.autoRetry ? configured.retryPolicy : null;
  return step.maxAttempts > 1 ? { ...configured.retryPolicy, maxAttempts: step.maxAttempts } : null;
}

/** Ended attempts that count against `maxAttempts`: not those that went down with the run's owner, or with a question. */
export function countedAttempts(attempts: readonly AttemptRecord[]): number {
  return attempts.filter((it) => it.status === "ended" && it.error?.kind !== INTERRUPTED && !isQuestion(it)).length;
}
