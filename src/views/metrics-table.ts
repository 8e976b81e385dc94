import { type QuantileEstimate, quantileOf } from "../metrics/quantile.ts";
import type {
  HistogramSeriesSnapshot,
  HistogramSnapshot,
  MetricSnapshot,
  MetricsSnapshot,
  MetricUnit,
  SeriesLabels,
} from "../metrics/snapshot.ts";
import { matchesGlob } from "../system/glob.ts";
import { clip, columns, pad, padBefore, wrap } from "./text-width.ts";
import { formatCount, formatDuration, formatUsd } from "./units.ts";

export interface MetricsTableOptions {
  /** Pattern for metric names, `*` and `?`; all metrics without it. */
  glob?: string | undefined;
  /** Terminal columns no line exceeds. */
  width: number;
}

interface Row {
  label: string;
  value: string;
  /** A histogram's summary, which is no number to align. */
  long: boolean;
}

const QUANTILES = [
  ["p50", 0.5],
  ["p95", 0.95],
  ["p99", 0.99],
] as const;

const GAP = "  ";
const GLOB_SHOWN_MAX = 60;
const EXAMPLES_MAX = 3;

/** The metrics as lines: `name{label=value}  value`, by name; or a sentence when there is nothing to show. */
export function renderMetricsTable(snapshot: MetricsSnapshot, options: MetricsTableOptions): string[] {
  const width = Math.max(1, Math.floor(options.width));
  const { glob = "*" } = options;
  const matching = snapshot.filter((metric) => matchesGlob(glob, metric.name));
  const rows = [...matching].sort(byName).flatMap(rowsOf);
  if (rows.length === 0) return wrap(nothingToShow(snapshot, matching, glob), width);
  const numbers = rows.filter((row) => !row.long);
  const valueWidth = Math.max(0, ...numbers.map((row) => columns(row.value)));
  const room = Math.max(0, width - GAP.length - valueWidth);
  const fitting = numbers.map((row) => columns(row.label)).filter((label) => label <= room);
  const labelWidth = Math.max(0, ...fitting);
  return rows.flatMap((row) => rowLines(row, { labelWidth, valueWidth, width }));
}

function byName(a: MetricSnapshot, b: MetricSnapshot): number {
  return a.name < b.name ? -1 : Number(a.name > b.name);
}

function rowsOf(metric: MetricSnapshot): Row[] {
  const rows: Row[] =
    metric.kind === "histogram"
      ? metric.series.map((series) => ({
          label: seriesName(metric.name, series.labels),
          value: summary(metric, series),
          long: true,
        }))
      : metric.series.map((series) => ({
          label: seriesName(metric.name, series.labels),
          value: inUnit(metric.unit, series.value),
          long: false,
        }));
  return rows.sort((a, b) => (a.label < b.label ? -1 : Number(a.label > b.label)));
}

/** Label values come from models, tools and files: nothing in them may steer a terminal. */
export function seriesName(name: string, labels: SeriesLabels): string {
  const parts = Object.entries(labels).map(([label, value]) => `${label}=${printable(value)}`);
  return parts.length === 0 ? name : `${name}{${parts.join(",")}}`;
}

function summary(metric: HistogramSnapshot, series: HistogramSeriesSnapshot): string {
  if (series.count === 0) return "count 0";
  // of one value the value itself is known; an estimate from its bucket would only mislead
  if (series.count === 1) return `count 1${GAP}value ${inUnit(metric.unit, series.sum)}`;
  const quantiles = QUANTILES.map(([title, q]) => {
    return `${title} ${quantileText(metric.unit, quantileOf(metric, series, q))}`;
  });
  return [`count ${formatCount(series.count)}`, `sum ${inUnit(metric.unit, series.sum)}`, ...quantiles].join(GAP);
}

/** `> 10` when it lies above the last bound. */
export function quantileText(unit: MetricUnit, { value, over }: QuantileEstimate): string {
  return `${over ? "> " : ""}${inUnit(unit, value)}`;
}

export function inUnit(unit: MetricUnit, value: number): string {
  if (unit === "ms") return formatDuration(value);
  if (unit === "usd") return formatUsd(value);
  return unit === "bytes" ? `${formatCount(value)} B` : formatCount(value);
}

/** One line where it fits; else the value stands below, so that labels which differ late stay apart. */
function rowLines(row: Row, at: { labelWidth: number; valueWidth: number; width: number }): string[] {
  const { labelWidth, valueWidth, width } = at;
  const value = row.long ? row.value : padBefore(row.value, valueWidth);
  const line = `${pad(row.label, labelWidth)}${GAP}${value}`;
  if (columns(line) <= width) return [line];
  const indented = wrap(row.value, Math.max(1, width - GAP.length), GAP).map((part) => clip(`${GAP}${part}`, width));
  return [clip(row.label, width), ...indented];
}

function nothingToShow(snapshot: MetricsSnapshot, matching: MetricsSnapshot, glob: string): string {
  if (snapshot.length === 0) return "No metrics are registered in this session.";
  if (matching.length > 0) {
    const names = matching.slice(0, EXAMPLES_MAX).map((metric) => metric.name);
    return `Nothing has been counted yet by ${listed(names, matching.length)}.`;
  }
  const wanted = glob.toLowerCase();
  const nearest = [...snapshot]
    .sort((a, b) => shared(b.name, wanted) - shared(a.name, wanted) || byName(a, b))
    .slice(0, EXAMPLES_MAX)
    .map((metric) => metric.name);
  return `No metric matches "${clip(printable(glob), GLOB_SHOWN_MAX)}". There are, for example, ${listed(nearest, nearest.length)}.`;
}

function listed(names: readonly string[], total: number): string {
  const more = total > names.length ? ` and ${total - names.length} more` : "";
  return `${names.join(", ")}${more}`;
}

/** How many characters two texts share from the start. */
function shared(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}
