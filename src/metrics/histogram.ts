import type { Buckets } from "./buckets.ts";
import type { MetricSetup } from "./counter.ts";
import { type AnyLabels, type LabelMatch, LabelSet, type Labels } from "./label-set.ts";
import { estimateQuantile, mergeBuckets, type QuantileEstimate } from "./quantile.ts";
import type { HistogramSnapshot, MetricFacts, SeriesLabels } from "./snapshot.ts";

/** One series, for hot paths: no label lookup, no allocation. */
export interface BoundHistogram {
  /** Throws on NaN or an infinite value. */
  observe(value: number): void;
}

/** How values are distributed. `L` is the union of its declared label names. */
export interface Histogram<L extends string = string> extends MetricFacts {
  readonly kind: "histogram";
  /** Inclusive upper bounds, ascending. */
  readonly bounds: readonly number[];
  /** Throws on NaN or an infinite value. */
  observe(labels: Labels<L>, value: number): void;
  labels(labels: Labels<L>): BoundHistogram;
  /**
   * The `q`-quantile (0 to 1) of the series these labels match, taken together; of all without labels. NaN when
   * empty, the last bound when it lies above it. Throws when `q` is out of range.
   */
  quantile(match: LabelMatch<L> | undefined, q: number): number;
  /** As `quantile`, and whether the value lies above the last bound. */
  estimate(match: LabelMatch<L> | undefined, q: number): QuantileEstimate;
  /** Observations in the series these labels match. */
  count(match?: LabelMatch<L>): number;
  /** Sum of the values in the series these labels match. */
  sum(match?: LabelMatch<L>): number;
  snapshot(): HistogramSnapshot;
}

class HistogramSeries implements BoundHistogram {
  readonly labels: SeriesLabels;
  readonly counts: Float64Array;
  sum = 0;
  readonly #buckets: Buckets;

  constructor(labels: SeriesLabels, buckets: Buckets) {
    this.labels = labels;
    this.counts = new Float64Array(buckets.bounds.length + 1);
    this.#buckets = buckets;
  }

  observe(value: number): void {
    if (!Number.isFinite(value)) throw badValue(value);
    this.add(value);
  }

  /** `value` is finite. */
  add(value: number): void {
    const index = this.#buckets.indexOf(value);
    this.counts[index] = (this.counts[index] as number) + 1;
    this.sum += value;
  }
}

export class LabelledHistogram implements MetricFacts {
  readonly kind = "histogram";
  readonly name: string;
  readonly help: string;
  readonly unit: MetricFacts["unit"];
  readonly labelNames: readonly string[];
  readonly bounds: readonly number[];
  readonly #set: LabelSet<HistogramSeries>;

  constructor(setup: MetricSetup & { readonly buckets: Buckets }) {
    this.name = setup.name;
    this.help = setup.help;
    this.unit = setup.unit;
    this.labelNames = setup.labelNames;
    this.bounds = setup.buckets.bounds;
    const create = (labels: SeriesLabels) => new HistogramSeries(labels, setup.buckets);
    this.#set = new LabelSet({ ...setup, names: setup.labelNames, create });
    if (setup.labelNames.length === 0) this.#set.at(undefined);
  }

  observe(labels: AnyLabels | undefined, value: number): void {
    if (!Number.isFinite(value)) throw badValue(value);
    this.#set.at(labels).add(value);
  }

  labels(labels?: AnyLabels): BoundHistogram {
    return this.#set.at(labels);
  }

  quantile(match: AnyLabels | undefined, q: number): number {
    return this.estimate(match, q).value;
  }

  estimate(match: AnyLabels | undefined, q: number): QuantileEstimate {
    return estimateQuantile(this.bounds, this.#merged(match), this.sum(match), q);
  }

  count(match?: AnyLabels): number {
    return this.#merged(match).reduce((sum, count) => sum + count, 0);
  }

  sum(match?: AnyLabels): number {
    return this.#set.matching(match).reduce((sum, series) => sum + series.sum, 0);
  }

  snapshot(): HistogramSnapshot {
    const { kind, name, help, unit, labelNames, bounds } = this;
    const series = this.#set.series().map(({ labels, counts, sum }) => {
      const buckets = new Array<number>(counts.length);
      let count = 0;
      for (let i = 0; i < counts.length; i++) {
        const inBucket = counts[i] as number;
        buckets[i] = inBucket;
        count += inBucket;
      }
      return { labels, count, sum, buckets };
    });
    return { kind, name, help, unit, labelNames, bounds, series };
  }

  #merged(match: AnyLabels | undefined): number[] {
    const counts = this.#set.matching(match).map((series) => series.counts);
    return mergeBuckets(this.bounds.length + 1, counts);
  }
}

function badValue(value: number): RangeError {
  return new RangeError(`a histogram takes finite numbers, not ${value}`);
}
