import fc from "fast-check";
import { expect, it } from "vitest";
import { DurationBins } from "../../src/metrics/duration-bins.ts";

const SECONDS = fc.oneof(
  fc.double({ min: 0, max: 1e6, noNaN: true }),
  fc.integer({ min: 0, max: 5 }),
  fc.constantFrom(0.0001, 59.999, 1e8, 4e9),
);

/** Type 7, from the definition. */
function sortedQuantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = (sorted.length - 1) * q;
  const [low, high] = [sorted[Math.floor(rank)] as number, sorted[Math.ceil(rank)] as number];
  return low + (high - low) * (rank - Math.floor(rank));
}

function binsOf(values: readonly number[], exactMax?: number): DurationBins {
  const bins = new DurationBins(exactMax);
  for (const value of values) bins.add(value);
  return bins;
}

it("a quantile is the one of the sorted values", () => {
  fc.assert(
    fc.property(fc.array(SECONDS, { minLength: 1 }), fc.double({ min: 0, max: 1, noNaN: true }), (values, q) => {
      expect(binsOf(values).quantile(q)).toBe(sortedQuantile(values, q));
    }),
  );
});

it("what was removed counts no more", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(SECONDS, fc.boolean())), fc.constantFrom(0, 0.5, 0.95), (values, q) => {
      const bins = binsOf(values.map(([value]) => value));
      const kept = values.filter(([, gone]) => !gone).map(([value]) => value);
      bins.quantile(q);
      for (const [value, gone] of values) if (gone) bins.remove(value);
      expect(bins.count).toBe(kept.length);
      expect(bins.quantile(q)).toBe(kept.length === 0 ? 0 : sortedQuantile(kept, q));
    }),
  );
});

it("above the limit a quantile is at most 1 % off", () => {
  const seconds = fc.double({ min: 0.001, max: 1e8, noNaN: true });
  fc.assert(
    fc.property(fc.array(seconds, { minLength: 11 }), fc.double({ min: 0, max: 1, noNaN: true }), (values, q) => {
      const bins = binsOf(values, 10);
      const exact = sortedQuantile(values, q);
      expect(bins.exact).toBe(false);
      expect(Math.abs(bins.quantile(q) - exact)).toBeLessThanOrEqual(exact * 0.01);
    }),
  );
});

it("is exact up to 200,000 values and not above", () => {
  const bins = new DurationBins();
  for (let i = 0; i < 200_000; i++) bins.add((i * 7919) % 200_000);
  expect([bins.exact, bins.quantile(0.5), bins.quantile(0.95)]).toEqual([true, 99_999.5, 189_999.05]);
  bins.add(1);
  expect(bins.exact).toBe(false);
});
