import { expect, test } from "vitest";
import { HISTORY_STEPS, MetricHistory, STEP_MS } from "../../src/metrics/history.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";

function setup() {
  const metrics = createMetricRegistry();
  const history = new MetricHistory();
  const runs = metrics.registerCounter("crew.a.runs", "", { labels: ["team"] });
  const active = metrics.registerGauge("crew.a.active", "");
  const age = metrics.registerGauge("crew.a.age", "", { labels: ["task"] });
  const took = metrics.registerHistogram("crew.a.took", "", { labels: ["team"], buckets: [10, 20, 40] });
  let ms = 0;
  return {
    metrics,
    history,
    runs,
    active,
    age,
    took,
    minute: (gap = 1) => {
      ms += gap * STEP_MS;
      history.sample(metrics.snapshot(), ms);
    },
    values: (name: string, at = 0) => history.trends(name)[at]?.values,
  };
}

test("each minute keeps a counter's growth, a gauge's value, and what was observed in that minute alone", () => {
  const { history, runs, active, took, minute, values } = setup();
  runs.inc({ team: "a" }, 5);
  active.set(undefined, 2);
  for (let i = 0; i < 100; i++) took.observe({ team: "a" }, 5);
  minute();
  runs.inc({ team: "a" }, 1);
  runs.inc({ team: "b" }, 2);
  took.observe({ team: "b" }, 15);
  active.set(undefined, 7);
  minute();
  minute();
  expect(history.trends("crew.a.runs")).toEqual([
    { labels: null, values: [5, 3, 0], counts: null },
    { labels: { team: "a" }, values: [5, 1, 0], counts: null },
    { labels: { team: "b" }, values: [Number.NaN, 2, 0], counts: null },
  ]);
  expect(values("crew.a.active")).toEqual([2, 7, 7]);
  expect(history.trends("crew.a.took")).toEqual([
    { labels: null, values: [9.5, 15, Number.NaN], counts: [100, 1, 0] },
    { labels: { team: "a" }, values: [9.5, Number.NaN, Number.NaN], counts: [100, 0, 0] },
    { labels: { team: "b" }, values: [Number.NaN, 15, Number.NaN], counts: [Number.NaN, 1, 0] },
  ]);
  expect(history.trends("crew.a.nothing")).toEqual([]);
});

test("an hour is kept and no more, whatever was missed", () => {
  const { runs, minute, values } = setup();
  for (let i = 1; i <= 150; i++) {
    runs.inc({ team: "a" }, i);
    minute();
  }
  expect(values("crew.a.runs")).toEqual(Array.from({ length: HISTORY_STEPS }, (_, i) => 91 + i));
  runs.inc({ team: "a" }, 7);
  minute(3);
  expect(values("crew.a.runs")?.slice(-4)).toEqual([150, Number.NaN, Number.NaN, 7]);
  expect(values("crew.a.runs")).toHaveLength(HISTORY_STEPS);
  runs.inc({ team: "a" }, 8);
  minute(1000);
  expect(values("crew.a.runs")).toEqual([...new Array(HISTORY_STEPS - 1).fill(Number.NaN), 8]);
});

test("a call too early loses nothing: the next one has it", () => {
  const { runs, minute, values } = setup();
  minute();
  runs.inc({ team: "a" });
  minute(0.2);
  minute(-5);
  minute(5.9);
  expect(values("crew.a.runs")?.slice(-1)).toEqual([1]);
});

test("a gauge's series that is gone is forgotten, so that runs that come and go leave nothing behind", () => {
  const { history, age, minute } = setup();
  for (let i = 0; i < 500; i++) {
    age.set({ task: `t${i}` }, i);
    minute();
    age.remove({ task: `t${i}` });
  }
  minute();
  expect(history.trends("crew.a.age")).toEqual([]);
});
