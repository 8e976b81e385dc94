import { quantileOf } from "./quantile.ts";
import type {
  HistogramSeriesSnapshot,
  HistogramSnapshot,
  MetricSnapshot,
  MetricsSnapshot,
  NumberSeries,
  SeriesLabels,
} from "./snapshot.ts";

/** What one series did between two moments, as plain values that survive JSON. */
export type SeriesSummary =
  | { readonly kind: "counter"; readonly labels: SeriesLabels; readonly grown: number }
  | { readonly kind: "gauge"; readonly labels: SeriesLabels; readonly last: number }
  | {
      readonly kind: "histogram";
      readonly labels: SeriesLabels;
      readonly count: number;
      readonly sum: number;
      /** The last bound where `over` names the quantile. */
      readonly p50: number;
      readonly p95: number;
      readonly p99: number;
      /** Quantiles that lie above the last bound. */
      readonly over: readonly string[];
    };

export interface MetricSummary {
  readonly name: string;
  readonly series: readonly SeriesSummary[];
}

const QUANTILES = { p50: 0.5, p95: 0.95, p99: 0.99 } as const;

/**
 * What happened from one snapshot of a registry to a later one; `from` is empty for all since its start. Series in
 * which nothing happened are left out, gauges tell their last value.
 */
export function summarise(from: MetricsSnapshot, to: MetricsSnapshot): MetricSummary[] {
  const before = new Map(from.flatMap(({ name, series }) => series.map((one) => [keyOf(name, one.labels), one])));
  return to.flatMap((metric) => {
    const { name } = metric;
    const series = metric.series.flatMap((one) => seriesSummary(metric, one, before.get(keyOf(name, one.labels))));
    return series.length === 0 ? [] : [{ name, series }];
  });
}

type AnySeries = MetricSnapshot["series"][number];

function seriesSummary(metric: MetricSnapshot, now: AnySeries, past: AnySeries | undefined): SeriesSummary[] {
  const { labels } = now;
  if ("buckets" in now) {
    return histogramSummary(metric as HistogramSnapshot, now, past as HistogramSeriesSnapshot | undefined);
  }
  if (metric.kind === "gauge") return [{ kind: "gauge", labels, last: now.value }];
  const grown = now.value - ((past as NumberSeries | undefined)?.value ?? 0);
  return grown > 0 ? [{ kind: "counter", labels, grown }] : [];
}

function histogramSummary(
  metric: HistogramSnapshot,
  now: HistogramSeriesSnapshot,
  past: HistogramSeriesSnapshot | undefined,
): SeriesSummary[] {
  const count = now.count - (past?.count ?? 0);
  if (count <= 0) return [];
  const buckets = now.buckets.map((inBucket, i) => inBucket - (past?.buckets[i] ?? 0));
  const sum = now.sum - (past?.sum ?? 0);
  const at = (q: keyof typeof QUANTILES) => quantileOf(metric, { buckets, sum }, QUANTILES[q]);
  const over = (["p50", "p95", "p99"] as const).filter((q) => at(q).over);
  const [p50, p95, p99] = [at("p50").value, at("p95").value, at("p99").value];
  return [{ kind: "histogram", labels: now.labels, count, sum, p50, p95, p99, over }];
}

function keyOf(name: string, labels: SeriesLabels): string {
  return JSON.stringify([name, ...Object.values(labels)]);
}
