import { expect, test } from "vitest";
import { summarise } from "../../src/metrics/day-summary.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";

test("a summary tells what happened between two snapshots and leaves out what did not move", () => {
  const metrics = createMetricRegistry();
  const runs = metrics.registerCounter("crew.a.runs", "", { labels: ["team"] });
  const active = metrics.registerGauge("crew.a.active", "");
  const took = metrics.registerHistogram("crew.a.took", "", { unit: "ms", buckets: [10, 20] });
  runs.inc({ team: "a" }, 5);
  runs.inc({ team: "b" }, 5);
  for (let i = 0; i < 1000; i++) took.observe(undefined, 1);
  const from = metrics.snapshot();
  runs.inc({ team: "b" }, 2);
  runs.inc({ team: "c" }, 1);
  active.set(undefined, 3);
  for (const value of [15, 15, 15, 99]) took.observe(undefined, value);
  const summary = summarise(from, metrics.snapshot());
  expect(summary).toEqual([
    {
      name: "crew.a.runs",
      series: [
        { kind: "counter", labels: { team: "b" }, grown: 2 },
        { kind: "counter", labels: { team: "c" }, grown: 1 },
      ],
    },
    { name: "crew.a.active", series: [{ kind: "gauge", labels: {}, last: 3 }] },
    {
      name: "crew.a.took",
      series: [
        {
          kind: "histogram",
          labels: {},
          count: 4,
          sum: 144,
          p50: expect.closeTo(10 + (10 * 2) / 3),
          p95: 20,
          p99: 20,
          over: ["p95", "p99"],
        },
      ],
    },
  ]);
  const attempts = metrics.registerHistogram("crew.a.attempts", "", { buckets: [1, 2] });
  attempts.observe(undefined, 1);
  // of whole things there is no half, here as in what is shown
  expect(summarise([], metrics.snapshot())[3]?.series).toMatchObject([{ count: 1, p50: 1, p95: 1 }]);
  expect(JSON.parse(JSON.stringify(summary))).toEqual(summary);
  expect(summarise([], metrics.snapshot())[0]?.series).toHaveLength(3);
});
