import { spawn } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { expect, it, onTestFinished } from "vitest";
import { takingOver, tellInterrupted } from "../../src/host/resumption.ts";
import { attemptFolder } from "../../src/store/layout.ts";
import type { OpenRun } from "../../src/store/run-store.ts";
import { attemptPaths, attemptTags } from "../../src/workers/attempt-folder.ts";
import { quietWorld } from "../engines/engine-bench.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { keepingBus, ownerOf, tempStore, typesOf } from "../store/temp-store.ts";
import { expectGone, processesVisible, processesWithEnvironment } from "../support/processes.ts";

const world = quietWorld();
const runId = `run-${world.random.hex(6)}`;
const place = { taskId: "a", attempt: 1 };
const resumption = {
  proof: "owner-gone" as const,
  interruptedAttempts: [place],
  resumed: { recoveredFromSeq: 4, resumableTasks: ["a"], adoptedTasks: [] },
};

/** What a new owner does first. */
async function prepare(crewRoot: string, run: OpenRun): Promise<void> {
  const how = takingOver(world, crewRoot, resumption);
  expect(how).toMatchObject({ prepare: expect.any(Function), confirmed: false });
  await how.prepare?.(run);
}

const iso = (ms: number) => new Date(ms).toISOString();

/** A run whose owner died while its only task was at its first attempt, claimed by the next one. */
async function interruptedRun(): Promise<{
  run: OpenRun;
  crewRoot: string;
  told: ReturnType<typeof keepingBus>["told"];
}> {
  const { store, crewRoot } = await tempStore();
  const { bus, told } = keepingBus();
  const run = await store.create(manifestOf([taskSpec("a")], { runId }), bus);
  onTestFinished(() => run.close());
  const names = { team: "team", role: "hand", stepName: "a", workerKind: "pi" as const };
  await run.publisher.publish({ type: "crew.run.started", team: "team", workflow: "flow" });
  await run.publisher.publish({ type: "crew.task.started", taskId: "a", ...names });
  await run.publisher.publish({ type: "crew.task.attempt_started", ...place, workerId: "w-1", workerKind: "pi" });
  expect(await run.claim(ownerOf("next"))).toBe(true);
  return { run, crewRoot, told };
}

it("tells of the interruption first, and of the same one not again when its owner dies, too", async () => {
  const { run, crewRoot, told } = await interruptedRun();
  await tellInterrupted("owner-gone", run);
  expect(run.state).toMatchObject({ status: "running", owner: { nonce: "next" } });
  expect(await run.claim(ownerOf("third"))).toBe(true);
  await prepare(crewRoot, run);
  const types = typesOf(told)
    .filter((type) => type.startsWith("crew.run."))
    .slice(-4);
  expect(types).toEqual(["crew.run.claimed", "crew.run.interrupted", "crew.run.claimed", "crew.run.resumed"]);
  // the third one dies, too
  expect(await run.claim(ownerOf("fourth"))).toBe(true);
  await tellInterrupted("silence", run);
  expect(told.at(-1)).toMatchObject({ type: "crew.run.interrupted", reason: "silence" });
});

it("leaves an attempt to the worker that began it after the plan was made", async () => {
  const { run, crewRoot, told } = await interruptedRun();
  const folder = attemptFolder(crewRoot, runId, "a", 1);
  await mkdir(folder, { recursive: true });
  const startedAt = new Date().toISOString();
  const state = { status: "running", workerId: "w-1", ...world.processes.self(), startedAt, lastEventSeq: 0 };
  await writeFile(attemptPaths(folder).state, JSON.stringify(state));
  await prepare(crewRoot, run);
  expect(run.state.tasks[0]?.attempts).toMatchObject([{ attempt: 1, status: "running" }]);
  expect(told.at(-1)).toMatchObject({ type: "crew.run.resumed", resumableTasks: [], adoptedTasks: ["a"] });
});

it("tells nothing of a run that another owner has brought to its end since it was planned", async () => {
  const { run, crewRoot, told } = await interruptedRun();
  const end = { team: "team", workflow: "flow", taskCount: 1, durationMs: 1, tokens: 0, costUsd: 0 };
  await run.publisher.publish({ type: "crew.run.failed", status: "failed", ...end });
  await prepare(crewRoot, run);
  expect(told.at(-1)?.type).toBe("crew.run.failed");
});

it("ends an attempt that nobody is at, once, and nobody can begin it any more", async () => {
  const { run, crewRoot, told } = await interruptedRun();
  await prepare(crewRoot, run);
  await prepare(crewRoot, run);
  const ends = told.filter(({ type }) => type === "crew.task.attempt_finished");
  expect(ends).toMatchObject([{ outcome: "lost", error: { kind: "interrupted" } }]);
  const state = attemptPaths(attemptFolder(crewRoot, runId, "a", 1)).state;
  await expect(world.files.writeNew(state, "{}")).rejects.toThrow("EEXIST");
});

it.each([
  ["at its last sign of life", 19_600],
  ["at its begin, where nobody had begun it", null],
])("ends an attempt that nobody saw die %s, not when somebody came", async (_when, seenMs) => {
  const { run, crewRoot } = await interruptedRun();
  const startedAt = run.state.tasks[0]?.attempts[0]?.startedAt ?? 0;
  const folder = attemptFolder(crewRoot, runId, "a", 1);
  const { heartbeat, state } = attemptPaths(folder);
  if (seenMs !== null) {
    await mkdir(folder, { recursive: true });
    const gone = { ...world.processes.self(), processStart: "1" };
    const began = { status: "running", workerId: "w-1", ...gone, startedAt: iso(startedAt), lastEventSeq: 0 };
    await writeFile(state, JSON.stringify(began));
    const beat = { workerId: "w-1", lastSeenAt: iso(startedAt + seenMs), alive: true };
    await writeFile(heartbeat, JSON.stringify(beat));
  }
  await prepare(crewRoot, run);
  const durationMs = seenMs ?? 0;
  expect(run.state.tasks[0]?.attempts).toMatchObject([
    { outcome: "lost", durationMs, endedAt: startedAt + durationMs },
  ]);
});

it.skipIf(!processesVisible)("ends what a worker that is gone has started", async () => {
  const { run, crewRoot } = await interruptedRun();
  const tags = attemptTags({ runId, ...place }, "w-1");
  const tool = spawn("sleep", ["60"], { detached: true, stdio: "ignore", env: { ...process.env, ...tags } });
  onTestFinished(() => void tool.kill("SIGKILL"));
  expect(processesWithEnvironment("FOREMAN_ATTEMPT", tags.FOREMAN_ATTEMPT)).toHaveLength(1);
  await prepare(crewRoot, run);
  await expectGone(() => processesWithEnvironment("FOREMAN_ATTEMPT", tags.FOREMAN_ATTEMPT));
});
