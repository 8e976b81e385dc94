import type { HistogramSeriesSnapshot, HistogramSnapshot } from "./snapshot.ts";

/** A quantile read from buckets. `over`: it lies above the last bound, which is what `value` is then. */
export interface QuantileEstimate {
  readonly value: number;
  readonly over: boolean;
}

/**
 * The `q`-quantile of bucketed observations by linear interpolation within its bucket, as Prometheus'
 * `histogram_quantile`: the first bucket starts at 0 when its bound is positive, else it is its bound.
 * Of values that are not negative none can be larger than the sum leaves room for, which bounds what is read from few.
 * `buckets` are counts per bucket, one more than `bounds`; `sum` is that of the values. NaN when empty. Throws unless
 * 0 <= q <= 1.
 */
export function estimateQuantile(
  bounds: readonly number[],
  buckets: readonly number[],
  sum: number,
  q: number,
): QuantileEstimate {
  if (!(q >= 0 && q <= 1)) throw new RangeError(`a quantile lies between 0 and 1, not ${q}`);
  const total = buckets.reduce((before, count) => before + count, 0);
  if (total === 0) return { value: Number.NaN, over: false };
  const rank = q * total;
  // this value, and each of those behind it, is at least as large
  const room = sum / (total - Math.max(1, Math.ceil(rank)) + 1);
  let below = 0;
  for (const [i, count] of buckets.entries()) {
    if (count > 0 && below + count >= rank) return inBucket(bounds, i, (rank - below) / count, room);
    below += count;
  }
  // Only rounding of `q * total` gets here.
  return inBucket(bounds, buckets.length - 1, 1, room);
}

/** The `q`-quantile of a series as it is shown. Of what is counted in whole ones, half a one is no estimate. */
export function quantileOf(
  { bounds, unit }: Pick<HistogramSnapshot, "bounds" | "unit">,
  { buckets, sum }: Pick<HistogramSeriesSnapshot, "buckets" | "sum">,
  q: number,
): QuantileEstimate {
  const { value, over } = estimateQuantile(bounds, buckets, sum, q);
  return { value: unit === "count" ? Math.ceil(value) : value, over };
}

function inBucket(bounds: readonly number[], index: number, share: number, room: number): QuantileEstimate {
  const upper = bounds[index];
  if (upper === undefined) return { value: bounds.at(-1) ?? Number.NaN, over: true };
  const lower = index > 0 ? (bounds[index - 1] ?? upper) : Math.min(0, upper);
  if (index === 0 && upper <= 0) return { value: upper, over: false };
  const value = lower + (upper - lower) * share;
  const mayBeNegative = (bounds[0] ?? 0) <= 0;
  return { value: mayBeNegative ? value : Math.max(lower, Math.min(value, room)), over: false };
}

/** Counts of several series with the same bounds, added bucket by bucket; `length` zeros when there is none. */
export function mergeBuckets(length: number, series: Iterable<ArrayLike<number>>): number[] {
  const merged = new Array<number>(length).fill(0);
  for (const buckets of series) {
    for (let i = 0; i < length; i++) merged[i] = (merged[i] ?? 0) + (buckets[i] ?? 0);
  }
  return merged;
}
