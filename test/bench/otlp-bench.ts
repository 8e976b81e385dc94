/**
 * Metrics as OTLP in JSON, ours beside OpenTelemetry's SDK, the same data in one process:
 * `npx tsx test/bench/otlp-bench.ts`. From the live metrics to the bytes of the request. Trust the ratio of one run. A
 * missed goal is printed, no more.
 */
import { JsonMetricsSerializer } from "@opentelemetry/otlp-transformer";
import { AggregationType, MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import { OtlpMetricsEncoder } from "../../src/export/otlp-metrics.ts";
import { resourceAttributes } from "../../src/export/otlp-resource.ts";
import { DEFAULT_BOUNDS } from "../../src/metrics/buckets.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";

const ROUNDS = 20;
/** Calls of one side in a row, so that it does not collect what the other left. */
const CALLS = 8;
const GOAL = 0.5;
const START_MS = 1_700_000_000_000;

class Collecting extends MetricReader {
  protected onShutdown(): Promise<void> {
    return Promise.resolve();
  }
  protected onForceFlush(): Promise<void> {
    return Promise.resolve();
  }
}

interface Sides {
  ours: () => number;
  theirs: () => Promise<number>;
}

/** 100 counters with 10 series each, and a histogram with 1,000 series of 13 buckets. */
function sides(): Sides {
  const reader = new Collecting({});
  const options = { boundaries: [...DEFAULT_BOUNDS], recordMinMax: false };
  const aggregation = { type: AggregationType.EXPLICIT_BUCKET_HISTOGRAM as const, options };
  const views = [{ instrumentName: "crew.bench.hist", aggregation }];
  const meter = new MeterProvider({ readers: [reader], views }).getMeter("bench");
  const registry = createMetricRegistry();
  for (let n = 0; n < 100; n++) {
    const name = `crew.bench.${String.fromCharCode(97 + Math.floor(n / 26), 97 + (n % 26))}`;
    const counter = registry.registerCounter(name, "help", { labels: ["team", "status"] });
    const theirs = meter.createCounter(name, { description: "help" });
    for (let series = 0; series < 10; series++) {
      const labels = { team: `team ${series}`, status: "completed" };
      counter.inc(labels, n * series);
      theirs.add(n * series, labels);
    }
  }
  const histogram = registry.registerHistogram("crew.bench.hist", "help", { labels: ["team", "role"], unit: "ms" });
  const theirHistogram = meter.createHistogram("crew.bench.hist", { description: "help", unit: "ms" });
  for (let n = 0; n < 20_000; n++) {
    const labels = { team: `team ${n % 100}`, role: `role ${n % 10}${Math.floor(n / 100) % 10}` };
    const value = ((n * 2_654_435_761) % 4_294_967_296) / 300_000;
    histogram.observe(labels, value);
    theirHistogram.record(value, labels);
  }
  const given = { serviceName: null, resourceAttributes: {} };
  const resource = resourceAttributes({ version: "1", instanceId: "i" }, given);
  const encoder = new OtlpMetricsEncoder({ resource, scope: { name: "bench", version: "1" } }, START_MS);
  return {
    ours: () => encoder.encode(registry.snapshot(), START_MS + 1).body.byteLength,
    theirs: async () => {
      const { resourceMetrics } = await reader.collect();
      return JsonMetricsSerializer.serializeRequest(resourceMetrics)?.byteLength ?? 0;
    },
  };
}

/** Microseconds of each call but the first. */
async function timed(work: () => number | Promise<number>): Promise<number[]> {
  const costs: number[] = [];
  for (let call = 0; call < CALLS; call++) {
    const from = process.hrtime.bigint();
    await work();
    costs.push(Number(process.hrtime.bigint() - from) / 1000);
  }
  return costs.slice(1);
}

/** The lower decile: on a shared machine a round is only ever made slower. */
function typical(costs: readonly number[]): number {
  return [...costs].sort((a, b) => a - b)[Math.floor(costs.length / 10)] ?? Number.NaN;
}

export async function benchOtlp(): Promise<void> {
  const { ours, theirs } = sides();
  const [ourBytes, theirBytes] = [ours(), await theirs()];
  const [our, their]: [number[], number[]] = [[], []];
  for (let round = -4; round < ROUNDS; round++) {
    const [a, b] = [await timed(ours), await timed(theirs)];
    if (round < 0) continue;
    our.push(...a);
    their.push(...b);
  }
  const ratio = typical(our) / typical(their);
  const verdict = ratio <= GOAL ? "met" : "MISSED";
  console.log(
    `OTLP, 2,000 series: ours ${typical(our).toFixed(0)} µs (${ourBytes} bytes), OpenTelemetry ${typical(their).toFixed(0)} µs (${theirBytes} bytes), ratio ${ratio.toFixed(3)}, goal ${GOAL} ${verdict}`,
  );
}

if (import.meta.filename === process.argv[1]) await benchOtlp();
