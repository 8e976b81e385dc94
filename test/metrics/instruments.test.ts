import { expect, test } from "vitest";
import { createMetricRegistry } from "../../src/metrics/registry.ts";

function registry(seriesMax?: number) {
  const warnings: string[] = [];
  const warn = (message: string) => void warnings.push(message);
  return { metrics: createMetricRegistry(seriesMax === undefined ? { warn } : { warn, seriesMax }), warnings };
}

test("a counter adds up per series, bound or not", () => {
  const { metrics } = registry();
  const runs = metrics.registerCounter("crew.run.count", "Runs", { labels: ["status", "team"] });
  runs.inc({ status: "completed", team: "a" });
  runs.inc({ team: "a", status: "completed" }, 2.5);
  runs.labels({ status: "failed", team: "a" }).inc(4);
  expect(runs.value({ status: "completed" })).toBe(3.5);
  expect(runs.value({ team: "a" })).toBe(7.5);
  expect(runs.value()).toBe(7.5);
  expect(runs.value({ team: "b" })).toBe(0);
});

test.each([-1, Number.NaN, Infinity, "5" as unknown as number])("a counter refuses %s and stays as it was", (delta) => {
  const { metrics } = registry();
  const counter = metrics.registerCounter("crew.x.y", "");
  expect(() => counter.inc(undefined, delta)).toThrow(RangeError);
  expect(() => counter.labels(undefined).inc(delta)).toThrow(RangeError);
  expect(counter.value()).toBe(0);
});

test("a metric without labels shows its zero; one with labels shows nothing until it is used", () => {
  const { metrics } = registry();
  metrics.registerCounter("crew.a.plain", "");
  metrics.registerGauge("crew.a.gauge", "");
  metrics.registerHistogram("crew.a.hist", "");
  metrics.registerCounter("crew.a.labelled", "", { labels: ["x"] });
  expect(metrics.snapshot().map((metric) => metric.series.length)).toEqual([1, 1, 1, 0]);
});

test("a gauge is set, added to, removed by what its labels match, and a handle survives removal", () => {
  const { metrics } = registry();
  const gauge = metrics.registerGauge("crew.a.level", "", { labels: ["run", "task"] });
  const bound = gauge.labels({ run: "1", task: "a" });
  bound.set(5);
  gauge.add({ run: "1", task: "b" }, -2);
  gauge.set({ run: "2", task: "a" }, 1);
  expect(gauge.value({ run: "1" })).toBe(3);
  expect(gauge.remove({ run: "1" })).toBe(2);
  expect(gauge.value({ run: "1" })).toBeNaN();
  bound.add(7);
  expect(gauge.value()).toBe(8);
  expect(() => gauge.set({ run: "1", task: "a" }, Number.NaN)).toThrow(RangeError);
});

test("a gauge with collect is computed when read and holds only what that read set", () => {
  const { metrics, warnings } = registry();
  let live: Record<string, number> = { a: 1, b: 2 };
  metrics.registerGauge("crew.a.age", "", {
    labels: ["task"],
    collect: (set) => {
      for (const [task, age] of Object.entries(live)) set({ task }, age);
    },
  });
  const series = () => metrics.snapshot()[0]?.series.map(({ labels }) => labels["task"]);
  expect(series()).toEqual(["a", "b"]);
  live = { b: 3 };
  expect(series()).toEqual(["b"]);
  live = { b: 3, c: Number.NaN };
  expect(series()).toEqual([]);
  expect(series()).toEqual([]);
  expect(warnings).toEqual(["metric crew.a.age could not be computed: a gauge takes finite numbers, not NaN"]);
});

test("names, labels and duplicates are refused with the reason", () => {
  const { metrics } = registry();
  for (const name of [
    "run.count",
    "crew.run",
    "crew.Run.count",
    "crew.run.1st",
    "crew.run.count.more",
    "crew.run.tokens-2",
  ]) {
    expect(() => metrics.registerCounter(name, "")).toThrow(`bad metric name "${name}"`);
  }
  metrics.registerCounter("crew.run.count", "");
  expect(() => metrics.registerGauge("crew.run.count", "")).toThrow("already registered");
  expect(() => metrics.registerCounter("crew.a.b", "", { labels: ["Bad"] })).toThrow('bad label name "Bad"');
  expect(() => metrics.registerCounter("crew.a.b", "", { labels: ["x", "x"] })).toThrow("declared twice");
  expect(() => metrics.registerHistogram("crew.a.b", "", { labels: ["le"] })).toThrow("belongs to histogram buckets");
  for (const buckets of [[], [1, 1], [2, 1], [1, Infinity], [Number.NaN]]) {
    expect(() => metrics.registerHistogram("crew.a.b", "", { buckets })).toThrow("ascending bounds");
  }
  expect(metrics.get("crew.a.b")).toBeUndefined();
});

test("the cap warns once and counts on in the overflow series", () => {
  const { metrics, warnings } = registry(2);
  const counter = metrics.registerCounter("crew.a.b", "", { labels: ["id"] });
  for (let id = 0; id < 10; id++) counter.inc({ id });
  expect(counter.value()).toBe(10);
  expect(counter.value({ id: "overflow" })).toBe(8);
  expect(warnings).toEqual(['metric crew.a.b has 2 series; further ones are counted together as "overflow"']);
});

test("a gauge whose overflow series was removed starts a new one at the next unseen tuple", () => {
  const { metrics } = registry(1);
  const gauge = metrics.registerGauge("crew.a.b", "", { labels: ["id"] });
  for (const id of ["a", "b", "c"]) gauge.add({ id }, 1);
  expect(gauge.remove({ id: "overflow" })).toBe(1);
  gauge.add({ id: "d" }, 5);
  expect([gauge.value({ id: "overflow" }), gauge.value()]).toEqual([5, 6]);
});

test("a snapshot is plain, a copy, and keeps each series' labels object", () => {
  const { metrics } = registry();
  const counter = metrics.registerCounter("crew.a.b", "help", { labels: ["id"], unit: "tokens" });
  metrics.registerHistogram("crew.a.h", "", { buckets: [1, 2] }).observe(undefined, 3);
  counter.inc({ id: 1 });
  const before = metrics.snapshot();
  counter.inc({ id: 1 });
  expect(before).toEqual([
    {
      kind: "counter",
      name: "crew.a.b",
      help: "help",
      unit: "tokens",
      labelNames: ["id"],
      series: [{ labels: { id: "1" }, value: 1 }],
    },
    {
      kind: "histogram",
      name: "crew.a.h",
      help: "",
      unit: "count",
      labelNames: [],
      bounds: [1, 2],
      series: [{ labels: {}, count: 1, sum: 3, buckets: [0, 0, 1] }],
    },
  ]);
  expect(JSON.parse(JSON.stringify(before))).toEqual(before);
  expect(metrics.snapshot()[0]?.series[0]?.labels).toBe(before[0]?.series[0]?.labels);
});

test("after dispose nothing is left, old handles do no harm, and nothing new is taken", () => {
  const { metrics } = registry();
  const bound = metrics.registerCounter("crew.a.b", "").labels(undefined);
  metrics.dispose();
  bound.inc();
  expect(metrics.snapshot()).toEqual([]);
  expect(metrics.get("crew.a.b")).toBeUndefined();
  expect(() => metrics.registerCounter("crew.a.c", "")).toThrow("disposed");
  metrics.dispose();
});

test("labels that were not declared do not compile", () => {
  const { metrics } = registry();
  const counter = metrics.registerCounter("crew.a.b", "", { labels: ["status"] });
  const plain = metrics.registerCounter("crew.a.c", "");
  const gauge = metrics.registerGauge("crew.a.d", "", { labels: ["status"] });
  const histogram = metrics.registerHistogram("crew.a.e", "", { labels: ["status"] });
  // @ts-expect-error runId is not declared
  expect(() => counter.inc({ status: "x", runId: "r" })).toThrow("unknown label");
  // @ts-expect-error a label is missing
  counter.inc({});
  // @ts-expect-error the labels are missing
  counter.inc();
  // @ts-expect-error none are declared
  expect(() => plain.inc({ status: "x" })).toThrow("none are declared");
  // @ts-expect-error runId is not declared
  expect(() => gauge.set({ runId: "r" }, 1)).toThrow("unknown label");
  // @ts-expect-error runId is not declared
  expect(() => histogram.labels({ runId: "r" })).toThrow("unknown label");
  // @ts-expect-error runId is not declared
  expect(() => histogram.quantile({ runId: "r" }, 0.5)).toThrow("unknown label");
  plain.inc();
  plain.inc({}, 2);
  expect(plain.value()).toBe(3);
});
