import type { CrewEventFields } from "../events/crew-event.ts";
import type { RunLimits } from "../runs/run-config.ts";

/** Whether a run has used up more than it may. Pure. */

export interface RunUsage {
  costUsd: number;
  tokens: number;
  durationMs: number;
}

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
  // sums of prices have more digits than meaning
  const used = limit === "maxDurationMs" ? Math.round(value) : Number(value.toPrecision(6));
  return `budget exceeded: ${limit} is ${max}, ${used} was used`;
}
