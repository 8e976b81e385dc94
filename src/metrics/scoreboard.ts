import { DurationBins } from "./duration-bins.ts";
import { rateOf, roundTo, type TaskTraits } from "./task-window.ts";

export type ScoreboardKey = "model" | "role" | "team" | "workflow";

export interface ScoreboardRow {
  name: string;
  count: number;
  success_rate: number;
  p50_seconds: number;
  p95_seconds: number;
  tokens: number;
  cost_usd: number;
  /** All money spent, by completed tasks; null when none was completed. */
  cost_per_success: number | null;
  /** Spent on attempts that came to nothing. */
  wasted_cost_usd: number;
}

interface TaskCost {
  seconds: number;
  tokens: number;
  costUsd: number;
  wastedUsd: number;
}

interface Standing {
  completed: number;
  durations: DurationBins;
  tokens: number;
  costUsd: number;
  wastedUsd: number;
}

/** How the tasks of each model, role, team or workflow did, or of each combination of some of these. */
export class Scoreboard {
  readonly #by: readonly ScoreboardKey[];
  readonly #standings = new Map<string, Standing>();

  constructor(by: readonly ScoreboardKey[]) {
    this.#by = by;
  }

  add(traits: TaskTraits, cost: TaskCost): void {
    const name = this.#by.map((key) => traits[key] || "none").join(" · ");
    let standing = this.#standings.get(name);
    if (!standing) {
      standing = { completed: 0, durations: new DurationBins(), tokens: 0, costUsd: 0, wastedUsd: 0 };
      this.#standings.set(name, standing);
    }
    if (traits.status === "completed") standing.completed++;
    standing.durations.add(cost.seconds);
    standing.tokens += cost.tokens;
    standing.costUsd += cost.costUsd;
    standing.wastedUsd += cost.wastedUsd;
  }

  /** The most used first. */
  rows(): ScoreboardRow[] {
    const rows = [...this.#standings].map(([name, { completed, durations, tokens, costUsd, wastedUsd }]) => ({
      name,
      count: durations.count,
      success_rate: rateOf(completed, durations.count - completed),
      p50_seconds: roundTo(durations.quantile(0.5), 3),
      p95_seconds: roundTo(durations.quantile(0.95), 3),
      tokens,
      cost_usd: roundTo(costUsd, 6),
      cost_per_success: completed === 0 ? null : roundTo(costUsd / completed, 6),
      wasted_cost_usd: roundTo(wastedUsd, 6),
    }));
    return rows.sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));
  }
}
