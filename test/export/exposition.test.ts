import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Exposition } from "../../src/export/exposition.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import { anyText } from "../events/any-event.ts";
import { expositionProblems } from "../support/exposition-checker.ts";
import { readExposition } from "../support/exposition-reader.ts";

/** A registry with one metric of each kind, each with a label or two. */
function sampleRegistry(help = "Help") {
  const registry = createMetricRegistry();
  const labels = ["x", "y"] as const;
  return {
    registry,
    count: registry.registerCounter("crew.a.count", help, { labels }),
    active: registry.registerGauge("crew.a.active", help),
    wait: registry.registerHistogram("crew.a.wait_ms", help, { labels: ["x"], unit: "ms", buckets: [0.1, 4.2, 1e9] }),
  };
}

describe("the text format", () => {
  it("is written as it is defined", () => {
    const { registry, count, active, wait } = sampleRegistry('What "it" \\ does\nhere');
    count.inc({ x: "1", y: 'a"}, \\ \n' }, 3);
    active.set(undefined, -1e-7);
    wait.observe({ x: "1" }, 0.1);
    wait.observe({ x: "1" }, 300);
    expect(
      new Exposition("text").render(registry.snapshot()),
    ).toBe(String.raw`# HELP crew_a_count_total What "it" \\ does\nhere
# TYPE crew_a_count_total counter
crew_a_count_total{x="1",y="a\"}, \\ \n"} 3
# HELP crew_a_active What "it" \\ does\nhere
# TYPE crew_a_active gauge
crew_a_active -1e-7
# HELP crew_a_wait_seconds What "it" \\ does\nhere
# TYPE crew_a_wait_seconds histogram
crew_a_wait_seconds_bucket{x="1",le="0.0001"} 1
crew_a_wait_seconds_bucket{x="1",le="0.0042"} 1
crew_a_wait_seconds_bucket{x="1",le="1000000"} 2
crew_a_wait_seconds_bucket{x="1",le="+Inf"} 2
crew_a_wait_seconds_sum{x="1"} 0.3001
crew_a_wait_seconds_count{x="1"} 2
`);
  });

  it("of no metrics is empty, and of metrics without series their heads", () => {
    expect(new Exposition("text").render([])).toBe("");
    const registry = createMetricRegistry();
    registry.registerCounter("crew.a.count", "h", { labels: ["x"] });
    const text = new Exposition("text").render(registry.snapshot());
    expect(text).toBe("# HELP crew_a_count_total h\n# TYPE crew_a_count_total counter\n");
  });

  it("says at each scrape what is there then", () => {
    const registry = createMetricRegistry();
    const gauge = registry.registerGauge("crew.a.active", "h", { labels: ["x"] });
    const exposition = new Exposition("text");
    const samples = () => {
      const lines = exposition.render(registry.snapshot()).split("\n");
      return lines.filter((line) => line.startsWith("crew"));
    };
    gauge.set({ x: "a" }, 1);
    gauge.set({ x: "b" }, 1);
    expect(samples()).toEqual(['crew_a_active{x="a"} 1', 'crew_a_active{x="b"} 1']);
    gauge.set({ x: "b" }, 2);
    gauge.remove({ x: "a" });
    gauge.set({ x: "c" }, 3);
    expect(samples()).toEqual(['crew_a_active{x="b"} 2', 'crew_a_active{x="c"} 3']);
  });

  it("can say what is no finite number", () => {
    const labels = { x: "1" };
    const facts = { kind: "gauge", name: "crew.a.b", help: "h", unit: "count", labelNames: ["x"] } as const;
    const values = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN];
    const text = values.map((value) => new Exposition("text").render([{ ...facts, series: [{ labels, value }] }]));
    expect(text.map((one) => one.trim().split(" ").at(-1))).toEqual(["+Inf", "-Inf", "NaN"]);
  });
});

describe("OpenMetrics", () => {
  it("is written as it is defined", () => {
    const { registry, count, wait } = sampleRegistry('What "it" \\ does\nhere');
    count.inc({ x: "1", y: "" }, 3);
    wait.observe({ x: "1" }, 4);
    const cost = registry.registerCounter("crew.a.cost_usd", "h", { unit: "usd" });
    cost.inc(undefined, 0.5);
    expect(
      new Exposition("openmetrics").render(registry.snapshot()),
    ).toBe(String.raw`# HELP crew_a_count What \"it\" \\ does\nhere
# TYPE crew_a_count counter
crew_a_count_total{x="1",y=""} 3
# HELP crew_a_active What \"it\" \\ does\nhere
# TYPE crew_a_active gauge
crew_a_active 0
# HELP crew_a_wait_seconds What \"it\" \\ does\nhere
# TYPE crew_a_wait_seconds histogram
# UNIT crew_a_wait_seconds seconds
crew_a_wait_seconds_bucket{x="1",le="0.0001"} 0
crew_a_wait_seconds_bucket{x="1",le="0.0042"} 1
crew_a_wait_seconds_bucket{x="1",le="1e+06"} 1
crew_a_wait_seconds_bucket{x="1",le="+Inf"} 1
crew_a_wait_seconds_sum{x="1"} 0.004
crew_a_wait_seconds_count{x="1"} 1
# HELP crew_a_cost_usd h
# TYPE crew_a_cost_usd counter
# UNIT crew_a_cost_usd usd
crew_a_cost_usd_total 0.5
# EOF
`);
  });

  it.each([
    [1, "1.0"],
    [0, "0.0"],
    [0.25, "0.25"],
    [0.0001, "0.0001"],
    [0.00001, "1e-05"],
    [28_800, "28800.0"],
    [1e6, "1e+06"],
    [1_234_567, "1.234567e+06"],
    [1e21, "1e+21"],
    [-5, "-5.0"],
  ])("writes the bound %d as %s", (bound, written) => {
    const registry = createMetricRegistry();
    registry.registerHistogram("crew.a.hist", "h", { buckets: [bound] });
    expect(new Exposition("openmetrics").render(registry.snapshot())).toContain(`{le="${written}"} 0\n`);
  });
});

describe("a histogram whose sum may fall", () => {
  it.each([
    ["a negative bound", [-1, 1], 5],
    ["a negative sum", [1, 2], -5],
  ])("has neither sum nor count in OpenMetrics, where both are counters: %s", (_what, buckets, value) => {
    const registry = createMetricRegistry();
    registry.registerHistogram("crew.a.hist", "h", { buckets }).observe(undefined, value);
    const open = new Exposition("openmetrics").render(registry.snapshot());
    expect(open).not.toMatch(/_sum|_count/);
    expect(open).toContain('crew_a_hist_bucket{le="+Inf"} 1\n');
    expect(expositionProblems(open, "openmetrics")).toEqual([]);
    expect(new Exposition("text").render(registry.snapshot())).toContain(
      `crew_a_hist_sum ${value}\ncrew_a_hist_count 1\n`,
    );
  });
});

/** Texts that have been taken for one another. */
const ALIKE = [
  ...["", "\ud800", "\udfff", "\ufffd", "\ufffdd800", "\ufffd\ud800", "\ufffdfffd", "\ufffdfffdd800", "\\ufffd"],
  ...["\n", "\\n", "\\", '"', '\\"', "\\\n", " ", "\r", "\0", "\u2028", "a=b", '",y="', "{", "}"],
];

/** What the registry makes of them: half a surrogate pair has no UTF-8. */
const ALIKE_KEPT = [...new Set(ALIKE.map((text) => text.replace(/[\ud800-\udfff]/gu, "\ufffd")))];

it.each(["text", "openmetrics"] as const)("what looks alike stays apart in %s", (format) => {
  const registry = createMetricRegistry();
  const gauge = registry.registerGauge("crew.a.gauge", "h", { labels: ["x"] });
  for (const [i, x] of ALIKE.entries()) gauge.set({ x }, i);
  const text = Buffer.from(new Exposition(format).render(registry.snapshot())).toString();
  expect(expositionProblems(text, format)).toEqual([]);
  const samples = readExposition(text, format).families[0]?.samples ?? [];
  expect(samples.map(({ labels }) => labels["x"])).toEqual(ALIKE_KEPT);
});

const hostile = fc.oneof(anyText, fc.constantFrom(...ALIKE));

const UNIT = fc.constantFrom("count" as const, "ms" as const, "bytes" as const, "tokens" as const, "usd" as const);

describe.each(["text", "openmetrics"] as const)("any registry as %s", (format) => {
  it("is flawless, and as UTF-8 each series is read back as itself", () => {
    const value = fc.double({ min: 0, max: 1e9, noNaN: true });
    const facts = fc.array(fc.record({ x: hostile, y: hostile, value }), { maxLength: 20 });
    fc.assert(
      fc.property(hostile, UNIT, facts, (help, unit, list) => {
        const registry = createMetricRegistry();
        const options = { labels: ["x", "y"], unit } as const;
        const metrics = [
          registry.registerCounter("crew.a.count", help, options),
          registry.registerGauge("crew.a.gauge", help, options),
          registry.registerHistogram("crew.a.hist", help, options),
        ] as const;
        for (const { x, y, value } of list) {
          metrics[0].inc({ x, y }, value);
          metrics[1].set({ x, y }, value);
          metrics[2].observe({ x, y }, value);
        }
        const exposition = new Exposition(format);
        const text = Buffer.from(exposition.render(registry.snapshot())).toString();
        expect(expositionProblems(text, format)).toEqual([]);
        expect(Buffer.from(exposition.render(registry.snapshot())).toString()).toBe(text);
        const kept = (text: string) => text.replace(/[\ud800-\udfff]/gu, "\ufffd");
        const series = new Set(list.map(({ x, y }) => JSON.stringify([kept(x), kept(y)])));
        const { families } = readExposition(text, format);
        const written = [series.size, series.size, series.size * 16];
        expect(families.map(({ samples }) => samples.length)).toEqual(written);
      }),
    );
  });
});
