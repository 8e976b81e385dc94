import fc from "fast-check";
import { expect, test } from "vitest";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import { FakeClock } from "../support/fake-clock.ts";

const MINUTE_MS = 60_000;

/** A monotonic clock that tests set, also backwards, which a real one never does. */
function windowed(retentionMs?: number) {
  const clock = { ms: 0, monotonicMs: () => clock.ms };
  const metrics = createMetricRegistry({ clock });
  const options = { labels: ["x"] as const, ...(retentionMs === undefined ? {} : { retentionMs }) };
  return { clock, metrics, counter: metrics.registerWindowedCounter("crew.a.events", "", options) };
}

test("a rate is the growth per second over the time asked for", () => {
  const { clock, counter } = windowed();
  for (let second = 0; second < 3600; second++) {
    clock.ms = second * 1000;
    counter.inc({ x: second % 2 === 0 ? "a" : "b" }, 3);
  }
  clock.ms = 3_600_000;
  expect(counter.rate({ x: "a" }, 10 * MINUTE_MS)).toBeCloseTo(1.5, 10);
  expect(counter.rate(undefined, 30 * MINUTE_MS)).toBeCloseTo(3, 10);
  expect(counter.rate({}, 90_000)).toBeCloseTo(3, 10);
  expect(counter.rate({ x: "c" }, MINUTE_MS)).toBe(0);
  expect(counter.value()).toBe(3 * 3600);
});

test("the growth told lies between that of a slot less and a slot more, at any time and after any gap", () => {
  const step = fc.record({
    gapMs: fc.oneof(fc.integer({ min: 0, max: 90_000 }), fc.nat(20_000_000)),
    delta: fc.nat(9),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 3_600_000 }), (steps, durationMs) => {
      const { clock, counter } = windowed();
      const events: { at: number; delta: number }[] = [];
      for (const { gapMs, delta } of steps) {
        clock.ms += gapMs;
        counter.inc({ x: "a" }, delta);
        events.push({ at: clock.ms, delta });
      }
      const since = (ms: number) =>
        events.filter(({ at }) => at > clock.ms - ms).reduce((sum, { delta }) => sum + delta, 0);
      const grown = counter.rate(undefined, durationMs) * (durationMs / 1000);
      expect(grown).toBeGreaterThanOrEqual(since(durationMs - MINUTE_MS) - 1e-6);
      expect(grown).toBeLessThanOrEqual(since(durationMs + MINUTE_MS) + 1e-6);
      expect(counter.value()).toBe(events.reduce((sum, { delta }) => sum + delta, 0));
    }),
    { numRuns: 500 },
  );
});

test("what is older than the retention is forgotten, and a longer rate is one over the retention", () => {
  const { clock, counter } = windowed(10 * MINUTE_MS);
  counter.inc({ x: "a" }, 600);
  clock.ms = 5 * MINUTE_MS;
  expect(counter.rate(undefined, 60 * MINUTE_MS)).toBe(1);
  clock.ms = 12 * MINUTE_MS;
  expect(counter.rate(undefined, 10 * MINUTE_MS)).toBe(0);
  clock.ms = 1e12;
  counter.inc({ x: "a" }, 6);
  expect(counter.rate(undefined, MINUTE_MS)).toBeCloseTo(0.1);
  expect(counter.value()).toBe(606);
});

test("setting the wall clock changes nothing, and a monotonic clock that went back counts on", async () => {
  const fake = new FakeClock();
  const bound = createMetricRegistry({ clock: fake }).registerWindowedCounter("crew.a.b", "");
  await fake.advance(5 * MINUTE_MS);
  bound.inc(undefined, 60);
  fake.jump(-86_400_000);
  expect(bound.rate(undefined, MINUTE_MS)).toBe(1);
  const { clock, counter } = windowed();
  clock.ms = 30 * MINUTE_MS;
  counter.inc({ x: "a" }, 60);
  clock.ms = 10 * MINUTE_MS;
  counter.inc({ x: "a" }, 60);
  expect(counter.rate(undefined, MINUTE_MS)).toBe(2);
});

test("a bound handle moves the same series, and a snapshot shows a counter", () => {
  const { metrics, counter } = windowed();
  counter.labels({ x: "a" }).inc(4);
  expect(counter.rate({ x: "a" }, 4000)).toBe(1);
  expect(metrics.snapshot()).toEqual([
    {
      kind: "counter",
      name: "crew.a.events",
      help: "",
      unit: "count",
      labelNames: ["x"],
      series: [{ labels: { x: "a" }, value: 4 }],
    },
  ]);
});

test("what makes no sense is refused", () => {
  const { clock, metrics, counter } = windowed();
  for (const delta of [-1, Number.NaN]) expect(() => counter.inc({ x: "a" }, delta)).toThrow("only grows");
  for (const delta of [-1, Number.NaN]) expect(() => counter.labels({ x: "a" }).inc(delta)).toThrow("only grows");
  for (const ms of [0, -1, Number.NaN]) expect(() => counter.rate(undefined, ms)).toThrow("more than 0 ms");
  expect(() => metrics.registerWindowedCounter("crew.a.b", "", { retentionMs: 0 })).toThrow("crew.a.b: retentionMs");
  expect(() => createMetricRegistry().registerWindowedCounter("crew.a.b", "")).toThrow("needs a registry with a clock");
  expect(() => createMetricRegistry({ clock }).registerWindowedCounter("a.b", "")).toThrow("bad metric name");
});
