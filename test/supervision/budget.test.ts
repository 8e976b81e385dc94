import { describe, expect, it } from "vitest";
import { budgetReason, exceededLimit } from "../../src/supervision/budget.ts";

const NO_LIMITS = { maxCostUsd: null, maxTokens: null, maxDurationMs: null };

describe("a run's budget", () => {
  const limits = { maxCostUsd: 2, maxTokens: 1000, maxDurationMs: 60_000 };
  const usage = { costUsd: 2, tokens: 1000, durationMs: 60_000 };

  it("is not passed by what is just the limit", () => {
    expect(exceededLimit(limits, usage)).toBeNull();
    expect(exceededLimit(NO_LIMITS, { costUsd: 1e9, tokens: 1e9, durationMs: 1e9 })).toBeNull();
  });

  it.each([
    [{ costUsd: 2.01 }, { limit: "maxCostUsd", value: 2.01, max: 2 }],
    [{ tokens: 1001 }, { limit: "maxTokens", value: 1001, max: 1000 }],
    [{ durationMs: 60_001 }, { limit: "maxDurationMs", value: 60_001, max: 60_000 }],
    [
      { costUsd: 3, tokens: 5000 },
      { limit: "maxCostUsd", value: 3, max: 2 },
    ],
  ])("is passed by %j, and the first limit is named", (more, expected) => {
    const exceeded = exceededLimit(limits, { ...usage, ...more });
    expect(exceeded).toEqual(expected);
    expect(exceeded && budgetReason(exceeded)).toContain(expected.limit);
  });

  it("of zero allows nothing", () => {
    const none = { ...NO_LIMITS, maxCostUsd: 0 };
    expect(exceededLimit(none, { ...usage, costUsd: 0 })).toBeNull();
    expect(exceededLimit(none, { ...usage, costUsd: 0.001 })).not.toBeNull();
  });
});
