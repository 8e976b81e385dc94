import fc from "fast-check";
import * as prom from "prom-client";
import { expect, test } from "vitest";
import { DEFAULT_BOUNDS } from "../../src/metrics/buckets.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import type { MetricsSnapshot, SeriesLabels } from "../../src/metrics/snapshot.ts";

/** The snapshot's samples as Prometheus text, labels sorted: only for comparing with prom-client's. */
function samples(snapshot: MetricsSnapshot): string[] {
  return snapshot.flatMap((metric) => {
    const name = metric.name.replaceAll(".", "_");
    if (metric.kind !== "histogram") return metric.series.map(({ labels, value }) => sample(name, labels, value));
    return metric.series.flatMap(({ labels, count, sum, buckets }) => {
      let below = 0;
      const cumulative = buckets.map((inBucket, i) => {
        below += inBucket;
        return sample(`${name}_bucket`, { ...labels, le: String(metric.bounds[i] ?? "+Inf") }, below);
      });
      return [...cumulative, sample(`${name}_sum`, labels, sum), sample(`${name}_count`, labels, count)];
    });
  });
}

function sample(name: string, labels: SeriesLabels, value: number): string {
  const parts = Object.entries(labels).map(([label, text]) => `${label}="${text}"`);
  return `${name}{${parts.sort().join(",")}} ${value}`;
}

/** prom-client's lines with labels sorted. */
function normalise(text: string): string[] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [, name = "", labels = "", value = ""] = /^(\w+)(?:\{(.*)\})? (.*)$/.exec(line) ?? [];
      return `${name}{${labels.split(",").sort().join(",")}} ${value}`;
    });
}

const label = fc.constantFrom("a", "b", "c");
const facts = fc.array(
  fc.record({
    x: label,
    y: label,
    value: fc.oneof(fc.integer({ min: 0, max: 20_000 }), fc.double({ min: 0, max: 1e5, noNaN: true })),
  }),
  { maxLength: 60 },
);

test("the same observations give the same samples as prom-client", async () => {
  await fc.assert(
    fc.asyncProperty(facts, async (list) => {
      const theirs = new prom.Registry();
      const metrics = createMetricRegistry();
      const names = { labelNames: ["x", "y"], registers: [theirs], help: "h" };
      const theirCounter = new prom.Counter({ name: "crew_a_counter", ...names });
      const theirGauge = new prom.Gauge({ name: "crew_a_gauge", ...names });
      const theirHistogram = new prom.Histogram({ name: "crew_a_hist", ...names, buckets: [...DEFAULT_BOUNDS] });
      const labels = ["x", "y"] as const;
      const counter = metrics.registerCounter("crew.a.counter", "h", { labels });
      const gauge = metrics.registerGauge("crew.a.gauge", "h", { labels });
      const histogram = metrics.registerHistogram("crew.a.hist", "h", { labels });
      for (const { x, y, value } of list) {
        theirCounter.inc({ x, y }, value);
        theirGauge.set({ x, y }, value);
        theirHistogram.observe({ x, y }, value);
        counter.inc({ y, x }, value);
        gauge.set({ y, x }, value);
        histogram.observe({ y, x }, value);
      }
      expect(samples(metrics.snapshot()).sort()).toEqual(normalise(await theirs.metrics()).sort());
    }),
  );
});
