import type { MetricSnapshot, MetricUnit } from "../metrics/snapshot.ts";

/**
 * Names and units as Prometheus wants them (https://prometheus.io/docs/practices/naming/):
 *
 * - dots become underscores: `crew.run.active` → `crew_run_active`
 * - milliseconds become seconds, in name and value: `crew.run.duration_ms` → `crew_run_duration_seconds`
 * - a name with unit `bytes` ends in `_bytes`; tokens and US dollars have no suffix of their own
 * - a counter ends in `_total`, once: `crew.run.count` → `crew_run_count_total`
 * - a name that is taken by an earlier metric, or by one of its samples, gets `_2`, `_3`, …
 */
const SUFFIX: Readonly<Record<MetricUnit, string | null>> = {
  count: null,
  ms: "seconds",
  bytes: "bytes",
  tokens: "tokens",
  usd: "usd",
};

/** What a family's samples add to its name, OpenMetrics' `_created` included: nobody else may be called so. */
const SAMPLES: Readonly<Record<MetricSnapshot["kind"], readonly string[]>> = {
  counter: ["", "_total", "_created"],
  gauge: [""],
  histogram: ["", "_bucket", "_sum", "_count", "_created"],
};

export type NamedMetric = Pick<MetricSnapshot, "name" | "kind" | "unit">;

interface FamilyName {
  /** The family in OpenMetrics; a counter without its `_total`. */
  readonly base: string;
  /** The family in the text format; a counter with its `_total`. Its samples have this name in both formats. */
  readonly text: string;
  /** The unit of the exported values when the name ends in it, as OpenMetrics' `# UNIT` demands; else null. */
  readonly unit: string | null;
}

/** Hands out names, each once. A metric keeps its name, so those of one registry must come in the same order. */
export class PrometheusNames {
  readonly #names = new Map<string, FamilyName>();
  readonly #taken = new Set<string>();

  of(metric: NamedMetric): FamilyName {
    const known = this.#names.get(metric.name);
    if (known !== undefined) return known;
    const wanted = baseOf(metric);
    let base = wanted;
    // digits are not allowed in names of ours: the search ends at the first free number
    for (let n = 2; this.#isTaken(base, metric.kind); n++) base = `${wanted}_${n}`;
    for (const suffix of SAMPLES[metric.kind]) this.#taken.add(base + suffix);
    const unit = SUFFIX[metric.unit];
    const name = {
      base,
      text: metric.kind === "counter" ? `${base}_total` : base,
      unit: unit !== null && base.endsWith(`_${unit}`) ? unit : null,
    };
    this.#names.set(metric.name, name);
    return name;
  }

  #isTaken(base: string, kind: MetricSnapshot["kind"]): boolean {
    return SAMPLES[kind].some((suffix) => this.#taken.has(base + suffix));
  }
}

function baseOf({ name, kind, unit }: NamedMetric): string {
  let base = name.replaceAll(".", "_");
  if (kind === "counter") base = base.replace(/_total$/, "");
  if (unit === "ms") base = base.replace(/_ms$/, "");
  const mustEnd = unit === "ms" || unit === "bytes" ? `_${SUFFIX[unit]}` : "";
  return base.endsWith(mustEnd) ? base : base + mustEnd;
}

/**
 * The value in the exported unit, the nearest number to the exact decimal: 4.2 ms are 0.0042 s, where dividing would
 * give 0.004200000000000001.
 */
export function exportedValue(value: number, unit: MetricUnit): number {
  if (unit !== "ms" || !Number.isFinite(value)) return value;
  if (Number.isInteger(value)) return value / 1000;
  const [digits, exponent = "0"] = String(value).split("e");
  return Number(`${digits}e${Number(exponent) - 3}`);
}
