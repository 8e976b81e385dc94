import fc from "fast-check";
import { expect, test } from "vitest";
import {
  ATTEMPT_BOUNDS,
  Buckets,
  DEFAULT_BOUNDS,
  DURATION_BOUNDS_MS,
  FIRST_TOKEN_BOUNDS_MS,
  TOOL_BOUNDS_MS,
} from "../../src/metrics/buckets.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";

const bounds = fc
  .uniqueArray(fc.oneof(fc.integer({ min: -100, max: 20_000 }), fc.double({ min: -1e6, max: 1e6, noNaN: true })), {
    minLength: 1,
    maxLength: 20,
    comparator: "SameValueZero",
  })
  .map((list) => [...list].sort((a, b) => a - b));
const observation = fc.oneof(
  fc.double({ min: -1e7, max: 1e7, noNaN: true }),
  fc.integer({ min: -5, max: 30_000 }),
  fc.constantFrom(...DEFAULT_BOUNDS),
);
const observations = fc.array(observation, { maxLength: 100 });

function histogram(buckets?: readonly number[]) {
  const metrics = createMetricRegistry();
  return metrics.registerHistogram("crew.a.h", "", buckets ? { labels: ["x"], buckets } : { labels: ["x"] });
}

test("a value falls in the first bucket whose bound is not below it, however bounds are looked up", () => {
  fc.assert(
    fc.property(fc.oneof(fc.constant([...DEFAULT_BOUNDS]), bounds), observation, (list, value) => {
      const first = list.findIndex((bound) => value <= bound);
      expect(new Buckets(list).indexOf(value)).toBe(first === -1 ? list.length : first);
    }),
    { numRuns: 1000 },
  );
});

test("bucket counts add up to the count, and the sum is the sum", () => {
  fc.assert(
    fc.property(bounds, observations, (list, values) => {
      const hist = histogram(list);
      for (const value of values) hist.observe({ x: "1" }, value);
      const series = hist.snapshot().series[0];
      expect(series?.count ?? 0).toBe(values.length);
      expect(series?.buckets.reduce((a, b) => a + b, 0) ?? 0).toBe(values.length);
      expect(series?.sum ?? 0).toBe(values.reduce((a, b) => a + b, 0));
    }),
  );
});

test("a quantile lies within the bucket of the observation it stands for", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.constant([...DEFAULT_BOUNDS]), bounds),
      fc.array(observation, { minLength: 1, maxLength: 100 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (list, values, q) => {
        const hist = histogram(list);
        for (const value of values) hist.observe({ x: "1" }, value);
        const { value, over } = hist.estimate(undefined, q);
        const sorted = [...values].sort((a, b) => a - b);
        const exact = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
        const bucket = new Buckets(list).indexOf(exact);
        if (bucket === list.length) {
          expect({ value, over }).toEqual({ value: list.at(-1), over: true });
          return;
        }
        const lower = bucket === 0 ? Math.min(0, list[0] ?? 0) : (list[bucket - 1] ?? 0);
        expect(over).toBe(false);
        expect(value).toBeGreaterThanOrEqual(lower - Math.abs(lower) * 1e-9);
        expect(value).toBeLessThanOrEqual((list[bucket] ?? 0) + Math.abs(list[bucket] ?? 0) * 1e-9);
      },
    ),
    { numRuns: 500 },
  );
});

test("quantiles never fall as q grows", () => {
  fc.assert(
    fc.property(
      observations,
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, a, b) => {
        fc.pre(values.length > 0);
        const hist = histogram();
        for (const value of values) hist.observe({ x: "1" }, value);
        expect(hist.quantile({}, Math.min(a, b))).toBeLessThanOrEqual(hist.quantile({}, Math.max(a, b)) + 1e-9);
      },
    ),
  );
});

test("series merge to what one series of all observations would say", () => {
  fc.assert(
    fc.property(observations, fc.constantFrom(0, 0.5, 0.95, 1), (values, q) => {
      const split = histogram();
      const whole = histogram();
      for (const [i, value] of values.entries()) {
        split.labels({ x: i % 3 }).observe(value);
        whole.observe({ x: "all" }, value);
      }
      // sums added in another order differ in their last digits
      const [parts, all] = [split.estimate(undefined, q), whole.estimate({ x: "all" }, q)];
      expect(parts.over).toBe(all.over);
      if (values.length > 0) expect(Math.abs(parts.value - all.value)).toBeLessThanOrEqual(Math.abs(all.value) * 1e-6);
      expect(split.count()).toBe(values.length);
    }),
  );
});

test("interpolation, emptiness and the last bound", () => {
  const hist = histogram([10, 20, 40]);
  expect(hist.quantile(undefined, 0.5)).toBeNaN();
  for (const value of [5, 15, 15, 15]) hist.observe({ x: "a" }, value);
  expect(hist.quantile({ x: "a" }, 0.25)).toBe(10);
  expect(hist.quantile({ x: "a" }, 0.5)).toBeCloseTo(10 + 10 / 3);
  expect(hist.quantile({ x: "a" }, 1)).toBe(20);
  hist.observe({ x: "b" }, 1000);
  expect(hist.estimate({ x: "b" }, 0.5)).toEqual({ value: 40, over: true });
  expect(hist.estimate(undefined, 0.5).over).toBe(false);
  expect(hist.estimate(undefined, 0.99).over).toBe(true);
  expect(hist.quantile({ x: "nothing" }, 0.5)).toBeNaN();
  for (const q of [-0.1, 1.1, Number.NaN]) expect(() => hist.quantile(undefined, q)).toThrow(RangeError);
});

test("of few values no quantile is larger than they can be, by their sum", () => {
  const hist = histogram([250, 500]);
  hist.observe({ x: "a" }, 300);
  for (const q of [0.5, 0.95, 1]) expect(hist.quantile({ x: "a" }, q)).toBeLessThanOrEqual(300);
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 10_000 }), { minLength: 1, maxLength: 20 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, q) => {
        const some = histogram();
        for (const value of values) some.observe({ x: "1" }, value);
        const sum = values.reduce((a, b) => a + b, 0);
        expect(some.quantile(undefined, q)).toBeLessThanOrEqual(sum);
      },
    ),
  );
});

test.each([Number.NaN, Infinity, -Infinity, "3" as unknown as number])("%s is refused and leaves no trace", (value) => {
  const hist = histogram();
  expect(() => hist.observe({ x: "a" }, value)).toThrow(RangeError);
  expect(hist.count()).toBe(0);
});

test("the shipped bounds are ascending and duration bounds reach from 100 ms to 8 h", () => {
  for (const list of [DEFAULT_BOUNDS, DURATION_BOUNDS_MS, FIRST_TOKEN_BOUNDS_MS, TOOL_BOUNDS_MS, ATTEMPT_BOUNDS]) {
    expect(() => new Buckets(list)).not.toThrow();
  }
  expect([DURATION_BOUNDS_MS[0], DURATION_BOUNDS_MS.at(-1)]).toEqual([100, 8 * 3_600_000]);
});

test("bounds from the configuration win over those at registration", () => {
  const metrics = createMetricRegistry({ buckets: { "crew.a.h": [1, 7] } });
  expect(metrics.registerHistogram("crew.a.h", "", { buckets: [3] }).bounds).toEqual([1, 7]);
  expect(metrics.registerHistogram("crew.a.other", "").bounds).toEqual(DEFAULT_BOUNDS);
});
