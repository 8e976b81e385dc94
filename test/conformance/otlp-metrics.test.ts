import { JsonMetricsSerializer } from "@opentelemetry/otlp-transformer";
import { AggregationTemporality, AggregationType, MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GenAiMetrics } from "../../src/export/gen-ai-metrics.ts";
import { type EncodableMetric, OtlpMetricsEncoder } from "../../src/export/otlp-metrics.ts";
import { resourceAttributes } from "../../src/export/otlp-resource.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import { anyText } from "../events/any-event.ts";
import { attributesOf, faultsOf, metricsIn, type OtlpMetric, type Point } from "./otlp-judge.ts";

/** What is written, judged by the official definitions and beside OpenTelemetry's own SDK. */

const NOTHING_GIVEN = { serviceName: null, resourceAttributes: {} };
const TELLER = {
  resource: resourceAttributes({ version: "0.1.0", instanceId: "s-1" }, NOTHING_GIVEN),
  scope: { name: "pi-foreman", version: "0.1.0" },
};
const START_MS = 1_700_000_000_000;
const NOW_MS = START_MS + 60_000;

function encode(
  metrics: Iterable<EncodableMetric>,
  nowMs = NOW_MS,
  encoder = new OtlpMetricsEncoder(TELLER, START_MS),
) {
  const { body, points } = encoder.encode(metrics, nowMs);
  return { body: Buffer.from(body).toString("utf8"), points };
}

class Collecting extends MetricReader {
  protected onShutdown(): Promise<void> {
    return Promise.resolve();
  }
  protected onForceFlush(): Promise<void> {
    return Promise.resolve();
  }
  override selectAggregationTemporality() {
    return AggregationTemporality.CUMULATIVE;
  }
}

/** Their meter, and what it has collected as their JSON. */
function theirSdk() {
  const reader = new Collecting({});
  const views = [
    {
      instrumentName: "*_ms",
      aggregation: {
        type: AggregationType.EXPLICIT_BUCKET_HISTOGRAM as const,
        options: { boundaries: [1, 2.5, 1000], recordMinMax: false },
      },
    },
  ];
  const provider = new MeterProvider({
    readers: [reader],
    views,
  });
  const body = async () => {
    const { resourceMetrics } = await reader.collect();
    return Buffer.from(JsonMetricsSerializer.serializeRequest(resourceMetrics) ?? []).toString("utf8");
  };
  return { meter: provider.getMeter("m"), body };
}

/** Comparable: without times, numbers as numbers, points in order of their attributes. */
function comparable(metrics: readonly OtlpMetric[]) {
  const point = ({ attributes, asInt, asDouble, count, sum, bucketCounts, explicitBounds }: Point) => ({
    attributes: Object.entries(attributesOf(attributes)).sort(),
    value: asInt === undefined ? asDouble : Number(asInt),
    count: count === undefined ? undefined : Number(count),
    sum,
    bucketCounts: bucketCounts?.map(Number),
    explicitBounds,
  });
  return metrics
    .map(({ name, unit, description, sum, gauge, histogram }) => ({
      name,
      unit,
      description,
      temporality: (sum ?? histogram)?.aggregationTemporality,
      isMonotonic: sum?.isMonotonic,
      points: (sum ?? gauge ?? histogram)!.dataPoints
        .map(point)
        .sort((a, b) => (JSON.stringify(a.attributes) < JSON.stringify(b.attributes) ? -1 : 1)),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

const facts = fc.array(
  fc.record({
    x: fc.constantFrom("a", "b", 'q"\\\n\u2028'),
    y: fc.constantFrom("c", "ä€😀"),
    value: fc.oneof(fc.integer({ min: 0, max: 20_000 }), fc.double({ min: 0, max: 1e9, noNaN: true })),
  }),
  { minLength: 1, maxLength: 40 },
);

describe("metrics in OTLP", () => {
  it("say the same of the same observations as OpenTelemetry's SDK", async () => {
    await fc.assert(
      fc.asyncProperty(facts, async (list) => {
        const { meter, body } = theirSdk();
        const registry = createMetricRegistry();
        const labels = ["x", "y"] as const;
        const ours = {
          counter: registry.registerCounter("crew.a.count", "a help", { labels }),
          gauge: registry.registerGauge("crew.a.size", "b help", { labels, unit: "bytes" }),
          histogram: registry.registerHistogram("crew.a.wait_ms", "c", { labels, unit: "ms", buckets: [1, 2.5, 1000] }),
        };
        const theirs = {
          counter: meter.createCounter("crew.a.count", { description: "a help", unit: "{count}" }),
          gauge: meter.createGauge("crew.a.size", { description: "b help", unit: "By" }),
          histogram: meter.createHistogram("crew.a.wait_ms", { description: "c", unit: "ms" }),
        };
        for (const { x, y, value } of list) {
          const attributes = { x, y };
          ours.counter.inc({ x, y }, value);
          ours.gauge.set({ x, y }, value);
          ours.histogram.observe({ y, x }, value);
          theirs.counter.add(value, attributes);
          theirs.gauge.record(value, attributes);
          theirs.histogram.record(value, attributes);
        }
        const written = encode(registry.snapshot()).body;
        expect(faultsOf("metrics", written)).toEqual([]);
        expect(comparable(metricsIn(written))).toEqual(comparable(metricsIn(await body())));
      }),
      { numRuns: 60 },
    );
  });

  it("are without fault whatever text a label holds, and however often they are written", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(anyText, fc.integer({ min: 0 })), { minLength: 1, maxLength: 20 }), (list) => {
        const registry = createMetricRegistry();
        const counter = registry.registerCounter("crew.a.count", "", { labels: ["x", "y"] });
        for (const [text, value] of list) counter.inc({ x: `${value} ${text}`, y: "" }, value);
        const encoder = new OtlpMetricsEncoder(TELLER, START_MS);
        const first = encode(registry.snapshot(), NOW_MS, encoder).body;
        counter.inc({ x: "one", y: "more" });
        const second = encode(registry.snapshot(), NOW_MS + 1, encoder).body;
        expect([...faultsOf("metrics", first), ...faultsOf("metrics", second)]).toEqual([]);
        expect(second).toBe(encode(registry.snapshot(), NOW_MS + 1).body);
      }),
    );
  });

  it("of a thousand series are whole, at the first push and when they have become more", () => {
    const registry = createMetricRegistry();
    const counter = registry.registerCounter("crew.a.count", "", { labels: ["x"] });
    const encoder = new OtlpMetricsEncoder(TELLER, START_MS);
    for (const series of [300, 1000]) {
      for (let n = 0; n < series; n++) counter.inc({ x: `${"€".repeat(100)} ${n}` });
      const { body, points } = encode(registry.snapshot(), NOW_MS, encoder);
      expect(faultsOf("metrics", body)).toEqual([]);
      const names = metricsIn(body)[0]?.sum?.dataPoints.map(({ attributes }) => attributesOf(attributes)["x"]);
      expect(names).toEqual(Array.from({ length: series }, (_, n) => `${"€".repeat(100)} ${n}`));
      expect(points).toBe(series);
    }
  });

  it("carry times as decimal strings, and no end before the start when the clock is set back", () => {
    const registry = createMetricRegistry();
    registry.registerCounter("crew.a.count", "");
    const pointOf = (body: string) => metricsIn(body)[0]?.sum?.dataPoints[0];
    const times = { startTimeUnixNano: "1700000000000000000", timeUnixNano: "1700000060000000000" };
    expect(pointOf(encode(registry.snapshot()).body)).toEqual({ ...times, asInt: "0" });
    const back = encode(registry.snapshot(), START_MS - 5000).body;
    expect(pointOf(back)).toMatchObject({ timeUnixNano: times.startTimeUnixNano });
    expect(faultsOf("metrics", back)).toEqual([]);
  });

  it("leave out what JSON can't carry, and what there is nothing of", () => {
    const registry = createMetricRegistry();
    const gauge = registry.registerGauge("crew.a.size", "", { labels: ["x"] });
    gauge.set({ x: "over" }, 1.5e308);
    gauge.add({ x: "over" }, 1.5e308);
    gauge.set({ x: "fine" }, -2);
    const histogram = registry.registerHistogram("crew.a.hist", "");
    histogram.observe(undefined, 1.5e308);
    histogram.observe(undefined, 1.5e308);
    registry.registerCounter("crew.a.none", "", { labels: ["x"] });
    registry.registerCounter("crew.a.much", "").inc({}, 2 ** 60);
    const { body, points } = encode(registry.snapshot());
    expect(faultsOf("metrics", body)).toEqual([]);
    const [size, hist, much, ...others] = metricsIn(body);
    expect(size?.gauge?.dataPoints.map(({ asInt }) => asInt)).toEqual(["-2"]);
    expect(hist?.histogram?.dataPoints[0]).toMatchObject({ count: "2" });
    expect(hist?.histogram?.dataPoints[0]).not.toHaveProperty("sum");
    expect(much?.sum?.dataPoints[0]?.asDouble).toBe(2 ** 60);
    expect([others, points]).toEqual([[], 3]);
  });

  it("of every unit are told in UCUM", () => {
    const registry = createMetricRegistry();
    for (const unit of ["count", "ms", "bytes", "tokens", "usd"] as const)
      registry.registerCounter(`crew.a.${unit}`, "", { unit }).inc();
    const genAi = new GenAiMetrics(() => undefined);
    genAi.countUsage({ model: "p/m", tokens: { input: 1, output: 0, cacheRead: 0, cacheWrite: 0 } } as never);
    const units = metricsIn(encode([...registry.snapshot(), ...genAi.snapshot()]).body).map(({ unit }) => unit);
    expect(units).toEqual(["{count}", "ms", "By", "{token}", "USD", "{token}"]);
  });

  it("name who tells, and the user's words win", () => {
    const given = {
      serviceName: "mine",
      resourceAttributes: { "service.name": "other", "deployment.environment": "dev" },
    };
    const resource = resourceAttributes({ version: "1", instanceId: "i" }, given);
    expect(resource).toMatchObject({
      "service.name": { stringValue: "mine" },
      "service.instance.id": { stringValue: "i" },
      "deployment.environment": { stringValue: "dev" },
      "process.pid": { intValue: String(process.pid) },
    });
    const encoder = new OtlpMetricsEncoder({ ...TELLER, resource }, START_MS);
    expect(faultsOf("metrics", encode([], NOW_MS, encoder).body)).toEqual([]);
  });
});
