import type { TokenCounts } from "../events/crew-event.ts";
import { totalTokens } from "./apply-event.ts";
import { attemptUnderWay, type RunState, taskOf } from "./run-state.ts";

interface AttemptUsage {
  attempt: number;
  tokens: number;
  /** US dollars. */
  costUsd: number;
}

/** What attempts under way have used up, as their workers' records grow; in memory alone. */
export class UsageUnderWay {
  /** By task. */
  readonly #attempts = new Map<string, AttemptUsage>();
  readonly #listeners = new Set<() => void>();

  onGrowth(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** From the attempt's begin on: it stands in place of what was told before. */
  tell(taskId: string, attempt: number, tokens: TokenCounts, costUsd: number): void {
    this.#attempts.set(taskId, { attempt, tokens: totalTokens(tokens), costUsd });
    for (const listener of this.#listeners) listener();
  }

  /** Nobody follows the task's attempt any more. */
  drop(taskId: string): void {
    this.#attempts.delete(taskId);
  }

  /** The whole run's. Of an attempt whose end is folded, the state has it, whatever was told here. */
  with(state: RunState): { tokens: number; costUsd: number } {
    let { tokens, costUsd } = state;
    for (const [taskId, used] of this.#attempts) {
      const task = taskOf(state, taskId);
      if (!task || attemptUnderWay(task)?.attempt !== used.attempt) continue;
      tokens += used.tokens;
      costUsd += used.costUsd;
    }
    return { tokens, costUsd };
  }
}
