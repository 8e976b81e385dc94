import type { RetryPolicy } from "../runs/run-config.ts";
import type { Clock, Random } from "../system/world.ts";
import { type Failure, failureOfThrown } from "./failure-kind.ts";
import { decideNext, type GiveUpReason } from "./retry-policy.ts";

/** The world and the ears of a retried piece of work. What a hook returns is awaited; what it throws ends the work. */
export interface RetryHooks {
  clock: Pick<Clock, "now" | "sleep">;
  random: Pick<Random, "next">;
  /** Ends a backoff at once, and is handed to `fn` for its own work. No attempt is begun after it. */
  signal?: AbortSignal;
  /** Attempts made before, by another owner; the next one is numbered `attemptsMade + 1`. */
  attemptsMade?: number;
  /** What is left of a backoff that another owner began. Milliseconds. */
  firstDelayMs?: number;
  /** What a thrown error means; `failureOfThrown` when absent. */
  failureOf?(error: unknown): Failure;
  /** `attempt` failed and another follows in `nextDelayMs`. `failure.kind` is what it counts as under the policy. */
  onAttemptFailed?(attempt: number, error: unknown, nextDelayMs: number, failure: Failure): void | Promise<void>;
  /** No other attempt is made, though nobody cancelled. `attempts` were made in all. */
  onRetryGivenUp?(attempts: number, error: unknown, reason: GiveUpReason): void | Promise<void>;
}

/** The signal came before an attempt could begin. `lastError` is why there was to be another; null before the first. */
export class RetryAborted extends Error {
  override readonly name = "AbortError";
  readonly lastError: unknown;

  constructor(lastError: unknown, cause: unknown) {
    super("Aborted before the next attempt.", { cause });
    this.lastError = lastError;
  }
}

/**
 * Calls `fn(attempt)`, attempts numbered from 1, until one resolves or the policy (null: no retry) gives up; then
 * rejects with the last error. The signal ends a backoff at once. An attempt under way is awaited, never left behind:
 * it is its own to heed the signal; when it resolves all the same, its result is kept.
 */
export async function executeWithRetry<T>(
  fn: (attempt: number, signal: AbortSignal | undefined) => Promise<T>,
  policy: RetryPolicy | null,
  hooks: RetryHooks,
): Promise<T> {
  const { clock, signal } = hooks;
  let delayMs = hooks.firstDelayMs ?? 0;
  let lastError: unknown = null;
  for (let attempt = (hooks.attemptsMade ?? 0) + 1; ; attempt++) {
    if (delayMs > 0) await clock.sleep(delayMs, signal);
    if (signal?.aborted) throw new RetryAborted(lastError, signal.reason);
    try {
      return await fn(attempt, signal);
    } catch (error) {
      lastError = error;
    }
    delayMs = await delayAfter(attempt, lastError, policy, hooks);
  }
}

/** Tells the hooks. Throws the attempt's error when no other attempt is made. */
async function delayAfter(
  attempt: number,
  error: unknown,
  policy: RetryPolicy | null,
  hooks: RetryHooks,
): Promise<number> {
  if (hooks.signal?.aborted) throw error;
  const failure = hooks.failureOf?.(error) ?? failureOfThrown(error, hooks.clock.now());
  const next = decideNext(failure, attempt, policy, hooks.random);
  if ("again" in next) {
    await hooks.onAttemptFailed?.(attempt, error, next.again, { ...failure, kind: next.kind });
    return next.again;
  }
  if (next.giveUp !== "cancelled") await hooks.onRetryGivenUp?.(attempt, error, next.giveUp);
  throw error;
}
