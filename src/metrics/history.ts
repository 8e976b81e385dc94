import { estimateQuantile, mergeBuckets } from "./quantile.ts";
import type { MetricSnapshot, MetricsSnapshot, SeriesLabels } from "./snapshot.ts";

/** Steps that are kept. */
export const HISTORY_STEPS = 60;
export const STEP_MS = 60_000;

/** One value a minute, oldest first, the newest last; NaN where nothing is known. */
export interface Trend {
  /** Null for all series of the metric taken together. */
  readonly labels: SeriesLabels | null;
  /** A counter's growth, a gauge's value, a histogram's p95 of what was observed in that minute. */
  readonly values: readonly number[];
  /** A histogram's observations in each minute; null for the others. */
  readonly counts: readonly number[] | null;
}

/** What was known of a series at the last sample, and its ring of minutes. */
interface Track {
  labels: SeriesLabels | null;
  total: number;
  buckets: readonly number[];
  sum: number;
  values: Float64Array;
  counts: Float64Array | null;
}

/** Counters and histograms by what they hold now, gauges by their value; histograms with their buckets and sum. */
interface Reading {
  labels: SeriesLabels | null;
  value: number;
  buckets: readonly number[];
  sum: number;
}

/**
 * The last hour of every series at steps of one minute, in memory: 60 numbers for each (120 for a histogram's) and as
 * many for each metric as a whole. A gauge's series that is gone is forgotten with its past.
 */
export class MetricHistory {
  readonly #tracks = new Map<string, Map<string, Track>>();
  /** Number of the newest step. */
  #step = -1;
  #sampledAt = 0;

  /**
   * To be called each minute with a clock that is not set (`monotonicMs`). Steps that were missed stay unknown, and
   * what was counted in them shows in the next one. Calls within half a step are left to the next.
   */
  sample(snapshot: MetricsSnapshot, monotonicMs: number): void {
    const steps = this.#step < 0 ? 1 : Math.round((monotonicMs - this.#sampledAt) / STEP_MS);
    if (steps < 1) return;
    const from = Math.max(this.#step + 1, this.#step + 1 + steps - HISTORY_STEPS);
    this.#step += steps;
    this.#sampledAt = monotonicMs;
    for (const metric of snapshot) this.#sampleMetric(metric, from);
  }

  /** The metric as a whole first when it has labels, then its series; empty for a name that was never sampled. */
  trends(name: string): Trend[] {
    return Array.from(this.#tracks.get(name)?.values() ?? [], ({ labels, values, counts }) => ({
      labels,
      values: this.#inOrder(values),
      counts: counts && this.#inOrder(counts),
    }));
  }

  #sampleMetric(metric: MetricSnapshot, from: number): void {
    const before = this.#tracks.get(metric.name) ?? new Map<string, Track>();
    const now = new Map<string, Track>();
    for (const reading of readingsOf(metric)) {
      const key = JSON.stringify(reading.labels === null ? null : Object.values(reading.labels));
      const track = before.get(key) ?? newTrack(reading.labels, metric.kind);
      for (let step = from; step < this.#step; step++) put(track, step, Number.NaN, Number.NaN);
      sampleTrack(track, reading, metric, this.#step);
      now.set(key, track);
    }
    this.#tracks.set(metric.name, now);
  }

  #inOrder(ring: Float64Array): number[] {
    const length = Math.min(HISTORY_STEPS, this.#step + 1);
    return Array.from({ length }, (_, i) => ring[(this.#step - length + 1 + i) % HISTORY_STEPS] as number);
  }
}

function readingsOf(metric: MetricSnapshot): Reading[] {
  const series: Reading[] =
    metric.kind === "histogram"
      ? metric.series.map(({ labels, count, buckets, sum }) => ({ labels, value: count, buckets, sum }))
      : metric.series.map(({ labels, value }) => ({ labels, value, buckets: [], sum: 0 }));
  if (metric.labelNames.length === 0 || series.length === 0) return series;
  const length = metric.kind === "histogram" ? metric.bounds.length + 1 : 0;
  const whole: Reading = {
    labels: null,
    value: series.reduce((sum, { value }) => sum + value, 0),
    buckets: mergeBuckets(
      length,
      series.map(({ buckets }) => buckets),
    ),
    sum: series.reduce((sum, reading) => sum + reading.sum, 0),
  };
  return [whole, ...series];
}

function newTrack(labels: SeriesLabels | null, kind: MetricSnapshot["kind"]): Track {
  const ring = () => new Float64Array(HISTORY_STEPS).fill(Number.NaN);
  return { labels, total: 0, buckets: [], sum: 0, values: ring(), counts: kind === "histogram" ? ring() : null };
}

function sampleTrack(track: Track, reading: Reading, metric: MetricSnapshot, step: number): void {
  const grown = reading.value - track.total;
  if (metric.kind === "histogram") {
    const buckets = reading.buckets.map((count, i) => count - (track.buckets[i] ?? 0));
    put(track, step, estimateQuantile(metric.bounds, buckets, reading.sum - track.sum, 0.95).value, grown);
  } else put(track, step, metric.kind === "counter" ? grown : reading.value, Number.NaN);
  track.total = reading.value;
  track.buckets = reading.buckets;
  track.sum = reading.sum;
}

function put(track: Track, step: number, value: number, count: number): void {
  track.values[step % HISTORY_STEPS] = value;
  if (track.counts !== null) track.counts[step % HISTORY_STEPS] = count;
}
