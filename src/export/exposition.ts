import type {
  HistogramSeriesSnapshot,
  MetricSnapshot,
  MetricsSnapshot,
  MetricUnit,
  NumberSeries,
  SeriesLabels,
} from "../metrics/snapshot.ts";
import { exportedValue, PrometheusNames } from "./prometheus-names.ts";

/**
 * Prometheus' text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/), or OpenMetrics 1.0
 * (https://prometheus.io/docs/specs/om/open_metrics_spec/).
 */
export type ExpositionFormat = "text" | "openmetrics";

/**
 * Writes the snapshots of one registry in one format. What stands before a series' numbers is rendered at its first
 * scrape; later ones only join numbers to it.
 */
export class Exposition {
  readonly #format: ExpositionFormat;
  readonly #names = new PrometheusNames();
  readonly #families = new Map<string, Family>();

  constructor(format: ExpositionFormat) {
    this.#format = format;
  }

  /** Ends in a line feed; the text format of no metric at all is empty. */
  render(snapshot: MetricsSnapshot): string {
    // each part begins with the line feed that ends the one before
    let text = "";
    for (const metric of snapshot) {
      const family = this.#familyOf(metric);
      text += text === "" ? family.head.slice(1) : family.head;
      if (metric.kind === "histogram") {
        for (let i = 0; i < metric.series.length; i++) {
          const series = metric.series[i] as HistogramSeriesSnapshot;
          text += histogramLines(family.prefixes(i, series.labels), series, family.tellsSum(series), metric.unit);
        }
      } else {
        for (let i = 0; i < metric.series.length; i++) {
          const { labels, value } = metric.series[i] as NumberSeries;
          text += family.prefixes(i, labels)[0] + numberText(exportedValue(value, metric.unit));
        }
      }
      family.forgetFrom(metric.series.length);
    }
    if (text !== "") text += "\n";
    return this.#format === "openmetrics" ? `${text}# EOF\n` : text;
  }

  #familyOf(metric: MetricSnapshot): Family {
    let family = this.#families.get(metric.name);
    if (family === undefined) {
      family = new Family(metric, this.#names, this.#format);
      this.#families.set(metric.name, family);
    }
    return family;
  }
}

/** What is the same at each scrape of a metric. */
class Family {
  /** HELP, TYPE and UNIT. */
  readonly head: string;
  /** Of each number of a series: its name, and the value of `le` if it has that label. */
  readonly #samples: readonly (readonly [name: string, le?: string])[];
  readonly #maySumFall: boolean;
  readonly #isOpen: boolean;
  /** In the order of the last snapshot. */
  readonly #rows: Row[] = [];

  constructor(metric: MetricSnapshot, names: PrometheusNames, format: ExpositionFormat) {
    const { base, text, unit } = names.of(metric);
    const isOpen = format === "openmetrics";
    this.#isOpen = isOpen;
    this.#maySumFall = metric.kind === "histogram" && Number(metric.bounds[0]) < 0;
    const title = isOpen ? base : text;
    const unitLine = isOpen && unit !== null ? `\n# UNIT ${title} ${unit}` : "";
    this.head = `\n# HELP ${title} ${helpText(metric.help, isOpen)}\n# TYPE ${title} ${metric.kind}${unitLine}`;
    if (metric.kind !== "histogram") {
      this.#samples = [[text]];
      return;
    }
    const write = isOpen ? canonicalText : numberText;
    const limits = metric.bounds.map((bound) => write(exportedValue(bound, metric.unit)));
    const buckets = [...limits, "+Inf"].map((le) => [`${base}_bucket`, le] as const);
    this.#samples = [...buckets, [`${base}_sum`], [`${base}_count`]];
  }

  /** Of the series at this place: before each of its numbers line feed, name, labels, blank. */
  prefixes(place: number, labels: SeriesLabels): readonly string[] {
    const known = this.#rows[place];
    // their order changes only when one is removed: a map of labels would cost more than the lines themselves
    if (known !== undefined && known.labels === labels) return known.prefixes;
    const own = Object.entries(labels).map(([name, value]) => `${name}="${labelText(value)}"`);
    const prefixes = this.#samples.map(([name, le]) => {
      const all = le === undefined ? own : [...own, `le="${le}"`];
      return `\n${name}${all.length === 0 ? "" : `{${all.join(",")}}`} `;
    });
    this.#rows[place] = { labels, prefixes };
    return prefixes;
  }

  /** In OpenMetrics a sum that may fall is no counter and must be left out, and the count with it. */
  tellsSum({ sum }: HistogramSeriesSnapshot): boolean {
    return !this.#isOpen || !(this.#maySumFall || sum < 0);
  }

  forgetFrom(place: number): void {
    if (this.#rows.length > place) this.#rows.length = place;
  }
}

interface Row {
  readonly labels: SeriesLabels;
  readonly prefixes: readonly string[];
}

function histogramLines(
  prefixes: readonly string[],
  series: HistogramSeriesSnapshot,
  tellsSum: boolean,
  unit: MetricUnit,
): string {
  const { buckets, count, sum } = series;
  let text = "";
  let below = 0;
  for (let i = 0; i < buckets.length; i++) {
    below += buckets[i] as number;
    text += (prefixes[i] as string) + below;
  }
  if (!tellsSum) return text;
  const sumText = numberText(exportedValue(sum, unit));
  return text + prefixes[buckets.length] + sumText + prefixes[buckets.length + 1] + count;
}

function numberText(value: number): string {
  return Number.isFinite(value) || Number.isNaN(value) ? String(value) : value > 0 ? "+Inf" : "-Inf";
}

/** OpenMetrics' canonical numbers, which the values of `le` must be: `1.0`, `0.25`, `1e+06`. */
function canonicalText(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e6)) return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

function labelText(value: string): string {
  return value.replace(/[\\"\n]/g, (char) => (char === "\n" ? "\\n" : `\\${char}`));
}

/** The text format knows no escaped quotes in HELP. */
function helpText(help: string, isOpen: boolean): string {
  const escaped = help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return isOpen ? escaped.replaceAll('"', '\\"') : escaped;
}
