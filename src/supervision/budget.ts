import type { CrewEventFields } from "../events/crew-event.ts";

/** What a run may use up before it is cancelled. Pure. */

/** Null means no limit. US dollars, tokens of all kinds, milliseconds. */
export interface RunLimits {
  maxCostUsd: number | null;
  maxTokens: number | null;
  maxDurationMs: number | null;
}

export interface RunUsage {
  costUsd: number;
  tokens: number;
  durationMs: number;
}

export const NO_LIMITS: RunLimits = Object.freeze({ maxCostUsd: null, maxTokens: null, maxDurationMs: null });

/** The first limit that was passed; a value that is just the limit has not passed it. Null when none was. */
export function exceededLimit(limits: RunLimits, usage: RunUsage): CrewEventFields["crew.run.budget_exceeded"] | null {
  const checks = [
    { limit: "maxCostUsd", value: usage.costUsd, max: limits.maxCostUsd },
    { limit: "maxTokens", value: usage.tokens, max: limits.maxTokens },
    { limit: "maxDurationMs", value: usage.durationMs, max: limits.maxDurationMs },
  ];
  for (const { limit, value, max } of checks) if (max !== null && value > max) return { limit, value, max };
  return null;
}

/** A run's reason for having been cancelled, as a sentence. */
export function budgetReason({ limit, value, max }: CrewEventFields["crew.run.budget_exceeded"]): string {
  return `budget exceeded: ${limit} is ${max}, ${value} was used`;
}

/**
 * How long a run has been driven: what its log shows until this owner took it (`startedAt` to `lastEventAt`, wall
 * clock), and the owner's monotonic time since. Nobody's time in between does not count, nor does a clock that is set
 * while the owner drives. Milliseconds.
 */
export function drivenMs(
  before: { startedAt: number | null; lastEventAt: number },
  owner: { sinceMonotonicMs: number; monotonicMs: number },
): number {
  const logged = before.startedAt === null ? 0 : Math.max(0, before.lastEventAt - before.startedAt);
  return logged + Math.max(0, owner.monotonicMs - owner.sinceMonotonicMs);
}
