import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  classifyHeartbeat,
  HEARTBEAT_THRESHOLDS,
  isWorkerHeartbeatStale,
  levelOfSilence,
} from "../../src/supervision/heartbeat.ts";

const NOW = Date.UTC(2026, 10, 20);
const beat = (ageMs: number) => ({ workerId: "w", lastSeenAt: new Date(NOW - ageMs).toISOString() });
const level = (hb: Parameters<typeof classifyHeartbeat>[0]) => classifyHeartbeat(hb, HEARTBEAT_THRESHOLDS, NOW);

describe("a heartbeat's level", () => {
  it.each([
    [0, "healthy"],
    [29_999, "healthy"],
    [30_000, "warn"],
    [59_999, "warn"],
    [60_000, "stale"],
    [299_999, "stale"],
    [300_000, "dead"],
    [-3_600_000, "healthy"],
  ])("of %i ms is %s: a boundary belongs to the worse", (age, expected) => {
    expect(level(beat(age))).toBe(expected);
  });

  it.each([
    ["missing", null],
    ["missing", undefined],
    ["of one who left", { ...beat(0), alive: false }],
    ["without a date", { workerId: "w", lastSeenAt: "" }],
    ["with an unreadable date", { workerId: "w", lastSeenAt: "yesterday" }],
    ["with a number for a date", { workerId: "w", lastSeenAt: "1" }],
    ["with an impossible date", { workerId: "w", lastSeenAt: "2026-13-45T99:00:00Z" }],
  ])("%s is dead, and stale for any limit", (_name, heartbeat) => {
    expect(level(heartbeat)).toBe("dead");
    expect(isWorkerHeartbeatStale(heartbeat, 10 ** 12, NOW)).toBe(true);
  });

  it("is stale from the limit on", () => {
    expect(isWorkerHeartbeatStale({ ...beat(999), alive: true }, 1000, NOW)).toBe(false);
    expect(isWorkerHeartbeatStale(beat(1000), 1000, NOW)).toBe(true);
  });

  it("only gets worse with silence", () => {
    const order = ["healthy", "warn", "stale", "dead"];
    fc.assert(
      fc.property(fc.nat(400_000), fc.nat(400_000), (a, b) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)];
        const at = (ms: number) => order.indexOf(levelOfSilence(ms, HEARTBEAT_THRESHOLDS));
        expect(at(more)).toBeGreaterThanOrEqual(at(less));
      }),
    );
  });
});
