import { visibleWidth } from "@mariozechner/pi-tui";
import fc from "fast-check";
import { expect, test } from "vitest";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import { matchesGlob } from "../../src/system/glob.ts";
import { renderMetricsTable } from "../../src/views/metrics-table.ts";

function sample() {
  const metrics = createMetricRegistry();
  const tasks = metrics.registerCounter("crew.task.count", "", { labels: ["status", "team"] });
  tasks.inc({ status: "completed", team: "default" }, 1234);
  tasks.inc({ status: "failed", team: "default" });
  const cost = metrics.registerCounter("crew.task.cost_usd", "", { labels: ["model"], unit: "usd" });
  cost.inc({ model: "opus" }, 1234.5);
  cost.inc({ model: "haiku" }, 0.0042);
  metrics.registerGauge("crew.run.active", "").set(undefined, 2);
  const age = metrics.registerGauge("crew.heartbeat.staleness_ms", "", { labels: ["task_id"], unit: "ms" });
  age.set({ task_id: "a" }, 65_000);
  const took = metrics.registerHistogram("crew.task.duration_ms", "", {
    labels: ["team"],
    unit: "ms",
    buckets: [1000, 60_000],
  });
  for (const ms of [500, 30_000, 90_000]) took.observe({ team: "default" }, ms);
  metrics.registerHistogram("crew.task.retry_delay_ms", "", { unit: "ms" });
  metrics.registerCounter("crew.task.deadletter_total", "", { labels: ["reason"] });
  return metrics.snapshot();
}

test("counters, gauges and histograms in units people read", () => {
  expect(renderMetricsTable(sample(), { width: 120 })).toEqual([
    "crew.heartbeat.staleness_ms{task_id=a}             1m 05s",
    "crew.run.active                                         2",
    "crew.task.cost_usd{model=haiku}                   $0.0042",
    "crew.task.cost_usd{model=opus}                  $1,234.50",
    "crew.task.count{status=completed,team=default}      1,234",
    "crew.task.count{status=failed,team=default}             1",
    "crew.task.duration_ms{team=default}             count 3  sum 2m 01s  p50 31s  p95 > 1m 00s  p99 > 1m 00s",
    "crew.task.retry_delay_ms                        count 0",
  ]);
});

test("a narrow terminal puts values on lines of their own", () => {
  expect(renderMetricsTable(sample(), { glob: "crew.task.[!r]*", width: 40 })).toEqual([
    'No metric matches "crew.task.[!r]*".',
    "There are, for example,",
    "crew.task.cost_usd, crew.task.count,",
    "crew.task.deadletter_total.",
  ]);
  expect(renderMetricsTable(sample(), { glob: "crew.task.*", width: 44 })).toEqual([
    "crew.task.cost_usd{model=haiku}    $0.0042",
    "crew.task.cost_usd{model=opus}   $1,234.50",
    "crew.task.count{status=completed,team=defau…",
    "  1,234",
    "crew.task.count{status=failed,team=default}",
    "  1",
    "crew.task.duration_ms{team=default}",
    "  count 3  sum 2m 01s  p50 31s  p95 > 1m 00s",
    "  p99 > 1m 00s",
    "crew.task.retry_delay_ms         count 0",
  ]);
});

test("the glob chooses by whole name, upper and lower case alike", () => {
  const names = (glob: string) =>
    renderMetricsTable(sample(), { glob, width: 120 }).map((line) => line.split(/[{ ]/)[0]);
  expect(names("CREW.RUN.*")).toEqual(["crew.run.active"]);
  expect(new Set(names("crew.task.c*"))).toEqual(new Set(["crew.task.cost_usd", "crew.task.count"]));
  expect(names("crew.task.coun?").every((name) => name === "crew.task.count")).toBe(true);
});

test("nothing to show is said in a sentence that helps", () => {
  expect(renderMetricsTable(sample(), { glob: "crew.run", width: 120 })).toEqual([
    'No metric matches "crew.run". There are, for example, crew.run.active, crew.heartbeat.staleness_ms, crew.task.cost_usd.',
  ]);
  expect(renderMetricsTable(sample(), { glob: "*dead*", width: 120 })).toEqual([
    "Nothing has been counted yet by crew.task.deadletter_total.",
  ]);
  expect(renderMetricsTable([], { width: 120 })).toEqual(["No metrics are registered in this session."]);
});

test("label values can't steer a terminal", () => {
  const metrics = createMetricRegistry();
  metrics.registerCounter("crew.a.b", "", { labels: ["x"] }).inc({ x: "\u001b[2J\n\u009b1m\u2028\u202ered" });
  expect(renderMetricsTable(metrics.snapshot(), { width: 80 })).toEqual(["crew.a.b{x=?[2J??1m??red}  1"]);
  expect(renderMetricsTable(metrics.snapshot(), { glob: "\u001b[2J", width: 80 }).join("")).toContain('"?[2J"');
});

test("no line is wider than the width, whatever the labels", () => {
  const text = fc.oneof(fc.string({ unit: "grapheme" }), fc.constantFrom("模型模型模型", "🚀🚀", "a".repeat(300)));
  fc.assert(
    fc.property(
      fc.array(fc.tuple(text, fc.double({ min: 0, max: 1e9, noNaN: true })), { maxLength: 5 }),
      fc.integer({ min: 1, max: 150 }),
      (facts, width) => {
        const metrics = createMetricRegistry();
        const counter = metrics.registerCounter("crew.a.b", "", { labels: ["x"], unit: "usd" });
        const histogram = metrics.registerHistogram("crew.a.c", "", { labels: ["x"], unit: "ms" });
        for (const [x, value] of facts) {
          counter.inc({ x }, value);
          histogram.observe({ x }, value);
        }
        for (const glob of ["*", "none"]) {
          for (const line of renderMetricsTable(metrics.snapshot(), { glob, width })) {
            expect(visibleWidth(line)).toBeLessThanOrEqual(width);
            expect(line).not.toContain("\n");
          }
        }
      },
    ),
  );
});

test("a glob means what the same regular expression means", () => {
  const alphabet = fc.constantFrom("a", "b", ".", "*", "?", "+", "A");
  const pattern = fc.array(alphabet, { maxLength: 8 }).map((list) => list.join(""));
  fc.assert(
    fc.property(pattern, fc.array(fc.constantFrom("a", "b", ".", "+", "B"), { maxLength: 10 }), (glob, letters) => {
      const text = letters.join("");
      const source = glob.replace(/[.+]/g, "\\$&").replaceAll("*", "[^]*").replaceAll("?", "[^]");
      expect(matchesGlob(glob, text)).toBe(new RegExp(`^${source}$`, "iu").test(text));
    }),
    { numRuns: 2000 },
  );
  const started = performance.now();
  expect(matchesGlob(`${"*a".repeat(200)}b`, "a".repeat(5000))).toBe(false);
  expect(performance.now() - started).toBeLessThan(1000);
});
