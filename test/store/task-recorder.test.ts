import { appendFileSync, existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { CrewEvent, NewEvent } from "../../src/events/crew-event.ts";
import { CREW_EVENT_TYPES } from "../../src/events/event-durability.ts";
import { createLocalBus } from "../../src/events/local-bus.ts";
import { runPaths } from "../../src/store/layout.ts";
import type { OpenRun } from "../../src/store/run-store.ts";
import type { TaskRecord } from "../../src/store/task-record.ts";
import { TaskRecorder } from "../../src/store/task-recorder.ts";
import type { ProcessIdentity } from "../../src/system/world.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { FailingLogFiles, ownerOf, tempStore } from "./temp-store.ts";

const TASKS = ["done", "retried", "lost", "stopped", "skipped"];
const END = { team: "team", role: "hand", taskType: "work", durationMs: 1500, tokens: 30, artifacts: [] };
const TOKENS = { input: 10, output: 0, cacheRead: 0, cacheWrite: 0 };

function attempt(taskId: string, number: number, costUsd: number, exitCode: number): NewEvent[] {
  const outcome = exitCode === 0 ? ("completed" as const) : ("failed" as const);
  return [
    { type: "crew.task.attempt_started", taskId, attempt: number, workerId: "w", workerKind: "shell" },
    {
      type: "crew.task.attempt_finished",
      taskId,
      attempt: number,
      outcome,
      durationMs: 5,
      tokens: TOKENS,
      costUsd,
      exitCode,
      ...(taskId === "done" ? { changes: { locAdded: 3, locRemoved: 1, filesChanged: 2 } } : {}),
    },
  ];
}

/** A run with a task of each end; the events before the run's own end. */
function story(): NewEvent[] {
  const started = (taskId: string): NewEvent => ({
    type: "crew.task.started",
    taskId,
    team: "team",
    role: "hand",
    stepName: taskId,
    workerKind: "shell",
  });
  const error = { kind: "exit", message: `key sk-secret ${"\u{1f600}".repeat(300)}` };
  return [
    { type: "crew.run.started", team: "team", workflow: "flow" },
    ...TASKS.slice(0, 4).map(started),
    ...attempt("done", 1, 0.5, 0),
    { type: "crew.task.completed", taskId: "done", ...END, status: "completed", attempts: 1, costUsd: 0.5 },
    ...attempt("retried", 1, 0.25, 1),
    ...attempt("retried", 2, 0.5, 0),
    { type: "crew.task.completed", taskId: "retried", ...END, status: "completed", attempts: 2, costUsd: 0.75 },
    ...attempt("lost", 1, 1, 137),
    { type: "crew.task.failed", taskId: "lost", ...END, status: "failed", attempts: 1, costUsd: 1, error },
    { type: "crew.task.cancelled", taskId: "stopped", ...END, status: "cancelled", attempts: 0, costUsd: 0 },
    { type: "crew.task.skipped", taskId: "skipped", ...END, status: "skipped", attempts: 0, costUsd: 0 },
  ];
}

const RUN_END: NewEvent = {
  type: "crew.run.failed",
  team: "team",
  workflow: "flow",
  status: "failed",
  taskCount: 5,
  durationMs: 9,
  tokens: 0,
  costUsd: 0,
};

async function rig(real = new FailingLogFiles()) {
  const { store, crewRoot, clock, warnings } = await tempStore();
  const manifest = manifestOf(TASKS.map((id) => taskSpec(id)));
  const log = { warn: (message: string) => void warnings.push(message), error: () => undefined };
  const dead = new Set<number>();
  const session = (pid: number) => {
    const self: ProcessIdentity = { ...ownerOf("n"), pid };
    const alive = (other: ProcessIdentity) => (dead.has(other.pid) ? ("dead" as const) : ("alive" as const));
    return new TaskRecorder({
      world: { clock, files: real.files, log, processes: { self: () => self, alive } },
      crewRoot,
      redact: (text) => text.replace("sk-secret", "***"),
    });
  };
  const open = async (
    recorder: TaskRecorder | null,
    begin: (bus: ReturnType<typeof createLocalBus>) => Promise<OpenRun>,
  ) => {
    const bus = createLocalBus((error) => {
      throw error;
    });
    const run = await begin(bus);
    for (const type of CREW_EVENT_TYPES)
      bus.on(type, (event) => recorder?.onEvent(event as CrewEvent, run.manifest, run.state));
    await run.claim({ ...ownerOf("n"), nonce: String(Math.floor(clock.now())) });
    return run;
  };
  const folder = join(crewRoot, "metrics", "tasks");
  const lines = () =>
    readdirSync(folder)
      .flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n"))
      .filter((line) => line !== "");
  const tasks = () => lines().map((line) => (JSON.parse(line) as TaskRecord).task_id);
  return { store, crewRoot, manifest, session, open, lines, tasks, dead, warnings, folder, clock };
}

const mark = (crewRoot: string) => join(runPaths(crewRoot, "run-1").folder, "recorded.json");

it("a task that was completed or has failed has one line, and none has another", async () => {
  const { store, crewRoot, manifest, session, open, lines, folder } = await rig();
  const recorder = session(1);
  await recorder.prepare();
  const run = await open(recorder, (bus) => store.create(manifest, bus));
  for (const event of [...story(), RUN_END]) await run.publisher.publish(event);
  await recorder.dispose();
  const [done, retried, lost, ...others] = lines().map((line) => JSON.parse(line) as TaskRecord);
  expect(others).toEqual([]);
  const at = done?.created_at as string;
  expect(done).toMatchObject({
    v: 1,
    created_at: at,
    status: "completed",
    duration_seconds: 1.5,
    tokens: 30,
    cost_usd: 0.5,
  });
  expect(done).toMatchObject({
    run_id: "run-1",
    task_id: "done",
    node: "host",
    exit_code: 0,
    attempts: 1,
    model: "none",
  });
  expect(done).toMatchObject({ task_type: "work", role: "hand", team: "team", workflow: "flow", worker_kind: "shell" });
  expect(done).toMatchObject({ loc_added: 3, loc_removed: 1, files_changed: 2, project: "nowhere", error: null });
  expect(retried).toMatchObject({ attempts: 2, wasted_cost_usd: 0.25, loc_added: null, retryable: false });
  expect(lost).toMatchObject({ status: "failed", exit_code: 137, retryable: true, wasted_cost_usd: 1 });
  expect(lost?.error).toBe(`key *** ${"\u{1f600}".repeat(192)}`);
  expect(readdirSync(folder)).toEqual([`${at.slice(0, 10)}.jsonl`]);
  expect(session(2).unrecorded(["run-1"])).toEqual([]);
  expect(JSON.parse(readFileSync(mark(crewRoot), "utf8"))).toMatchObject({ v: 1, seq: run.toldSeq });
});

it("a session killed anywhere leaves each task with one line, once somebody has caught up", async () => {
  const events = [...story(), RUN_END];
  for (let killedAfter = 0; killedAfter <= events.length; killedAfter++)
    for (const loss of ["event told", "before the line", "half a line", "no line feed"] as const) {
      const { store, manifest, session, open, tasks, dead, folder, clock } = await rig();
      const [first, second] = [session(1), session(2)];
      await first.prepare();
      const told = await open(first, (bus) => store.create(manifest, bus));
      const [before, last] = [events.slice(0, killedAfter), events[killedAfter]];
      for (const event of before) await told.publisher.publish(event);
      told.close();
      await first.dispose();
      const [name] = readdirSync(folder);
      const bytes = name === undefined ? 0 : readFileSync(join(folder, name)).length;
      if (name !== undefined && loss === "half a line") truncateSync(join(folder, name), bytes - 100);
      if (name !== undefined && loss === "no line feed") truncateSync(join(folder, name), bytes - 1);
      dead.add(1);
      await clock.advance(1000);
      const run = await open(second, (bus) => store.open("run-1", bus));
      // written by the first, which was killed before anybody heard of it
      if (loss === "before the line" && last) await run.publisher.publish(last);
      await second.catchUp(manifest);
      for (const event of events.slice(killedAfter + (loss === "before the line" ? 1 : 0)))
        await run.publisher.publish(event);
      await second.dispose();
      // of one that was killed as it came to do the same
      const litter = join(runPaths(store.crewRoot, "run-1").folder, ".recording-9.json.1.ab.tmp");
      writeFileSync(litter, "");
      dead.add(2);
      await session(3).catchUp(manifest);
      expect(existsSync(litter)).toBe(false);
      const good = tasksWithoutTorn(tasks, folder);
      expect(good.sort(), `${loss} after ${killedAfter}`).toEqual(["done", "lost", "retried"]);
    }
});

function tasksWithoutTorn(tasks: () => string[], folder: string): string[] {
  try {
    return tasks();
  } catch {
    return readdirSync(folder)
      .flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n"))
      .flatMap((line) => {
        try {
          return [(JSON.parse(line) as TaskRecord).task_id];
        } catch {
          return [];
        }
      });
  }
}

it("what a full disk refused is written by the next session, and by one of two that start at once", async () => {
  const real = new FailingLogFiles();
  const { store, manifest, session, open, tasks, dead, warnings } = await rig(real);
  const first = session(1);
  await first.prepare();
  const run = await open(first, (bus) => store.create(manifest, bus));
  for (const [i, event] of [...story(), RUN_END].entries()) {
    real.fail = i > 8 ? { at: "part", code: "ENOSPC" } : null;
    await run.publisher.publish(event);
  }
  await first.dispose();
  expect(warnings.join()).toContain("can't be kept yet");
  real.fail = null;
  const next = [session(2), session(3)];
  expect(await next[0]?.catchUp(manifest), "the first one may still be at it").toBeNull();
  dead.add(1);
  expect(next[0]?.unrecorded(["run-1"])).toEqual(["run-1"]);
  const written = await Promise.all(next.map((session) => session.catchUp(manifest)));
  expect(written.filter((count) => count === null)).toHaveLength(1);
  expect(tasksWithoutTorn(tasks, join(store.crewRoot, "metrics", "tasks")).sort()).toEqual(["done", "lost", "retried"]);
});

it("a line glued to another process's torn one counts as there", async () => {
  const { store, manifest, session, open, folder, lines } = await rig();
  const first = session(1);
  await first.prepare();
  const run = await open(first, (bus) => store.create(manifest, bus));
  const [name] = [`${new Date(1_700_000_000_000).toISOString().slice(0, 10)}.jsonl`];
  const events = story();
  const until = events.findIndex(({ type }) => type === "crew.task.completed");
  for (const event of events.slice(0, until + 1)) await run.publisher.publish(event);
  appendFileSync(join(folder, name), '{"v":1,"created_at":"2023-11-14T2');
  for (const event of [...events.slice(until + 1), RUN_END]) await run.publisher.publish(event);
  await first.dispose();
  expect(await session(1).catchUp(manifest)).toBe(0);
  expect(lines()).toHaveLength(3);
});
