/**
 * What the metrics say at one moment, as plain values that survive JSON: the one interchange type for views, export
 * and store. Numbers are copies; a `labels` object is frozen and stays the same object for the life of its series,
 * so a reader may cache what it renders from it (in a WeakMap).
 */

/** What a value counts. Views and exporters convert from it; inside, it is never converted. */
export type MetricUnit = "count" | "ms" | "bytes" | "tokens" | "usd";

/** Label values in the order the names were declared. */
export type SeriesLabels = Readonly<Record<string, string>>;

export interface MetricFacts {
  readonly name: string;
  readonly help: string;
  readonly unit: MetricUnit;
  readonly labelNames: readonly string[];
}

export interface NumberSeries {
  readonly labels: SeriesLabels;
  readonly value: number;
}

export interface HistogramSeriesSnapshot {
  readonly labels: SeriesLabels;
  /** Always the sum of `buckets`. */
  readonly count: number;
  readonly sum: number;
  /** Observations per bucket, not cumulative: one per bound and a last one above all bounds. */
  readonly buckets: readonly number[];
}

export interface CounterSnapshot extends MetricFacts {
  readonly kind: "counter";
  readonly series: readonly NumberSeries[];
}

export interface GaugeSnapshot extends MetricFacts {
  readonly kind: "gauge";
  readonly series: readonly NumberSeries[];
}

export interface HistogramSnapshot extends MetricFacts {
  readonly kind: "histogram";
  /** Inclusive upper bounds, ascending, finite (never Infinity: JSON would make it null). */
  readonly bounds: readonly number[];
  readonly series: readonly HistogramSeriesSnapshot[];
}

export type MetricSnapshot = CounterSnapshot | GaugeSnapshot | HistogramSnapshot;

/** All metrics in the order they were registered, those without series included. */
export type MetricsSnapshot = readonly MetricSnapshot[];
