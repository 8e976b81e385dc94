/** What of the configuration governs a run. */

/** What a run may use up before it is cancelled. Null means no limit. US dollars, tokens of all kinds, milliseconds. */
export interface RunLimits {
  maxCostUsd: number | null;
  maxTokens: number | null;
  maxDurationMs: number | null;
}

export interface RetryPolicy {
  /** All attempts, the first one included. */
  maxAttempts: number;
  /** Before the second attempt; grows by `exponentialFactor` from then on. Milliseconds. */
  backoffMs: number;
  /** 0.3: the delay is spread over 70 % to 130 %. */
  jitterRatio: number;
  exponentialFactor: number;
  /** The longest delay, a provider's Retry-After included; never more than a day. Milliseconds. */
  maxDelayMs: number;
  /**
   * Globs. When there are any, they alone tell which errors of a failed attempt are retried, whatever the worker
   * thought of them. A lost worker is no error of the attempt's and is retried all the same; a blocked or cancelled
   * attempt never is.
   */
  retryableErrors: readonly string[];
}

/** Milliseconds of silence from which on a level holds. */
export interface HeartbeatThresholds {
  warnMs: number;
  staleMs: number;
  deadMs: number;
}

/**
 * In force when the run was made, and for the run ever after, whoever drives it: what belongs to the one who drives
 * (how many workers at once, notices, metrics, questions) is not in it, nor anything secret.
 */
export interface RunConfig {
  /** `attemptTimeoutSec`: of steps that set no limit of their own. */
  limits: RunLimits & { attemptTimeoutSec: number };
  reliability: { autoRetry: boolean; retryPolicy: RetryPolicy; heartbeat: HeartbeatThresholds };
}
