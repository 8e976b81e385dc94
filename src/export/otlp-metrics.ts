import type {
  CounterSnapshot,
  GaugeSnapshot,
  HistogramSnapshot,
  MetricSnapshot,
  MetricUnit,
  SeriesLabels,
} from "../metrics/snapshot.ts";
import { ByteText, envelopeOf, keyValues, type Teller, textValue, unixNano, wellFormed } from "./otlp-json.ts";

type HistogramData = Omit<HistogramSnapshot, "unit"> & { readonly unit: MetricUnit | "s" };

/** What can be encoded: the registry's metrics, and histograms in seconds where a convention says so. */
export type EncodableMetric = CounterSnapshot | GaugeSnapshot | HistogramData;

/** In UCUM; `{…}` only annotates, so that stores add no suffix for it. */
const UCUM: Readonly<Record<MetricUnit | "s", string>> = {
  count: "{count}",
  ms: "ms",
  s: "s",
  bytes: "By",
  tokens: "{token}",
  usd: "USD",
};

/** How each kind's data begins. 2 is AGGREGATION_TEMPORALITY_CUMULATIVE: each number counts from the start. */
const DATA: Readonly<Record<MetricSnapshot["kind"], string>> = {
  counter: '"sum":{"aggregationTemporality":2,"isMonotonic":true,',
  gauge: '"gauge":{',
  histogram: '"histogram":{"aggregationTemporality":2,',
};

const BYTES_SPARE = 16_384;

/** A request body and the data points in it. */
export interface EncodedMetrics {
  /** UTF-8. */
  readonly body: Uint8Array;
  readonly points: number;
}

/**
 * Writes an ExportMetricsServiceRequest as JSON. What is the same at each push (a series' attributes and start) is
 * rendered once, and what is the same for all points of a push (time and bounds) once per metric. A number that is not
 * finite has no form in JSON: its point is left out.
 */
export class OtlpMetricsEncoder {
  readonly #head: string;
  readonly #tail: string;
  readonly #startMs: number;
  /** What stands before a series' numbers. A `labels` object belongs to one series. */
  readonly #prefixes = new WeakMap<SeriesLabels, string>();
  #bytesBefore = BYTES_SPARE;

  /** `startMs`: when counting began, milliseconds since 1970; the same for the life of the registry. */
  constructor(teller: Teller, startMs: number) {
    ({ head: this.#head, tail: this.#tail } = envelopeOf(teller, "Metrics"));
    this.#startMs = startMs;
  }

  /** `nowMs` in milliseconds since 1970; a clock that was set back before the start counts as the start. */
  encode(metrics: Iterable<EncodableMetric>, nowMs: number): EncodedMetrics {
    const time = `"timeUnixNano":"${unixNano(Math.max(this.#startMs, nowMs))}"`;
    const text = new ByteText(this.#bytesBefore);
    text.add(this.#head);
    let points = 0;
    for (const metric of metrics) {
      const facts = { name: metric.name, description: wellFormed(metric.help), unit: UCUM[metric.unit] };
      const head = `${JSON.stringify(facts).slice(0, -1)},${DATA[metric.kind]}"dataPoints":[`;
      const before = points === 0 ? head : `,${head}`;
      const written =
        metric.kind === "histogram"
          ? this.#histogramPoints(metric, time, before, text)
          : this.#numberPoints(metric, time, before, text);
      if (written > 0) text.add("]}}");
      points += written;
    }
    text.add(this.#tail);
    const body = text.done();
    this.#bytesBefore = body.byteLength + BYTES_SPARE;
    return { body, points };
  }

  /** Says how many there were; `before` comes before the first. */
  #numberPoints(metric: CounterSnapshot | GaugeSnapshot, time: string, before: string, text: ByteText): number {
    const isWhole = metric.unit === "count" || metric.unit === "tokens" || metric.unit === "bytes";
    const end = `,${time}}`;
    let list = before;
    let points = 0;
    for (const { labels, value } of metric.series) {
      const number = numberText(value, isWhole);
      if (number === null) continue;
      text.add(list + this.#prefixOf(labels, metric.kind) + number + end);
      list = ",";
      points++;
    }
    return points;
  }

  #histogramPoints(metric: HistogramData, time: string, before: string, text: ByteText): number {
    const end = `"],"explicitBounds":${JSON.stringify(metric.bounds)},${time}}`;
    let list = before;
    for (const { labels, count, sum, buckets } of metric.series) {
      let point = `${list + this.#prefixOf(labels, "histogram") + count}",`;
      // a sum is told only where it is a number, and one that only grows
      if (Number.isFinite(sum) && sum >= 0) point += `"sum":${sum},`;
      point += '"bucketCounts":["';
      const last = buckets.length - 1;
      for (let i = 0; i < last; i++) point += `${buckets[i]}","`;
      text.add(point + buckets[last] + end);
      list = ",";
    }
    return metric.series.length;
  }

  /** An empty label value is none, as in Prometheus. */
  #prefixOf(labels: SeriesLabels, kind: MetricSnapshot["kind"]): string {
    let prefix = this.#prefixes.get(labels);
    if (prefix === undefined) {
      const told = Object.entries(labels).filter(([, value]) => value !== "");
      const attributes = Object.fromEntries(told.map(([name, value]) => [name, textValue(value)]));
      prefix = told.length === 0 ? "{" : `{"attributes":${JSON.stringify(keyValues(attributes))},`;
      if (kind !== "gauge") prefix += `"startTimeUnixNano":"${unixNano(this.#startMs)}",`;
      if (kind === "histogram") prefix += '"count":"';
      this.#prefixes.set(labels, prefix);
    }
    return prefix;
  }
}

/** Null for what JSON can't carry. What counts things stays an integer as long as it is one exactly. */
function numberText(value: number, isWhole: boolean): string | null {
  if (!Number.isFinite(value)) return null;
  return isWhole && Number.isSafeInteger(value) ? `"asInt":"${value}"` : `"asDouble":${value}`;
}
