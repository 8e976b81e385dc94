import { mkdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { deadLetterAlert } from "../../src/host/dead-letter-alert.ts";
import type { Notification } from "../../src/host/notification-router.ts";
import { deadLetterRecorder } from "../../src/host/record-dead-letter.ts";
import type { DeadLetterReason } from "../../src/runs/run-state.ts";
import { type DeadLetterList, DeadLetters } from "../../src/store/dead-letters.ts";
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
    const told: Notification[] = [];
    const alert = deadLetterAlert(letters, threshold, (notification) => told.push(notification));
    const keep = async (runId: string, reason: DeadLetterReason = "max-retries") => {
      mkdirSync(runPaths(crewRoot, runId).folder, { recursive: true });
      return (await letters.add({ runId, taskId: `task-${++tasks}`, reason, attempts: 1 })).letter;
    };
    /** As a run's owner does: kept first, then looked at. */
    const giveUp = async (runId: string, reason?: DeadLetterReason) => alert(await keep(runId, reason));
    return { told, alert, keep, giveUp };
  }

  return { clock, session };
}

/** A list that takes until it is told to go on, or to fail. */
function slowList() {
  const waiting: { resolve: (list: DeadLetterList) => void; reject: (error: Error) => void }[] = [];
  const list = () => new Promise<DeadLetterList>((resolve, reject) => waiting.push({ resolve, reject }));
  return { waiting, list };
}

const letterOf = (taskId: string) => ({ runId: "run-1", taskId, reason: "max-retries" as const, attempts: 1 });
const turns = () => new Promise((resolve) => setImmediate(resolve));

describe("the alert on dead letters", () => {
  it("comes once an hour, with more than the threshold in an hour, over all runs", async () => {
    const { clock, session } = await project(2);
    const { told, giveUp } = session();
    for (const runId of ["run-1", "run-2", "run-3", "run-3"]) {
      await giveUp(runId);
      await clock.advance(MINUTE);
    }
    await clock.advance(60 * MINUTE);
    for (let count = 0; count < 3; count++) {
      await giveUp("run-4");
      await clock.advance(10);
    }
    expect(told).toMatchObject([
      { id: "deadletter_threshold_run-3", severity: "error", source: "dead-letters", dedupMs: 60 * MINUTE },
      { id: "deadletter_threshold_run-4" },
    ]);
    expect(told[0]?.message).toContain("More than 2 tasks were given up within an hour");
  });

  it("says it of one task, too", async () => {
    const { session } = await project(1);
    const { told, giveUp } = session();
    for (const runId of ["run-1", "run-2"]) await giveUp(runId);
    expect(told[0]?.message).toContain("More than 1 task was given up within an hour, the last in run run-2.");
  });

  it("counts what earlier sessions gave up, and is not raised again by the next one", async () => {
    const { clock, session } = await project(3);
    const first = session();
    for (let count = 0; count < 3; count++) await first.giveUp("run-1");
    expect(first.told).toEqual([]);
    await clock.advance(MINUTE);
    const second = session();
    await second.giveUp("run-1");
    expect(second.told.map(({ id }) => id)).toEqual(["deadletter_threshold_run-1"]);
    await clock.advance(MINUTE);
    const third = session();
    await third.giveUp("run-1");
    await third.giveUp("run-2");
    expect(third.told).toEqual([]);
  });

  it("comes once for letters of the very same moment, though all are there before the first is looked at", async () => {
    const { session } = await project(3);
    const { told, alert, keep } = session();
    const letters = [];
    for (let count = 0; count < 6; count++) letters.push(await keep("run-1"));
    await Promise.all(letters.map(alert));
    expect(told).toHaveLength(1);
  });

  it("is not missed for letters of the very same moment in several runs", async () => {
    const { session } = await project(3);
    const { told, giveUp } = session();
    for (const runId of ["run-2", "run-2", "run-2", "run-1"]) await giveUp(runId);
    expect(told.map(({ id }) => id)).toEqual(["deadletter_threshold_run-1"]);
  });

  it("counts letters that are made by hand, also of a run of long ago", async () => {
    const { clock, session } = await project(3);
    const { told, giveUp } = session();
    await giveUp("run-1");
    await clock.advance(100 * 60 * MINUTE);
    for (const runId of ["run-2", "run-1", "run-1"])
      await giveUp(runId, runId === "run-1" ? "manual" : "heartbeat-dead");
    expect(told).toEqual([]);
    await giveUp("run-1", "manual");
    expect(told.map(({ id }) => id)).toEqual(["deadletter_threshold_run-1"]);
  });

  it("is told by one of two sessions that give up side by side", async () => {
    const { clock, session } = await project(3);
    const [first, second] = [session(), session()];
    for (const each of [first, second, first, second, first]) {
      await each.giveUp("run-1");
      await clock.advance(10);
    }
    expect([first.told.length, second.told.length]).toEqual([0, 1]);
  });

  it("is not raised by as many over a longer time", async () => {
    const { clock, session } = await project(2);
    const { told, giveUp } = session();
    for (let count = 0; count < 4; count++) {
      await giveUp("run-1");
      await clock.advance(31 * MINUTE);
    }
    expect(told).toEqual([]);
  });

  it("is told before the run's owner goes on, however long the look takes", async () => {
    const { waiting, list } = slowList();
    const happened: string[] = [];
    const letter = { ...letterOf("a"), id: "", status: "open" as const, timestamp: "2026-01-01T00:00:00.000Z" };
    const deadLetters = Object.assign(new DeadLetters({ files, clock: new FakeClock(), random }, await tempFolder()), {
      add: async () => ({ letter, added: true }),
      list,
    });
    const notify = ({ severity }: Notification) => void happened.push(severity);
    const parts = { deadLetters, deadLetterAlert: deadLetterAlert(deadLetters, 3, notify), notify };
    const recorded = deadLetterRecorder(parts, "run-1")("a", letter).then((kept) => happened.push(`kept: ${kept}`));
    await turns();
    expect(happened).toEqual([]);
    waiting[0]?.reject(new Error("EMFILE: too many open files"));
    await recorded;
    // a look that fails costs the run nothing
    expect(happened).toEqual(["warning", "kept: true"]);
  });

  it("lists the letters once for all that wait for it", async () => {
    const { waiting, list } = slowList();
    const alert = deadLetterAlert({ list }, 3, () => undefined);
    const looks = [alert(letterOf("a"))];
    await turns();
    for (const taskId of ["b", "c", "d"]) looks.push(alert(letterOf(taskId)));
    expect(waiting).toHaveLength(1);
    waiting[0]?.resolve({ letters: [], bad: 0, more: false });
    await looks[0];
    await turns();
    expect(waiting).toHaveLength(2);
    waiting[1]?.resolve({ letters: [], bad: 0, more: false });
    await Promise.all(looks);
    expect(waiting).toHaveLength(2);
  });

  it("says so when it can't count, in the log of the run it was for", async () => {
    const told: Notification[] = [];
    const list = () => Promise.reject(new Error("EMFILE: too many open files"));
    await deadLetterAlert({ list }, 3, (notification) => told.push(notification))(letterOf("a"));
    expect(told).toMatchObject([{ severity: "warning", runId: "run-1", message: expect.stringContaining("EMFILE") }]);
  });
});
