import { mkdirSync } from "node:fs";
import { describe, expect, it, onTestFinished } from "vitest";
import { createLocalBus } from "../../src/events/local-bus.ts";
import { alertOnDeadLetters } from "../../src/host/dead-letter-alert.ts";
import type { Notification } from "../../src/host/notification-router.ts";
import { DeadLetters } from "../../src/store/dead-letters.ts";
import { runPaths } from "../../src/store/layout.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { tempFolder } from "../store/temp-store.ts";
import { FakeClock } from "../support/fake-clock.ts";

const MINUTE = 60_000;
const { random, files } = nodeWorld({ warn: () => undefined, error: () => undefined });

/** A project whose sessions come and go; letters are really kept. */
async function project(threshold: number) {
  const crewRoot = await tempFolder();
  const clock = new FakeClock();
  let tasks = 0;

  function session() {
    const letters = new DeadLetters({ files, clock, random }, crewRoot);
    const bus = createLocalBus((error) => {
      throw error;
    });
    const told: Notification[] = [];
    const driven = new Set<string>();
    const runs = {
      deadLetters: letters,
      get active() {
        return [...driven].map((runId) => ({ run: { manifest: { runId } } }));
      },
    };
    const stop = alertOnDeadLetters(bus, runs, threshold, (notification) => told.push(notification));
    onTestFinished(stop);
    /** As a run's owner does: kept first, then told. */
    const giveUp = async (runId: string, reason: "max-retries" | "manual" = "max-retries") => {
      mkdirSync(runPaths(crewRoot, runId).folder, { recursive: true });
      const letter = { runId, taskId: `task-${++tasks}`, reason, attempts: 1 };
      await letters.add(letter);
      driven.add(runId);
      if (reason !== "manual") bus.emit("crew.task.deadletter", letter);
      driven.delete(runId);
      return letter;
    };
    return { bus, told, stop, giveUp };
  }

  return { clock, session };
}

describe("the alert on dead letters", () => {
  it("comes once an hour, with more than the threshold in an hour, over all runs", async () => {
    const { clock, session } = await project(2);
    const { told, giveUp, stop } = session();
    for (const runId of ["run-1", "run-2", "run-3", "run-3"]) {
      await giveUp(runId);
      await clock.advance(MINUTE);
    }
    await clock.advance(60 * MINUTE);
    for (let count = 0; count < 3; count++) {
      await giveUp("run-4");
      await clock.advance(10);
    }
    await stop();
    expect(told).toMatchObject([
      { id: "deadletter_threshold_run-3", severity: "error", source: "dead-letters", dedupMs: 60 * MINUTE },
      { id: "deadletter_threshold_run-4" },
    ]);
    expect(told[0]?.message).toContain("More than 2 tasks were given up within an hour");
  });

  it("says it of one task, too", async () => {
    const { session } = await project(1);
    const { told, giveUp, stop } = session();
    for (const runId of ["run-1", "run-2"]) await giveUp(runId);
    await stop();
    expect(told[0]?.message).toContain("More than 1 task was given up within an hour, the last in run run-2.");
  });

  it("counts what earlier sessions gave up, and is not raised again by the next one", async () => {
    const { clock, session } = await project(3);
    const first = session();
    for (let count = 0; count < 3; count++) await first.giveUp("run-1");
    await first.stop();
    expect(first.told).toEqual([]);
    await clock.advance(MINUTE);
    const second = session();
    await second.giveUp("run-1");
    await second.stop();
    expect(second.told.map(({ id }) => id)).toEqual(["deadletter_threshold_run-1"]);
    await clock.advance(MINUTE);
    const third = session();
    await third.giveUp("run-1");
    await third.giveUp("run-2");
    await third.stop();
    expect(third.told).toEqual([]);
  });

  it("is not missed for letters of the very same moment", async () => {
    const { session } = await project(3);
    const { told, giveUp, stop } = session();
    for (let count = 0; count < 4; count++) await giveUp("run-1");
    await stop();
    expect(told.at(-1)?.id).toBe("deadletter_threshold_run-1");
  });

  it("is told by one of two sessions that give up side by side", async () => {
    const { clock, session } = await project(3);
    const [first, second] = [session(), session()];
    for (const each of [first, second, first, second, first]) {
      await each.giveUp("run-1");
      await clock.advance(10);
    }
    await Promise.all([first.stop(), second.stop()]);
    expect([first.told.length, second.told.length]).toEqual([0, 1]);
  });

  it("of a run that another process drives is told there, not where it is followed", async () => {
    const { session } = await project(2);
    const [owner, follower] = [session(), session()];
    for (let count = 0; count < 3; count++) follower.bus.emit("crew.task.deadletter", await owner.giveUp("run-1"));
    await Promise.all([owner.stop(), follower.stop()]);
    expect([owner.told.length, follower.told.length]).toEqual([1, 0]);
  });

  it("is not raised by as many over a longer time, by those made by hand, nor after its end", async () => {
    const { clock, session } = await project(2);
    const { told, giveUp, stop } = session();
    for (let count = 0; count < 4; count++) {
      await giveUp("run-1");
      await clock.advance(31 * MINUTE);
    }
    await clock.advance(60 * MINUTE);
    for (let count = 0; count < 3; count++) await giveUp("run-1", "manual");
    await giveUp("run-1");
    await stop();
    for (let count = 0; count < 3; count++) await giveUp("run-1");
    expect(told).toEqual([]);
  });

  it("says so when it can't count", async () => {
    const bus = createLocalBus((error) => {
      throw error;
    });
    const told: Notification[] = [];
    const list = () => Promise.reject(new Error("EMFILE: too many open files"));
    const runs = { active: [{ run: { manifest: { runId: "run-1" } } }], deadLetters: { list } };
    const stop = alertOnDeadLetters(bus, runs, 3, (notification) => told.push(notification));
    bus.emit("crew.task.deadletter", { runId: "run-1", taskId: "a", reason: "max-retries" });
    await stop();
    expect(told).toMatchObject([{ severity: "warning", message: expect.stringContaining("EMFILE") }]);
  });
});
