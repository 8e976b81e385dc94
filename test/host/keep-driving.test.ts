import { describe, expect, it, onTestFinished } from "vitest";
import { createCorrelation } from "../../src/events/correlation.ts";
import type { Notification } from "../../src/host/notification-router.ts";
import { RunService } from "../../src/host/run-service.ts";
import type { ActiveRun } from "../../src/host/shown-run.ts";
import { type AttemptOrder, NO_ROOM } from "../../src/runs/execute.ts";
import { Slots } from "../../src/runs/slots.ts";
import { DeadLetters } from "../../src/store/dead-letters.ts";
import { RunStore } from "../../src/store/run-store.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { FailingLogFiles, keepingBus, ownerOf, tempFolder, typesOf } from "../store/temp-store.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { waitUntil } from "../support/processes.ts";
import { attemptReport, type PretendedWorkers, ScriptedEngine } from "../support/scripted-engine.ts";

// The engine is a test double: it stands for worker processes, none is started. Store, log and files are real.

async function paused(
  at: "write" | "sync" | "part" = "write",
  code = "ENOSPC",
  script: ScriptedEngine["script"] = () => "hold",
) {
  const crewRoot = await tempFolder();
  const clock = new FakeClock();
  const disk = new FailingLogFiles();
  const quiet = () => undefined;
  const world = { ...nodeWorld({ warn: quiet, error: quiet }), clock, files: disk.files };
  const { bus, told } = keepingBus();
  const notices: Notification[] = [];
  const workers: PretendedWorkers = new Map();
  const engine = new ScriptedEngine(script, workers);
  const slots = new Slots(4);
  const store = new RunStore(world, crewRoot);
  const service = new RunService({
    world,
    bus,
    store,
    engine,
    slots,
    sessionId: "session",
    redact: (text) => text,
    afterFailure: () => () => ({ giveUp: true, deadLetter: null }),
    correlation: createCorrelation(),
    deadLetters: new DeadLetters(world, crewRoot),
    deadLetterAlert: async () => undefined,
    notify: (notice) => void notices.push(notice),
  });
  onTestFinished(async () => {
    disk.fail = null;
    const released = service.release("over");
    await passing(clock, () => service.active.length === 0);
    await released;
  });
  const active = await service.start(
    manifestOf([taskSpec("a"), taskSpec("b"), taskSpec("c", { dependsOn: ["a", "b"] })]),
  );
  await engine.begun(2);
  await waitUntil(() => typesOf(told, "crew.subagent.spawned").length === 2);
  disk.fail = { at, code };
  const fill = async () => {
    engine.end("a");
    await passing(clock, () => notices.length > 0);
  };
  return { crewRoot, clock, disk, told, notices, engine, slots, store, service, active, fill, workers };
}

/** Moves the clock until it holds: beside the clock, files are read and written in between. */
async function passing(clock: FakeClock, holds: () => boolean): Promise<void> {
  await waitUntil(async () => {
    if (!holds()) await clock.advance(500);
    return holds();
  });
}

async function endOf(active: ActiveRun, clock: FakeClock) {
  let end: Awaited<ActiveRun["done"]> | null = null;
  void active.done.then((ended) => {
    end = ended;
  });
  await passing(clock, () => end !== null);
  return await active.done;
}

describe("a run whose log can't be written for a while", () => {
  it.each(["write", "sync", "part"] as const)(
    "pauses, says so once, goes on by itself and completes (%s)",
    async (at) => {
      const { clock, disk, told, notices, engine, slots, store, active, fill, service } = await paused(at);
      await fill();
      expect(notices).toMatchObject([{ id: "paused_run-1", severity: "error", runId: "run-1" }]);
      expect(notices[0]?.message).toContain("It goes on by itself once there is room on the disk.");
      for (let second = 0; second < 90; second++) await clock.advance(1000);
      expect(notices).toHaveLength(1);
      expect(service.active).toEqual([active]);
      expect(engine.executed.map(({ taskId }) => taskId)).toEqual(["a", "b"]);
      expect(engine.aborted).toEqual([]);

      disk.fail = null;
      await passing(clock, () => notices.length > 1);
      expect(notices[1]).toMatchObject({
        severity: "info",
        message: "Run run-1 goes on: its log can be written again.",
      });
      engine.end("b");
      await engine.begun(engine.executed.length + 1);
      engine.end("c");
      expect(await endOf(active, clock)).toEqual({ kind: "completed" });
      expect(engine.executed.filter(({ adopted }) => !adopted).map(({ taskId }) => taskId)).toEqual(["a", "b", "c"]);
      expect(told.map(({ seq }) => seq)).toEqual(told.map((_event, index) => index + 1));
      const { state, health } = await store.view("run-1");
      expect(state).toEqual(active.run.state);
      expect(health).toMatchObject({ missing: 0, fenced: 0, ignored: 0 });
      expect(slots.free).toBe(4);
      expect(service.active).toEqual([]);
    },
  );

  it("is noticed though nobody waits for what could not be written", async () => {
    const { clock, notices, engine } = await paused();
    engine.hooks.get("a")?.progress({ text: "half way" });
    await passing(clock, () => notices.length > 0);
    expect(notices[0]?.message).toContain("ENOSPC");
  });

  it("ends its workers when the user cancels it, and its log cannot tell", async () => {
    const { clock, engine, active, fill, slots } = await paused();
    await fill();
    active.cancel("not wanted");
    const end = await endOf(active, clock);
    expect(end).toMatchObject({ kind: "lost" });
    expect(engine.aborted).toContain("b");
    expect(slots.free).toBe(4);
  });

  it.each(["cancelled", "released"] as const)("is %s at once where there is room again by then", async (kind) => {
    const { clock, disk, active, fill, store } = await paused();
    await fill();
    disk.fail = null;
    if (kind === "cancelled") active.cancel("not wanted");
    else active.loop.release("quit");
    const before = clock.monotonicMs();
    expect(await active.done).toEqual({ kind });
    expect(clock.monotonicMs()).toBe(before);
    const { state } = await store.view("run-1");
    expect(state).toMatchObject({ owner: null, status: kind === "cancelled" ? "cancelled" : "running" });
  });
});

describe("a machine that has no room for another worker", () => {
  it("pauses the run, which begins the same attempt when there is room: it was no try", async () => {
    let full = true;
    const noRoom = attemptReport({ outcome: "failed", error: { kind: NO_ROOM, message: "No worker: spawn EMFILE" } });
    const script = ({ task }: AttemptOrder) => (task.taskId === "c" ? attemptReport() : "hold");
    const { clock, disk, notices, engine, active, workers } = await paused("write", "", script);
    disk.fail = null;
    const execute = engine.execute.bind(engine);
    engine.execute = (order, ...rest) =>
      full && order.task.taskId === "c" ? Promise.resolve(noRoom) : execute(order, ...rest);
    engine.end("a");
    engine.end("b");
    await passing(clock, () => notices.length > 0);
    expect(notices[0]?.message).toContain("spawn EMFILE. It goes on by itself once fewer files are open.");
    full = false;
    expect(await endOf(active, clock)).toEqual({ kind: "completed" });
    expect(active.run.state.tasks.map(({ attempts }) => attempts.length)).toEqual([1, 1, 1]);
    expect(workers.size).toBe(3);
  });
});

describe("a run that another process has claimed", () => {
  it("is left to it: workers go on, nothing is tried again, and it is said once", async () => {
    const { crewRoot, clock, disk, notices, engine, active, service } = await paused();
    disk.fail = null;
    const other = keepingBus();
    const quiet = () => undefined;
    const theirs = new RunStore({ ...nodeWorld({ warn: quiet, error: quiet }), clock }, crewRoot);
    const run = await theirs.open("run-1", other.bus);
    onTestFinished(() => run.close());
    expect(await run.claim(ownerOf("other"))).toBe(true);
    expect(await endOf(active, clock)).toEqual({ kind: "fenced", pid: 1 });
    expect(notices).toMatchObject([{ severity: "warning" }]);
    expect(notices[0]?.message).toBe("Run run-1 was taken over by another Pi (pid 1); this session only watches.");
    expect(engine.aborted).toEqual([]);
    expect(engine.running).toBe(0);
    expect(service.active).toEqual([]);
    await run.publisher.publish({ type: "crew.run.released", reason: "theirs" });
    expect((await theirs.view("run-1")).health).toMatchObject({ missing: 0, bad: 0 });
  });

  it("is noticed with the next event that would be acted on, whose line counts for nobody", async () => {
    const { crewRoot, clock, disk, notices, engine, active, store, told } = await paused();
    disk.fail = null;
    const other = keepingBus();
    const quiet = () => undefined;
    const run = await new RunStore({ ...nodeWorld({ warn: quiet, error: quiet }), clock }, crewRoot).open(
      "run-1",
      other.bus,
    );
    onTestFinished(() => run.close());
    await run.claim(ownerOf("other"));
    const before = clock.monotonicMs();
    engine.end("a");
    expect(await active.done).toEqual({ kind: "fenced", pid: 1 });
    expect(clock.monotonicMs()).toBe(before);
    expect(notices).toHaveLength(1);
    expect(typesOf(told, "crew.task.attempt_finished")).toEqual([]);
    const { health, state } = await store.view("run-1");
    expect(health.fenced).toBeGreaterThan(0);
    expect(state.owner?.nonce).toBe("other");
  });
});
