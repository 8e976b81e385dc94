import { readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { createCorrelation } from "../../src/events/correlation.ts";
import type { CrewEvent } from "../../src/events/crew-event.ts";
import type { EventBus } from "../../src/events/publisher.ts";
import type { AttemptOrder, TaskEngine } from "../../src/runs/execute.ts";
import type { RunManifest } from "../../src/runs/manifest.ts";
import { RunLoop, type RunLoopParts } from "../../src/runs/run-loop.ts";
import { isTerminal, taskOf } from "../../src/runs/run-state.ts";
import { Slots } from "../../src/runs/slots.ts";
import { attemptFolder } from "../../src/store/layout.ts";
import type { OpenRun, RunStore } from "../../src/store/run-store.ts";
import { UserError } from "../../src/system/errors.ts";
import { FailingLogFiles, keepingBus, ownerOf, type TempStore, tempStore, typesOf } from "../store/temp-store.ts";
import { attemptReport, failedReport, type PretendedWorkers, ScriptedEngine } from "../support/scripted-engine.ts";
import { manifestOf, taskSpec } from "./small-manifest.ts";

// The engine is a test double: it stands for worker processes, none is started. Store, log and files are real.

/** What this process could not deliver to anybody; checked at the end of each test that calls it. */
function watchUnheard(): void {
  const unheard: unknown[] = [];
  const hear = (reason: unknown) => void unheard.push(reason);
  process.on("unhandledRejection", hear);
  onTestFinished(async () => {
    await settled();
    process.off("unhandledRejection", hear);
    expect(unheard).toEqual([]);
  });
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

interface Driver {
  run: OpenRun;
  loop: RunLoop;
  told: CrewEvent[];
}

let owners = 0;

async function driver(
  { store, clock, crewRoot }: TempStore,
  open: (store: RunStore, bus: EventBus) => Promise<OpenRun>,
  engine: TaskEngine,
  slots: Slots,
  redact = (text: string) => text,
  keepArtifacts: RunLoopParts["keepArtifacts"] = async (artifacts) => artifacts,
): Promise<Driver> {
  const { bus, told } = keepingBus();
  const run = await open(store, bus);
  onTestFinished(() => run.close());
  const owner = ++owners;
  expect(await run.claim(ownerOf(`owner-${owner}`))).toBe(true);
  let workers = 0;
  const loop = new RunLoop({
    run,
    engine,
    slots,
    clock,
    attemptFolder: (taskId, attempt) => attemptFolder(crewRoot, run.manifest.runId, taskId, attempt),
    newWorkerId: () => `w-${owner}-${++workers}`,
    correlation: createCorrelation(),
    redact,
    afterFailure: () => ({ giveUp: true, deadLetter: null }),
    recordDeadLetter: async () => true,
    putMail: async () => undefined,
    keepArtifacts,
  });
  return { run, loop, told };
}

async function newRun(manifest: RunManifest, engine: TaskEngine, slots = new Slots(8), world?: TempStore) {
  const temp = world ?? (await tempStore());
  return { temp, slots, ...(await driver(temp, (store, bus) => store.create(manifest, bus), engine, slots)) };
}

async function logOf(temp: TempStore, runId = "run-1"): Promise<CrewEvent[]> {
  const text = await readFile(join(temp.crewRoot, "state/runs", runId, "events.jsonl"), "utf8");
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as CrewEvent);
}

function statuses(run: OpenRun): Record<string, string> {
  return Object.fromEntries(run.state.tasks.map(({ taskId, status }) => [taskId, status]));
}

describe("a run", () => {
  it("names the branches of its steps in command and verify", async () => {
    const orders: AttemptOrder[] = [];
    const engine = new ScriptedEngine((order) => {
      orders.push(order);
      return attemptReport({ commit: "c1" });
    });
    const commands = { command: "git merge {branches.a}", verify: "git diff --quiet {branches.a}" };
    const manifest = manifestOf([taskSpec("a"), taskSpec("b", { dependsOn: ["a"], ...commands })]);
    const { loop } = await newRun(manifest, engine);
    expect(await loop.drive()).toBe("completed");
    const branch = "foreman/run-1/a";
    expect(orders[1]?.task).toMatchObject({ command: `git merge ${branch}`, verify: `git diff --quiet ${branch}` });
  });

  it("does not wait for ever for a file that was handed over and is gone", async () => {
    const artifact = { name: "plan.md", path: "gone", bytes: 1, artifact_hash: "" };
    const engine = new ScriptedEngine(() => attemptReport({ artifacts: [artifact], commit: "c1" }));
    const open = (store: RunStore, bus: EventBus) => store.create(manifestOf([taskSpec("a")]), bus);
    const { loop, run } = await driver(await tempStore(), open, engine, new Slots(1), undefined, async () => {
      throw new UserError("artifact", "plan.md is not there.");
    });
    expect(await loop.drive()).toBe("failed");
    const attempts = run.state.tasks[0]?.attempts;
    expect(attempts).toMatchObject([{ outcome: "failed", error: { kind: "artifact" }, artifacts: [] }]);
  });

  it("runs two independent tasks side by side, and the third after both", async () => {
    const engine = new ScriptedEngine();
    const manifest = manifestOf([taskSpec("a"), taskSpec("b"), taskSpec("c", { dependsOn: ["a", "b"] })]);
    const { loop, run, slots, told, temp } = await newRun(manifest, engine);
    const end = loop.drive();
    await engine.begun(2);
    expect(engine.running).toBe(2);
    expect(slots.free).toBe(6);
    engine.end("b");
    await settled();
    expect(engine.executed).toHaveLength(2);
    engine.end("a");
    await engine.begun(3);
    engine.end("c");
    expect(await end).toBe("completed");
    expect(statuses(run)).toEqual({ a: "completed", b: "completed", c: "completed" });
    expect(slots.free).toBe(8);
    expect(run.state).toMatchObject({ status: "completed", tokens: 30, costUsd: 0.75, owner: null });
    const log = await logOf(temp);
    // told is what stands in the log, all of it, once and in its order
    expect(told).toEqual(log.map(({ ...event }) => withoutCrc(event)));
    expect(log.map(({ seq }) => seq)).toEqual(log.map((_event, index) => index + 1));
    expect(log.at(-1)).toMatchObject({ type: "crew.run.completed", taskCount: 3, tokens: 30, costUsd: 0.75 });
  });

  it("has written each step down before it acts on it", async () => {
    const temp = await tempStore();
    const seen: string[][] = [];
    const engine = new ScriptedEngine(async () => {
      seen.push(typesOf(await logOf(temp)).slice(-2));
      return attemptReport();
    });
    const { loop } = await newRun(manifestOf([taskSpec("a")]), engine, new Slots(1), temp);
    expect(await loop.drive()).toBe("completed");
    expect(seen).toEqual(
      [["crew.task.started", "crew.task.attempt_started"]].map(() =>
        expect.arrayContaining(["crew.task.attempt_started"]),
      ),
    );
  });

  it("tells at an attempt's begin the model that its agent names first, and at its end the one that answered", async () => {
    const limits = { thinking: null, tools: null, disallowedTools: [], skills: null, maxTurns: null };
    const agent = { name: "hand", prompt: "", ...limits };
    const manifest = manifestOf([
      taskSpec("a", { kind: "pi", agent: { ...agent, models: ["mock/first", "mock/second"] } }),
      taskSpec("b", { kind: "pi", agent: { ...agent, models: [] } }),
      taskSpec("c"),
    ]);
    const engine = new ScriptedEngine(({ task }) => attemptReport(task.taskId === "a" ? { model: "mock/second" } : {}));
    const { loop, run, told } = await newRun(manifest, engine);
    await loop.drive();
    const begun = told.filter(({ type }) => type === "crew.task.attempt_started");
    expect(Object.fromEntries(begun.map((event) => [event.taskId, "model" in event ? event.model : "none"]))).toEqual({
      a: "mock/first",
      b: "none",
      c: "none",
    });
    expect(taskOf(run.state, "a")?.attempts).toMatchObject([{ model: "mock/second" }]);
    for (const type of ["crew.task.attempt_finished", "crew.task.completed"])
      expect(told.find((event) => event.type === type && event.taskId === "a")).toMatchObject({ model: "mock/second" });
  });

  it("skips what depends on a failed task, runs the rest, and has failed", async () => {
    const engine = new ScriptedEngine(({ task }) => (task.taskId === "a" ? failedReport("no luck") : attemptReport()));
    const manifest = manifestOf([
      taskSpec("a"),
      taskSpec("b", { dependsOn: ["a"] }),
      taskSpec("c", { dependsOn: ["b"] }),
      taskSpec("d"),
    ]);
    const { loop, run, slots, told } = await newRun(manifest, engine);
    expect(await loop.drive()).toBe("failed");
    expect(statuses(run)).toEqual({ a: "failed", b: "skipped", c: "skipped", d: "completed" });
    expect(run.state.reason).toBe("a failed");
    expect(taskOf(run.state, "a")).toMatchObject({ error: { message: "no luck" } });
    expect(told.find(({ type }) => type === "crew.task.skipped")).toMatchObject({ error: { message: "a failed" } });
    expect(engine.executed.map(({ taskId }) => taskId).sort()).toEqual(["a", "d"]);
    expect(slots.free).toBe(8);
  });

  it("hands a task what those before it said", async () => {
    const engine = new ScriptedEngine(({ task }) => attemptReport({ summary: `${task.taskId} says $& hello` }));
    const manifest = manifestOf([
      taskSpec("a"),
      taskSpec("b", { dependsOn: ["a"], task: "{goal}: {outputs.a} {other}" }),
    ]);
    const { loop } = await newRun(manifest, engine);
    await loop.drive();
    const prompt = engine.executed[1]?.prompt ?? "";
    expect(prompt).toMatch(/^the goal: <output step="a"[^>]*>\na says \$& hello\n<\/output> \{other\}$/);
  });

  it("keeps secrets and floods out of its log", async () => {
    const temp = await tempStore();
    const flood = "\0".repeat(300_000);
    const engine = new ScriptedEngine(() => "hold");
    const { loop, told } = await driver(
      temp,
      (store, bus) => store.create(manifestOf([taskSpec("a")]), bus),
      engine,
      new Slots(1),
      (text) => text.replaceAll("hunter2", "***"),
    );
    const end = loop.drive();
    await engine.begun(1);
    engine.hooks.get("a")?.progress({ text: `hunter2 ${flood}`, tool: `hunter2${flood}`, toolStatus: "running" });
    engine.end(
      "a",
      attemptReport({
        outcome: "failed",
        failureKind: "permanent",
        summary: `hunter2 ${flood}`,
        error: { kind: "x", message: `hunter2 ${flood}` },
      }),
    );
    expect(await end).toBe("failed");
    expect(JSON.stringify(told)).not.toContain("hunter2");
    expect(told.find(({ type }) => type === "crew.task.progress")).toMatchObject({ toolStatus: "running" });
  });

  it("tells the end of an attempt that has as much to tell as there may be", async () => {
    const flood = "\u6a21".repeat(300_000);
    const used = { tokens: attemptReport().tokens, costUsd: 1 };
    const artifacts = Array.from({ length: 100 }, (_, at) => {
      const name = `${flood.slice(0, 190)}-${at}`;
      return { name, path: `/p/.crew/state/runs/run-1/artifacts/${name}`, bytes: 1, artifact_hash: "0".repeat(64) };
    });
    const usage = [
      { model: `a/${flood}`, ...used },
      { model: `b/${flood}`, ...used },
    ];
    const engine = new ScriptedEngine(() => attemptReport({ model: flood, usage, summary: flood, artifacts }));
    const rest = { thinking: null, tools: null, disallowedTools: [], skills: null, maxTurns: null };
    const agent = { name: "a", prompt: "", models: [flood], ...rest };
    const { loop, run, told } = await newRun(manifestOf([taskSpec("a", { kind: "pi", agent })]), engine);
    expect(await loop.drive()).toBe("completed");
    expect(told.find(({ type }) => type === "crew.task.completed")).toMatchObject({ artifacts });
    expect(run.state.tasks[0]).toMatchObject({ status: "completed", artifacts });
  });

  it("does not mind late words of a worker", async () => {
    watchUnheard();
    const engine = new ScriptedEngine(() => attemptReport());
    const { loop, run, told } = await newRun(manifestOf([taskSpec("a")]), engine);
    await loop.drive();
    run.close();
    engine.hooks.get("a")?.progress({ text: "late" });
    await settled();
    expect(typesOf(told, "crew.task.progress")).toEqual([]);
  });

  it("is not run a second time once it has ended", async () => {
    const temp = await tempStore();
    const first = await newRun(
      manifestOf([taskSpec("a")]),
      new ScriptedEngine(() => attemptReport()),
      new Slots(1),
      temp,
    );
    expect(await first.loop.drive()).toBe("completed");
    first.run.close();
    const engine = new ScriptedEngine();
    const second = await driver(temp, (store, bus) => store.open("run-1", bus), engine, new Slots(1));
    expect(await second.loop.drive()).toBe("completed");
    expect(typesOf(second.told)).toEqual(["crew.run.claimed"]);
    expect(engine.executed).toEqual([]);
  });
});

describe("limits", () => {
  it("hold for any two runs that share the slots, and all slots come back", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 4 })), {
          minLength: 2,
          maxLength: 3,
        }),
        async (slotCount, sizes) => {
          const temp = await tempStore();
          const slots = new Slots(slotCount);
          const engine = new ScriptedEngine(async () => {
            await settled();
            return attemptReport();
          });
          const drivers = await Promise.all(
            sizes.map(([size, maxConcurrency], index) => {
              const tasks = Array.from({ length: size }, (_, at) => taskSpec(`t${at}-${index}`));
              const manifest = manifestOf(tasks, { runId: `run-${index}`, maxConcurrency });
              return driver(temp, (store, bus) => store.create(manifest, bus), engine, slots);
            }),
          );
          expect(await Promise.all(drivers.map(({ loop }) => loop.drive()))).toEqual(sizes.map(() => "completed"));
          expect(engine.runningMax).toBeLessThanOrEqual(slotCount);
          expect(engine.executed).toHaveLength(sizes.reduce((sum, [size]) => sum + size, 0));
          expect(slots.free).toBe(slotCount);
        },
      ),
      { numRuns: 15 },
    );
  });

  it("hold for a run that waits for the disk while another takes the last slot", async () => {
    const temp = await tempStore();
    const slots = new Slots(2);
    const engine = new ScriptedEngine(async () => {
      await settled();
      return attemptReport();
    });
    const { loop, run } = await newRun(manifestOf([taskSpec("a"), taskSpec("b")]), engine, slots, temp);
    const publish = run.publisher.publish;
    let other = 0;
    run.publisher.publish = async (event) => {
      // another run of the session, in the moment between decision and start
      if (event.type === "crew.task.started" && ++other === 1) slots.take();
      expect(slots.free).toBeGreaterThanOrEqual(0);
      return publish(event);
    };
    const end = loop.drive();
    await engine.begun(2);
    expect(engine.runningMax).toBe(1);
    slots.give();
    expect(await end).toBe("completed");
    expect(slots.free).toBe(2);
  });

  it("hold for the team", async () => {
    const engine = new ScriptedEngine();
    const tasks = ["a", "b", "c", "d", "e"].map((id) => taskSpec(id));
    const { loop } = await newRun(manifestOf(tasks, { maxConcurrency: 2 }), engine);
    const end = loop.drive();
    for (let begun = 2; begun <= 5; begun++) {
      await engine.begun(begun);
      engine.end(engine.executed[begun - 2]?.taskId ?? "");
    }
    engine.end(engine.executed[4]?.taskId ?? "");
    expect(await end).toBe("completed");
    expect(engine.runningMax).toBe(2);
  });
});

describe("cancelling", () => {
  it("ends what runs, starts nothing more, and says why", async () => {
    const engine = new ScriptedEngine();
    const manifest = manifestOf([taskSpec("a"), taskSpec("b"), taskSpec("c", { dependsOn: ["a"] })]);
    const { loop, run, slots, told } = await newRun(manifest, engine);
    const end = loop.drive();
    await engine.begun(2);
    loop.cancel("by the user");
    loop.cancel("a second time");
    expect(await end).toBe("cancelled");
    expect(engine.aborted.sort()).toEqual(["a", "b"]);
    expect(statuses(run)).toEqual({ a: "cancelled", b: "cancelled", c: "cancelled" });
    expect(run.state).toMatchObject({ status: "cancelled", reason: "by the user" });
    expect(slots.free).toBe(8);
    expect(typesOf(told, "crew.run.cancelled")).toHaveLength(1);
  });

  it("ends one task, begun or not; what depends on it is skipped, and the others go on", async () => {
    const engine = new ScriptedEngine();
    const specs = [taskSpec("a"), taskSpec("b"), taskSpec("c"), taskSpec("d", { dependsOn: ["a"] })];
    const { loop, run, slots } = await newRun(manifestOf(specs, { maxConcurrency: 2 }), engine);
    const end = loop.drive();
    await engine.begun(2);
    loop.cancel("not this one", "a");
    loop.cancel("nor that", "c");
    await settledOften();
    expect(statuses(run)).toEqual({ a: "cancelled", b: "running", c: "cancelled", d: "skipped" });
    expect(engine.aborted).toEqual(["a"]);
    engine.end("b");
    expect(await end).toBe("cancelled");
    expect(statuses(run)).toMatchObject({ b: "completed" });
    expect(run.state.reason).toBe("a, c cancelled");
    expect(engine.executed.map(({ taskId }) => taskId)).toEqual(["a", "b"]);
    expect(slots.free).toBe(8);
  });

  it("works before the run was begun", async () => {
    const engine = new ScriptedEngine();
    const { loop, run } = await newRun(manifestOf([taskSpec("a")]), engine);
    loop.cancel("never mind");
    expect(await loop.drive()).toBe("cancelled");
    expect(engine.executed).toEqual([]);
    expect(statuses(run)).toEqual({ a: "cancelled" });
  });

  it("reaches every attempt, at whatever event it comes", async () => {
    const manifest = manifestOf([taskSpec("a"), taskSpec("b"), taskSpec("c", { dependsOn: ["a"] })]);
    for (let at = 3; at < 30; at++) {
      const engine = new ScriptedEngine();
      const temp = await tempStore();
      const slots = new Slots(2);
      const { bus, told } = keepingBus();
      const run = await temp.store.create(manifest, bus);
      await run.claim(ownerOf("me"));
      const loop = new RunLoop({
        run,
        engine,
        slots,
        clock: temp.clock,
        attemptFolder: (taskId, attempt) => attemptFolder(temp.crewRoot, "run-1", taskId, attempt),
        newWorkerId: () => "w",
        correlation: createCorrelation(),
        afterFailure: () => ({ giveUp: true, deadLetter: null }),
        recordDeadLetter: async () => true,
        putMail: async () => undefined,
        keepArtifacts: async (artifacts) => artifacts,
        redact: (text) => text,
      });
      // the moment an event is told, and a moment later
      let cancelled = false;
      for (const type of new Set([
        "crew.run.started",
        "crew.task.ready",
        "crew.task.started",
        "crew.task.attempt_started",
        "crew.subagent.spawned",
      ]))
        bus.on(type, (event) => {
          if ((event as CrewEvent).seq !== at) return;
          cancelled = true;
          loop.cancel("now");
        });
      const end = loop.drive();
      const ended = await Promise.race([end, settledOften()]);
      if (!cancelled) {
        // that many events there are not before an attempt ends
        loop.cancel("later");
        await end;
        run.close();
        break;
      }
      expect(ended, `cancelled at event ${at}: ${typesOf(told).join(" ")}`).toBe("cancelled");
      expect(run.state.tasks.every(({ status }) => status === "cancelled")).toBe(true);
      expect(slots.free).toBe(2);
      run.close();
    }
  });

  it("is remembered by the next owner when the first one died in the middle of it", async () => {
    const temp = await tempStore();
    const manifest = manifestOf([taskSpec("a"), taskSpec("b")]);
    const { bus } = keepingBus();
    const run = await temp.store.create(manifest, bus);
    await run.claim(ownerOf("first"));
    const end = { team: "t", role: "r", taskType: "x", durationMs: 0, attempts: 0, tokens: 0, costUsd: 0 };
    for (const taskId of ["a", "b"])
      await run.publisher.publish({ type: "crew.task.cancelled", taskId, status: "cancelled", ...end });
    run.close();
    const engine = new ScriptedEngine();
    const second = await driver(temp, (store, other) => store.open("run-1", other), engine, new Slots(1));
    expect(await second.loop.drive()).toBe("cancelled");
    expect(second.run.state.status).toBe("cancelled");
  });
});

/** Long enough for every write and sync of these small runs; waited out only where a run would otherwise hang. */
async function settledOften(): Promise<"still running"> {
  await new Promise((resolve) => setTimeout(resolve, 400));
  return "still running";
}

describe("releasing and taking over", () => {
  async function released(manifest: RunManifest, workers: PretendedWorkers, begun: number) {
    const engine = new ScriptedEngine(() => "hold", workers);
    const first = await newRun(manifest, engine);
    const end = first.loop.drive();
    await engine.begun(begun);
    await settled();
    first.loop.release("reload");
    expect(await end).toBe("released");
    return { ...first, engine };
  }

  it("lets attempts go on, and the next owner follows the same ones", async () => {
    watchUnheard();
    const workers: PretendedWorkers = new Map();
    const manifest = manifestOf([taskSpec("a"), taskSpec("b", { dependsOn: ["a"] })]);
    const first = await released(manifest, workers, 1);
    expect(first.engine.aborted).toEqual([]);
    expect(first.run.state.owner).toBeNull();
    await first.engine.dispose();
    first.run.close();
    await settled();
    expect(first.slots.free).toBe(8);

    const engine = new ScriptedEngine(() => "hold", workers);
    const slots = new Slots(2);
    const second = await driver(first.temp, (store, bus) => store.open("run-1", bus), engine, slots);
    const end = second.loop.drive();
    await engine.begun(1);
    expect(engine.executed).toMatchObject([
      { taskId: "a", attempt: 1, workerId: "w-".concat(String(owners - 1), "-1"), adopted: true },
    ]);
    expect(slots.free).toBe(1);
    engine.end("a");
    await engine.begun(2);
    engine.end("b");
    expect(await end).toBe("completed");
    expect(slots.free).toBe(2);
    const log = await logOf(first.temp);
    expect(log.filter(({ type, taskId }) => type === "crew.task.attempt_started" && taskId === "a")).toHaveLength(1);
    expect(log.filter(({ type, taskId }) => type === "crew.task.started" && taskId === "a")).toHaveLength(1);
    expect(typesOf(log, "crew.run.started")).toHaveLength(1);
    expect(typesOf(second.told)).toContain("crew.subagent.adopted");
    expect(taskOf(second.run.state, "a")?.attempts).toMatchObject([{ attempt: 1, outcome: "completed" }]);
    // both sessions' buses together told each event of the log once
    expect([...first.told, ...second.told].map(({ seq }) => seq)).toEqual(log.map(({ seq }) => seq));
  });

  it.each([
    ["as its worker recorded it, not when somebody noticed", 19_600, 19_600],
    ["no earlier than it began, whatever a clock did", -5000, 0],
    ["no later than now", 90_000, 60_000],
    ["now, when there is no record", null, 60_000],
  ])("says that the work ended %s", async (_when, recordedMs, lastedMs) => {
    const workers: PretendedWorkers = new Map();
    const first = await released(manifestOf([taskSpec("a")]), workers, 1);
    await first.engine.dispose();
    first.run.close();
    const { clock } = first.temp;
    const startedAt = clock.now();
    const finishedAt = recordedMs === null ? null : startedAt + recordedMs;
    await clock.advance(60_000);
    const engine = new ScriptedEngine(() => "hold", workers);
    const next = await driver(first.temp, (store, bus) => store.open("run-1", bus), engine, new Slots(1));
    const end = next.loop.drive();
    await engine.begun(1);
    engine.end("a", attemptReport({ finishedAt }));
    expect(await end).toBe("completed");
    const endedAt = startedAt + lastedMs;
    expect(taskOf(next.run.state, "a")).toMatchObject({
      ...{ startedAt, endedAt, durationMs: lastedMs },
      attempts: [{ startedAt, endedAt, durationMs: 1 }],
    });
    const told = next.told.filter(({ type }) => /attempt_finished|task.completed|run.completed/.test(type));
    expect(told).toMatchObject([
      recordedMs === null ? {} : { finishedAt: endedAt },
      { finishedAt: endedAt, durationMs: lastedMs },
      { durationMs: 60_000 },
    ]);
    expect(told.map(({ ts }) => ts)).toEqual([60_000, 60_000, 60_000].map((ms) => startedAt + ms));
  });

  it("says nothing more about a run it has released, also when an attempt ends in that moment", async () => {
    watchUnheard();
    const workers: PretendedWorkers = new Map();
    const first = await released(manifestOf([taskSpec("a")]), workers, 1);
    const told = typesOf(first.told);
    first.engine.end("a");
    while (first.slots.free < 8) await settled();
    expect(typesOf(first.told)).toEqual(told);
    expect(typesOf(await logOf(first.temp)).at(-1)).toBe("crew.run.released");
    expect(first.slots.free).toBe(8);
  });

  it("starts nothing that was not started, at whatever event the release comes", async () => {
    watchUnheard();
    const manifest = manifestOf([taskSpec("a"), taskSpec("b"), taskSpec("c")]);
    for (let at = 3; at < 12; at++) {
      const temp = await tempStore();
      const workers: PretendedWorkers = new Map();
      const engine = new ScriptedEngine(() => "hold", workers);
      const slots = new Slots(3);
      const first = await driver(temp, (store, bus) => store.create(manifest, bus), engine, slots);
      const end = first.loop.drive();
      while (!first.told.some(({ seq }) => seq === at)) await settled();
      first.loop.release("reload");
      const begun = typesOf(first.told, "crew.task.started").length;
      expect(await end).toBe("released");
      // one may have been on its way to the disk
      expect(typesOf(first.told, "crew.task.started").length).toBeLessThanOrEqual(begun + 1);
      await engine.dispose();
      first.run.close();
      // hangs here when a slot is not given back
      while (slots.free < 3) await settled();

      const next = new ScriptedEngine(() => attemptReport(), workers);
      for (const { end: finish } of workers.values()) finish(attemptReport());
      const second = await driver(temp, (store, bus) => store.open("run-1", bus), next, slots);
      expect(await second.loop.drive(), `released at ${at}`).toBe("completed");
      expect(slots.free).toBe(3);
      const log = await logOf(temp);
      for (const taskId of ["a", "b", "c"])
        expect(
          log.filter((event) => event.type === "crew.task.attempt_started" && event.taskId === taskId),
        ).toHaveLength(1);
    }
  });

  it("begins no attempt of a task whose start was on its way to the disk", async () => {
    const temp = await tempStore();
    const engine = new ScriptedEngine();
    const slots = new Slots(3);
    const manifest = manifestOf([taskSpec("a"), taskSpec("b")]);
    const { loop, run, told } = await driver(temp, (store, bus) => store.create(manifest, bus), engine, slots);
    const publish = run.publisher.publish;
    run.publisher.publish = (event) => {
      if (event.type === "crew.task.started") loop.release("quit");
      return publish(event);
    };
    expect(await loop.drive()).toBe("released");
    expect(typesOf(told).slice(-2)).toEqual(["crew.task.started", "crew.run.released"]);
    expect(engine.executed).toEqual([]);
    expect(slots.free).toBe(3);
  });

  it("counts adopted attempts against the slots", async () => {
    const workers: PretendedWorkers = new Map();
    const first = await released(manifestOf([taskSpec("a"), taskSpec("b")], { maxConcurrency: 1 }), workers, 1);
    await first.engine.dispose();
    first.run.close();
    const slots = new Slots(1);
    const engine = new ScriptedEngine(() => "hold", workers);
    const second = await driver(first.temp, (store, bus) => store.open("run-1", bus), engine, slots);
    const end = second.loop.drive();
    await engine.begun(1);
    await settled();
    expect(slots.free).toBe(0);
    engine.end("a");
    await engine.begun(2);
    expect(slots.free).toBe(0);
    engine.end("b");
    await end;
    expect(engine.runningMax).toBe(1);
    expect(slots.free).toBe(1);
  });

  it.each([
    ["completed", "completed", "completed"],
    ["failed", "failed", "failed"],
  ] as const)(
    "takes a %s attempt for what it was when the first owner died before it could say so",
    async (outcome, task, end) => {
      const temp = await tempStore();
      const { bus } = keepingBus();
      const run = await temp.store.create(manifestOf([taskSpec("a")]), bus);
      await run.claim(ownerOf("first"));
      const a1 = { taskId: "a", attempt: 1 };
      await run.publisher.publish({ type: "crew.run.started", team: "t", workflow: "w" });
      await run.publisher.publish({
        type: "crew.task.started",
        taskId: "a",
        team: "t",
        role: "r",
        stepName: "a",
        workerKind: "shell",
      });
      await run.publisher.publish({ type: "crew.task.attempt_started", ...a1, workerId: "w", workerKind: "shell" });
      const { tokens, costUsd } = attemptReport();
      await run.publisher.publish({
        type: "crew.task.attempt_finished",
        ...a1,
        outcome,
        durationMs: 1,
        tokens,
        costUsd,
        summary: "paid for",
      });
      run.close();
      const engine = new ScriptedEngine(() => attemptReport());
      const second = await driver(temp, (store, other) => store.open("run-1", other), engine, new Slots(1));
      expect(await second.loop.drive()).toBe(end);
      expect(engine.executed).toEqual([]);
      expect(taskOf(second.run.state, "a")).toMatchObject({ status: task, tokens: 10, costUsd: 0.25 });
      expect(taskOf(second.run.state, "a")?.attempts).toHaveLength(1);
    },
  );
});

describe("a log that can't be written any more", () => {
  it.each(["write", "sync", "part"] as const)("follows no attempt and rejects, at whatever event (%s)", async (at) => {
    watchUnheard();
    const manifest = manifestOf([taskSpec("a"), taskSpec("b"), taskSpec("c", { dependsOn: ["a", "b"] })]);
    // events 1 and 2 are the making and the claim
    for (let last = 2; ; last++) {
      const failing = new FailingLogFiles();
      const temp = await tempStore({ files: failing.files });
      const engine = new ScriptedEngine(async () => {
        await settled();
        return attemptReport();
      });
      const slots = new Slots(3);
      const { loop, run, told } = await driver(temp, (store, bus) => store.create(manifest, bus), engine, slots);
      const publish = run.publisher.publish.bind(run.publisher);
      run.publisher.publish = (event) => {
        if (told.length >= last) failing.fail = { at, code: "ENOSPC" };
        return publish(event);
      };
      const [end] = await Promise.allSettled([loop.drive()]);
      if (end?.status === "fulfilled") {
        expect(end.value).toBe("completed");
        expect(last).toBeGreaterThan(15);
        break;
      }
      expect(String(end?.reason)).toContain("ENOSPC");
      expect(slots.free, `log failed after event ${last}`).toBe(3);
      expect(engine.running).toBe(0);
      // nobody was told what is not on disk
      const kept = (await temp.store.view("run-1")).state;
      if (at !== "sync") expect(kept).toEqual(run.state);
      run.close();

      // the disk has room again: the next owner goes on, without gap and without glue
      failing.fail = null;
      const next = new ScriptedEngine(() => attemptReport());
      const second = await driver(temp, (store, bus) => store.open("run-1", bus), next, slots);
      expect(await second.loop.drive(), `after event ${last}`).toBe("completed");
      const view = await temp.store.view("run-1");
      expect(view.state).toEqual(second.run.state);
      expect(view.health.missing).toBe(0);
      expect(slots.free).toBe(3);
    }
  });

  it.each([
    ["lets attempts under way go", "", []],
    ["ends those of a run that was cancelled", "not wanted", ["a", "b"]],
  ])("%s", async (_what, cancel, aborted) => {
    watchUnheard();
    const failing = new FailingLogFiles();
    const temp = await tempStore({ files: failing.files });
    const engine = new ScriptedEngine();
    const { loop, slots } = await newRun(manifestOf([taskSpec("a"), taskSpec("b")]), engine, new Slots(2), temp);
    const end = loop.drive();
    const failed = expect(end).rejects.toThrow("ENOSPC");
    await engine.begun(2);
    await settled();
    failing.fail = { at: "write", code: "ENOSPC" };
    if (cancel) loop.cancel(cancel);
    else engine.end("a");
    await failed;
    expect(engine.aborted).toEqual(aborted);
    expect(engine.running).toBe(0);
    expect(slots.free).toBe(2);
  });
});

describe("a run of any shape", () => {
  it("ends with every task terminal and its log equal to its state", async () => {
    const shape = fc.array(fc.record({ mask: fc.nat(), optional: fc.boolean(), fails: fc.boolean() }), {
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(shape, fc.integer({ min: 1, max: 3 }), async (tasks, maxConcurrency) => {
        const specs = tasks.map(({ mask, optional }, index) =>
          taskSpec(`t${index}`, {
            optional,
            dependsOn: Array.from({ length: index }, (_, at) => `t${at}`).filter((_id, at) => (mask >> at) & 1),
          }),
        );
        const engine = new ScriptedEngine(({ task }) =>
          tasks[Number(task.taskId.slice(1))]?.fails ? failedReport() : attemptReport(),
        );
        const { loop, run, slots, temp } = await newRun(manifestOf(specs, { maxConcurrency }), engine);
        const end = await loop.drive();
        expect(run.state.status).toBe(end);
        expect(run.state.tasks.every(({ status }) => isTerminal(status))).toBe(true);
        expect(slots.free).toBe(8);
        expect((await temp.store.view("run-1")).state).toEqual(run.state);
        run.close();
      }),
      { numRuns: 25 },
    );
  });
});

function withoutCrc(event: CrewEvent): CrewEvent {
  const { crc: _crc, ...rest } = event as CrewEvent & { crc: number };
  return rest as CrewEvent;
}
