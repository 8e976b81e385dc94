import type { MetricHistory } from "../metrics/history.ts";
import { quantileOf } from "../metrics/quantile.ts";
import type { HistogramSeriesSnapshot, HistogramSnapshot, MetricsSnapshot } from "../metrics/snapshot.ts";
import { matchesGlob } from "../system/glob.ts";
import { inUnit, quantileText, seriesName } from "./metrics-table.ts";
import { type Cell, drawLine, drawTable, type Paint, PLAIN, type Row } from "./paint.ts";
import { formatCount } from "./units.ts";

export interface MetricsPaneOptions {
  /** Asked for what it holds now where no snapshot is given; without both, nothing is counted. */
  registry?: { snapshot(): MetricsSnapshot } | null;
  /** Series of counters, those with the greatest values. 10 if not given. */
  maxCounters?: number;
  /** Terminal columns no line exceeds. */
  width?: number;
  /** Pattern for metric names, `*` and `?`. */
  filter?: string;
  /** For the course of p95 by the minute. */
  history?: MetricHistory | null;
  paint?: Paint;
}

const STEPS = "▁▂▃▄▅▆▇█";
const COUNTERS_MAX = 10;
const WIDTH = 100;
const SPARK_COLUMNS = 60;
const NAME_COLUMNS_MIN = 28;
/** What count and quantiles take beside the name, with their gaps. */
const NUMBER_COLUMNS = 40;

/** The greatest counters and the spread of every histogram: the numbers of the same snapshot that `/metrics` is made of. */
export function renderMetricsPane(given: MetricsSnapshot | null, options: MetricsPaneOptions = {}): string[] {
  const { registry = null, maxCounters = COUNTERS_MAX, width = WIDTH, paint = PLAIN, filter = "" } = options;
  const muted = (text: string) => drawLine([{ text, tone: "muted" }], width, paint);
  const snapshot = given ?? registry?.snapshot() ?? null;
  if (snapshot === null) return [muted("Nothing is counted: observability.enabled is false in the configuration.")];
  const wanted = snapshot.filter(({ name }) => matchesGlob(filter === "" ? "*" : filter, name));
  const counters = counterRows(wanted);
  const shown = counters.slice(0, maxCounters);
  const of = counters.length > shown.length ? ` of ${counters.length}` : "";
  const head = (text: string) => drawLine([{ text, tone: "dim" }], width, paint);
  const top = [
    head(`COUNTERS, the ${shown.length} greatest${of}${filter === "" ? "" : ` that match ${filter}`}`),
    ...(shown.length === 0 ? [muted("none has been counted")] : drawTable(shown, width, paint, { shrinks: 0 })),
    "",
  ];
  return [...top, ...histogramLines(wanted, options)];
}

function counterRows(snapshot: MetricsSnapshot): Row[] {
  return snapshot
    .flatMap((metric) => (metric.kind === "counter" ? metric.series.map((series) => ({ metric, series })) : []))
    .sort((a, b) => b.series.value - a.series.value)
    .map(({ metric, series }) => ({
      cells: [
        seriesName(metric.name, series.labels),
        { text: inUnit(metric.unit, series.value), tone: "accent", right: true },
      ],
    }));
}

function histogramLines(snapshot: MetricsSnapshot, options: MetricsPaneOptions): string[] {
  const { width = WIDTH, history = null, paint = PLAIN } = options;
  const shown = snapshot.flatMap((metric) =>
    metric.kind === "histogram"
      ? metric.series.filter(({ count }) => count > 0).map((series) => ({ metric, series }))
      : [],
  );
  // beside the numbers where there is room for a name too, else below
  const beside = width >= NAME_COLUMNS_MIN + NUMBER_COLUMNS + SPARK_COLUMNS;
  const heads = ["HISTOGRAMS", "count", "p50", "p95", "p99", ...(beside ? ["p95 by the minute, last hour"] : [])];
  const sparks = shown.map(({ metric, series }) => sparkOf(history, metric, series));
  const rows = shown.map(({ metric, series }, at): Row => {
    const spark: Cell[] = beside ? [{ text: sparks[at] ?? "", tone: "success" }] : [];
    return { cells: [...numbersOf(metric, series), ...spark] };
  });
  const top: Row = { cells: heads.map((text, at): Cell => ({ text, tone: "dim", right: at > 0 && at < 5 })) };
  const [first = "", ...lines] = drawTable([top, ...rows], width, paint, { shrinks: 0 });
  const none =
    shown.length > 0 ? [] : [drawLine([{ text: "none has observed anything", tone: "muted" }], width, paint)];
  const below = (spark: string): Cell[] => [
    { text: `  ${spark}`, tone: "success" },
    { text: "  p95, last hour", tone: "dim" },
  ];
  return [
    first,
    ...lines.flatMap((line, at) => {
      const spark = beside ? "" : (sparks[at] ?? "").trim();
      return spark === "" ? [line] : [line, drawLine(below(spark), width, paint)];
    }),
    ...none,
  ];
}

function numbersOf(metric: HistogramSnapshot, series: HistogramSeriesSnapshot): Cell[] {
  const quantiles = [0.5, 0.95, 0.99].map(
    (q): Cell => ({ text: quantileText(metric.unit, quantileOf(metric, series, q)), right: true }),
  );
  return [seriesName(metric.name, series.labels), { text: formatCount(series.count), right: true }, ...quantiles];
}

function sparkOf(
  history: MetricHistory | null,
  { name }: HistogramSnapshot,
  { labels }: HistogramSeriesSnapshot,
): string {
  const key = JSON.stringify(labels);
  const trend = history?.trends(name).find((one) => JSON.stringify(one.labels ?? {}) === key);
  return sparkline(trend?.values ?? [], SPARK_COLUMNS);
}

/** One character a value, the greatest as high as it gets; a blank where nothing is known. The last `width` values. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = width < 1 ? [] : values.slice(-width);
  const most = Math.max(0, ...shown.filter(Number.isFinite));
  return shown.map((value) => (Number.isFinite(value) ? stepOf(value, most) : " ")).join("");
}

function stepOf(value: number, most: number): string {
  const share = most > 0 ? Math.max(0, value) / most : 0;
  return STEPS[Math.min(STEPS.length - 1, Math.floor(share * STEPS.length))] ?? "";
}
