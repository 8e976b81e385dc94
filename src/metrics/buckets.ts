/** Without a unit of their own; in milliseconds good for what takes up to ten seconds. */
export const DEFAULT_BOUNDS: readonly number[] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/** Runs, tasks, turns and waits between attempts: 100 ms to 8 h. Unit: milliseconds. */
export const DURATION_BOUNDS_MS: readonly number[] = [
  100, 250, 500, 1000, 2500, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000,
  3_600_000, 7_200_000, 14_400_000, 28_800_000,
];

/** The first token of a model's reply: 50 ms to 2 min. Unit: milliseconds. */
export const FIRST_TOKEN_BOUNDS_MS: readonly number[] = [
  50, 100, 250, 500, 750, 1000, 1500, 2000, 3000, 5000, 7500, 10_000, 15_000, 30_000, 60_000, 120_000,
];

/** Tool calls, from a file read to a build: 5 ms to 1 h. Unit: milliseconds. */
export const TOOL_BOUNDS_MS: readonly number[] = [
  5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000,
];

/** Attempts of a task: the configuration allows 1 to 10. */
export const ATTEMPT_BOUNDS: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/** Integer bounds up to this get a table of one byte per integer. */
const TABLE_BOUND_MAX = 10_000;

export const BOUNDS_MAX = 200;

/** Says which bucket a value falls in: the first whose upper bound is not below it, as Prometheus' `le`. */
export class Buckets {
  readonly bounds: readonly number[];
  readonly #sorted: Float64Array;
  readonly #table: Uint8Array | null;

  /** Throws unless the bounds are finite and ascending, at least one and at most `BOUNDS_MAX`. */
  constructor(bounds: readonly number[]) {
    const ascending = bounds.every((bound, i) => Number.isFinite(bound) && (i === 0 || bound > Number(bounds[i - 1])));
    if (bounds.length === 0 || bounds.length > BOUNDS_MAX || !ascending) {
      throw new Error(`buckets must be 1 to ${BOUNDS_MAX} finite, ascending bounds, not [${bounds.join(", ")}]`);
    }
    this.bounds = Object.freeze([...bounds]);
    this.#sorted = new Float64Array(bounds);
    this.#table = tableOf(bounds);
  }

  /** 0 to `bounds.length`; the last is above all bounds. `value` must not be NaN. */
  indexOf(value: number): number {
    const table = this.#table;
    if (table !== null) {
      if (value <= 0) return 0;
      return value <= table.length - 1 ? (table[Math.ceil(value)] as number) : this.#sorted.length;
    }
    const sorted = this.#sorted;
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (value <= (sorted[middle] as number)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** Exact for positive integer bounds, where a value and its ceiling share a bucket. */
function tableOf(bounds: readonly number[]): Uint8Array | null {
  const last = bounds.at(-1) ?? 0;
  if (last > TABLE_BOUND_MAX || !bounds.every((bound) => Number.isInteger(bound) && bound > 0)) return null;
  const table = new Uint8Array(last + 1);
  // filled in pieces: at a session's start a loop over all the integers would be seen
  for (const [bucket, bound] of bounds.entries()) table.fill(bucket, (bounds[bucket - 1] ?? -1) + 1, bound + 1);
  return table;
}
