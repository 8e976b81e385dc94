import { DurationBins } from "./duration-bins.ts";

/** What tasks are told apart by. `model` is `none` for kinds without one. */
export interface TaskTraits {
  readonly status: "completed" | "failed";
  readonly taskType: string;
  readonly model: string;
  readonly project: string;
  readonly role: string;
  readonly team: string;
  readonly workflow: string;
}

/** What is told of the tasks that ended in a window of time. Rates have 4 digits, durations 3. */
export interface TaskAggregate {
  success_rate: { completed: number; failed: number; total: number; rate: number };
  execution_time: { p50_seconds: number; p95_seconds: number };
  by_task_type: Record<string, { count: number; completed: number; failed: number; success_rate: number }>;
  by_model: Record<string, { count: number; avg_duration: number }>;
}

/** What a task with certain traits counts towards. */
export interface TaskCell {
  readonly completed: boolean;
  readonly type: Tally;
  readonly model: Tally;
}

/** Columns: which cell a task counts towards, and what it took. */
export interface TaskRows {
  readonly trait: Uint32Array;
  readonly seconds: Float64Array;
}

interface Tally {
  completed: number;
  failed: number;
  /** Of models alone. */
  seconds: number;
}

/** A running total of the tasks in a window: they are added when they come and removed when they are too old. */
export class TaskWindow {
  readonly #all = newTally();
  readonly #types = new Map<string, Tally>();
  readonly #models = new Map<string, Tally>();
  readonly #durations: DurationBins;

  /** Exact as long as `DurationBins` are by themselves, or not from the start, which is much less work. */
  constructor(exact = true) {
    this.#durations = exact ? new DurationBins() : new DurationBins(0);
  }

  get exact(): boolean {
    return this.#durations.exact;
  }

  cellOf({ status, taskType, model }: TaskTraits): TaskCell {
    const [type, byModel] = [tallyIn(this.#types, taskType), tallyIn(this.#models, model)];
    return { completed: status === "completed", type, model: byModel };
  }

  add(cell: TaskCell, seconds: number): void {
    this.count(cell, 1);
    this.addSeconds(cell, seconds);
    this.#durations.add(seconds);
  }

  /**
   * Some rows of columns, each with the number of its cell. Many, and perhaps before any of this was compiled: so plain
   * arrays of numbers, and nothing else, in the loops over them.
   */
  addRows(cells: readonly (TaskCell | null)[], columns: TaskRows, rows: Uint32Array): void {
    const { trait, seconds } = columns;
    const models = [...new Set(cells.flatMap((cell) => cell?.model ?? []))];
    const modelOf = Int32Array.from(cells, (cell) => (cell ? models.indexOf(cell.model) : 0));
    const [counts, sums] = [new Float64Array(cells.length), Float64Array.from(models, (model) => model.seconds)];
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i] as number;
      const id = trait[row] as number;
      const model = modelOf[id] as number;
      counts[id] = (counts[id] as number) + 1;
      sums[model] = (sums[model] as number) + (seconds[row] as number);
    }
    for (const [id, cell] of cells.entries()) if (cell) this.count(cell, counts[id] as number);
    for (const [at, model] of models.entries()) model.seconds = sums[at] as number;
    this.#durations.addRows(seconds, rows);
  }

  /** Tasks of one cell. What they took is told by `addSeconds` and `addBins`. */
  count({ completed, type, model }: TaskCell, by: number): void {
    for (const tally of [this.#all, type, model]) {
      if (completed) tally.completed += by;
      else tally.failed += by;
    }
  }

  addSeconds(cell: TaskCell, seconds: number): void {
    cell.model.seconds += seconds;
  }

  addBins(bins: readonly number[]): void {
    this.#durations.addBins(bins);
  }

  remove(cell: TaskCell, seconds: number): void {
    this.count(cell, -1);
    this.addSeconds(cell, -seconds);
    this.#durations.remove(seconds);
  }

  aggregate(): TaskAggregate {
    const { completed, failed } = this.#all;
    const rate = rateOf(completed, failed);
    return {
      success_rate: { completed, failed, total: completed + failed, rate },
      execution_time: {
        p50_seconds: roundTo(this.#durations.quantile(0.5), 3),
        p95_seconds: roundTo(this.#durations.quantile(0.95), 3),
      },
      by_task_type: tableOf(this.#types, (tally) => ({
        count: tally.completed + tally.failed,
        completed: tally.completed,
        failed: tally.failed,
        success_rate: rateOf(tally.completed, tally.failed),
      })),
      by_model: tableOf(this.#models, (tally) => {
        const count = tally.completed + tally.failed;
        return { count, avg_duration: roundTo(tally.seconds / count, 3) };
      }),
    };
  }
}

/** With 4 digits; 1 means that none failed, and 0 that none was completed. 0 when there is nothing. */
export function rateOf(completed: number, failed: number): number {
  if (completed === 0) return 0;
  const rounded = roundTo(completed / (completed + failed), 4);
  return failed === 0 ? 1 : Math.min(0.9999, Math.max(0.0001, rounded));
}

export function roundTo(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}

function newTally(): Tally {
  return { completed: 0, failed: 0, seconds: 0 };
}

function tallyIn(tallies: Map<string, Tally>, name: string): Tally {
  const known = tallies.get(name);
  if (known) return known;
  const made = newTally();
  tallies.set(name, made);
  return made;
}

/** By name; a name such as `__proto__` is one like the others. */
function tableOf<Row>(tallies: Map<string, Tally>, rowOf: (tally: Tally) => Row): Record<string, Row> {
  const used = [...tallies].filter(([, { completed, failed }]) => completed + failed > 0);
  used.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(used.map(([name, tally]) => [name, rowOf(tally)]));
}
