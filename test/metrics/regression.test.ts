import { describe, expect, it } from "vitest";
import { findRegressions, type RunSample, rankShift } from "../../src/metrics/regression.ts";

function runs(count: number, own: (i: number) => Partial<RunSample> = () => ({})): RunSample[] {
  return Array.from({ length: count }, (_, i) => ({
    endedAt: i,
    completed: true,
    durationMs: 60_000 + ((i * 7919) % 1000) * 20,
    costUsd: 1,
    definitions: "a",
    ...own(i),
  }));
}

describe("regressions of a workflow", () => {
  it("are not found in what is as before, in one odd run, or with too few to compare with", () => {
    expect(findRegressions("w", runs(40))).toEqual([]);
    expect(
      findRegressions(
        "w",
        runs(40, (i) => (i === 38 ? { durationMs: 9e6, costUsd: 99 } : {})),
      ),
    ).toEqual([]);
    expect(
      findRegressions(
        "w",
        runs(40, (i) => (i === 39 ? { completed: false } : {})),
      ),
    ).toEqual([]);
    expect(
      findRegressions(
        "w",
        runs(14, (i) => (i > 8 ? { durationMs: 9e6 } : {})),
      ),
    ).toEqual([]);
    expect(findRegressions("w", [])).toEqual([]);
  });

  it("say what became worse, and whether the definition changed", () => {
    const slower = findRegressions(
      "w",
      runs(40, (i) => (i > 34 ? { durationMs: 180_000, definitions: "b" } : {})),
    );
    expect(slower).toMatchObject([{ what: "duration", changed: true, now: 180_000 }]);
    expect(slower[0]?.sentence).toMatch(
      /^Workflow w takes 2\.\d times what it did in the 35 runs before, since its definition changed\.$/,
    );
    const dearer = findRegressions("w", runs(30, (i) => ({ costUsd: i > 24 ? 3 : 1 })).reverse());
    expect(dearer.map(({ sentence }) => sentence)).toEqual([
      "Workflow w costs 3.0 times what it did in the 25 runs before.",
    ]);
    const failing = findRegressions(
      "w",
      runs(40, (i) => ({ completed: i < 36 })),
    );
    expect(failing.map(({ sentence }) => sentence)).toEqual([
      "Workflow w fails more often: 1 of its last 5 runs were completed, before 100 %.",
    ]);
  });

  it("are seldom found by chance", () => {
    let state = 5;
    const next = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 32;
    };
    const trials = Array.from({ length: 1000 }, () =>
      runs(40, () => ({ durationMs: Math.exp(4 * next()), completed: next() < 0.8 })),
    );
    expect(trials.filter((samples) => findRegressions("w", samples).length > 0).length).toBeLessThan(20);
  });

  it("rank as published: Mann and Whitney's z of two small samples", () => {
    // U = 25 of 25: (25 - 12.5 - 0.5) / sqrt(25 * 11 / 12)
    expect(rankShift([6, 7, 8, 9, 10], [1, 2, 3, 4, 5])).toBeCloseTo(2.5067, 4);
    expect(rankShift([1, 1], [1, 1])).toBe(0);
  });
});
