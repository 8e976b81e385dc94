import type { TokenCounts } from "../events/crew-event.ts";
import type { RunState, TaskState } from "./run-state.ts";

export const NOTHING_USED = Object.freeze({ tokens: 0, costUsd: 0 });

/** All four kinds together: what a provider counts as the tokens of a reply. */
export function totalTokens(tokens: TokenCounts): number {
  return tokens.input + tokens.output + tokens.cacheRead + tokens.cacheWrite;
}

/** By a task with the attempt under way, so far. US dollars. */
export function usedBy(task: TaskState): { tokens: number; costUsd: number } {
  const { tokens, costUsd } = task.status === "running" ? task.used : NOTHING_USED;
  return { tokens: task.tokens + tokens, costUsd: task.costUsd + costUsd };
}

/** By a run with the attempts under way, so far. US dollars. */
export function usedInRun({ tasks, tokens, costUsd }: RunState): { tokens: number; costUsd: number } {
  const under = tasks.map((task) => (task.status === "running" ? task.used : NOTHING_USED));
  return {
    tokens: under.reduce((sum, used) => sum + used.tokens, tokens),
    costUsd: under.reduce((sum, used) => sum + used.costUsd, costUsd),
  };
}
