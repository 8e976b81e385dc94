import { describe, expect, it } from "vitest";
import { HEARTBEAT_THRESHOLDS } from "../../src/supervision/heartbeat.ts";
import type { Finding, LiveTask } from "../../src/supervision/heartbeat-judge.ts";
import { HeartbeatWatcher, type WatcherPorts } from "../../src/supervision/heartbeat-watcher.ts";
import { FakeClock } from "../support/fake-clock.ts";

const TASK: LiveTask = {
  runId: "r",
  taskId: "t",
  attempt: 1,
  workerId: "w",
  sign: "1",
  left: false,
  processAlive: "dead",
  thresholds: HEARTBEAT_THRESHOLDS,
};

function setup(changes: Partial<WatcherPorts> = {}, intervalMs = 5000) {
  const clock = new FakeClock();
  const told: string[] = [];
  const errors: unknown[] = [];
  let looks = 0;
  const ports: WatcherPorts = {
    clock,
    observe: async () => {
      looks++;
      return [TASK];
    },
    report: (findings: readonly Finding[]) => void told.push(...findings.map(({ kind }) => kind)),
    onError: (error) => void errors.push(error),
    ...changes,
  };
  const watcher = new HeartbeatWatcher(ports, intervalMs);
  return { clock, told, errors, watcher, looks: () => looks };
}

describe("the heartbeat watcher", () => {
  it("looks every interval and tells what changed", async () => {
    const { clock, told, looks } = setup();
    await clock.advance(400_000);
    expect(looks()).toBe(80);
    expect(told).toEqual(["level", "level", "level", "dead", "lost"]);
  });

  it("ends its timer, waits for a look under way, and tells nothing of it", async () => {
    let finish: (tasks: LiveTask[]) => void = () => undefined;
    const { clock, told, watcher } = setup({ observe: () => new Promise((resolve) => (finish = resolve)) });
    await clock.advance(5000);
    let over = false;
    const disposal = watcher.dispose().then(() => {
      over = true;
    });
    expect(clock.pending).toBe(0);
    await clock.advance(60_000);
    expect(over).toBe(false);
    finish([{ ...TASK, left: true }]);
    await disposal;
    expect(told).toEqual([]);
    await watcher.dispose();
  });

  it("never has two looks under way", async () => {
    let under = 0;
    let most = 0;
    const { clock } = setup({
      observe: async () => {
        most = Math.max(most, ++under);
        await clock.sleep(12_000);
        under--;
        return [];
      },
    });
    await clock.advance(100_000);
    expect(most).toBe(1);
  });

  it("goes on after a look that failed, and does not hold the time against the workers", async () => {
    let broken = true;
    const { clock, told, errors } = setup({
      observe: async () => {
        if (broken) throw new Error("EIO");
        return [TASK];
      },
    });
    await clock.advance(1_000_000);
    expect(errors).toHaveLength(200);
    broken = false;
    await clock.advance(25_000);
    expect(told).toEqual([]);
  });

  it("tells again what could not be told", async () => {
    const told: string[] = [];
    let full = true;
    const { clock, errors } = setup({
      observe: async () => [{ ...TASK, left: true }],
      report: async (findings) => {
        if (full) throw new Error("ENOSPC");
        told.push(...findings.map(({ kind }) => kind));
      },
    });
    await clock.advance(5000);
    full = false;
    await clock.advance(30_000);
    expect(errors).toHaveLength(1);
    expect(told).toEqual(["level", "dead", "lost"]);
  });

  it("shows how long each has been silent by now", async () => {
    const { clock, watcher } = setup();
    expect(watcher.readings()).toEqual([]);
    await clock.advance(12_500);
    expect(watcher.readings()).toEqual([{ runId: "r", taskId: "t", stalenessMs: 7500 }]);
  });

  it("keeps the interval within 1 to 60 s", async () => {
    const fast = setup({}, 1);
    await fast.clock.advance(10_000);
    expect(fast.looks()).toBe(10);
    const slow = setup({}, 10 ** 9);
    await slow.clock.advance(120_000);
    expect(slow.looks()).toBe(2);
  });
});
