import { type DataPoint, type Histogram, MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULT_BOUNDS, DURATION_BOUNDS_MS } from "../../src/metrics/buckets.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";

class PullReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {
    // nothing is kept back
  }
  protected override async onShutdown(): Promise<void> {
    // nothing is open
  }
}

const LABELS = ["x", "y"] as const;
const label = fc.constantFrom("a", "b", "c");
const number = fc.oneof(
  fc.integer({ min: 0, max: 20_000 }),
  fc.double({ min: 0, max: 1e8, noNaN: true }),
  fc.constantFrom(...DURATION_BOUNDS_MS, ...DEFAULT_BOUNDS),
);
const facts = fc.array(fc.record({ x: label, y: label, value: number }), { minLength: 1, maxLength: 80 });
const bounds = fc.constantFrom(DEFAULT_BOUNDS, DURATION_BOUNDS_MS, [0.5, 0.75, 3.25, 1e6]);

function theirs(boundaries: readonly number[]) {
  const reader = new PullReader();
  const meter = new MeterProvider({ readers: [reader] }).getMeter("t");
  const read = async () => {
    const { resourceMetrics } = await reader.collect();
    const points = new Map<string, readonly DataPoint<unknown>[]>();
    for (const { descriptor, dataPoints } of resourceMetrics.scopeMetrics[0]?.metrics ?? [])
      points.set(descriptor.name, dataPoints);
    return points;
  };
  return {
    counter: meter.createCounter("counter"),
    gauge: meter.createGauge("gauge"),
    histogram: meter.createHistogram("histogram", { advice: { explicitBucketBoundaries: [...boundaries] } }),
    read,
  };
}

test("the same facts give OpenTelemetry's counts, sums and buckets, and quantiles in the right bucket", async () => {
  await fc.assert(
    fc.asyncProperty(facts, bounds, fc.double({ min: 0, max: 1, noNaN: true }), async (list, buckets, q) => {
      const otel = theirs(buckets);
      const metrics = createMetricRegistry();
      const counter = metrics.registerCounter("crew.a.counter", "", { labels: LABELS });
      const gauge = metrics.registerGauge("crew.a.gauge", "", { labels: LABELS });
      const histogram = metrics.registerHistogram("crew.a.histogram", "", { labels: LABELS, buckets });
      for (const { x, y, value } of list) {
        otel.counter.add(value, { x, y });
        otel.gauge.record(value, { x, y });
        otel.histogram.record(value, { x, y });
        counter.inc({ x, y }, value);
        gauge.set({ x, y }, value);
        histogram.observe({ x, y }, value);
      }
      const points = await otel.read();
      const numbers = (name: string) =>
        points.get(name)?.map(({ attributes, value }) => ({ labels: { ...attributes }, value }));
      expect(counter.snapshot().series).toEqual(numbers("counter"));
      expect(gauge.snapshot().series).toEqual(numbers("gauge"));
      const series = (points.get("histogram") as readonly DataPoint<Histogram>[]).map(({ attributes, value }) => ({
        labels: { ...attributes },
        count: value.count,
        sum: value.sum,
        buckets: value.buckets.counts,
      }));
      expect(histogram.snapshot().series).toEqual(series);
      for (const { labels, count, buckets: counts } of series) {
        const { value, over } = histogram.estimate(labels, q);
        const bucket = bucketOfRank(counts, Math.max(q * count, Number.MIN_VALUE));
        expect(over).toBe(bucket === buckets.length);
        expect(value).toBeGreaterThanOrEqual(buckets[bucket - 1] ?? 0);
        expect(value).toBeLessThanOrEqual((buckets[bucket] ?? buckets.at(-1) ?? 0) * (1 + 1e-12));
      }
    }),
    { numRuns: 300 },
  );
});

/** The first bucket up to which at least `rank` observations lie. */
function bucketOfRank(counts: readonly number[], rank: number): number {
  let below = 0;
  return counts.findIndex((count) => {
    below += count;
    return below >= rank && count > 0;
  });
}
