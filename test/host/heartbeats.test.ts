import { renameSync, writeFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import type { CrewEvent } from "../../src/events/crew-event.ts";
import { type GatedRun, gatedRig, gatedRun } from "../support/gated-run.ts";
import { processesVisible, waitUntil } from "../support/processes.ts";
import { fixture, type Rig } from "../support/rig.ts";
import type { RpcHost } from "../support/rpc-host.ts";
import { ofType, runFolder } from "../support/run-files.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
/** Levels are further apart than two looks, so that none is skipped; a live worker beats every 5 s. */
const HEARTBEAT = { warnMs: 6000, staleMs: 9000, deadMs: 12_000 };
/** Where nothing is configured. */
const LOOK_MS = 5000;
const CONFIG = {
  observability: { pollIntervalMs: 1000 },
  reliability: { autoRecover: true, heartbeat: HEARTBEAT },
};

interface Scene extends GatedRun {
  /** Of step a. */
  worker: number;
}

async function atWork(
  config: object = CONFIG,
  envOf: (rig: Rig) => Record<string, string> = () => ({}),
): Promise<Scene> {
  const gated = await gatedRig({ gated: ["a"], config });
  const run = await gatedRun(gated, { env: envOf(gated.rig) });
  const spawned = async () => ofType(await run.events(), "crew.subagent.spawned");
  await waitUntil(async () => (await spawned()).length === 1);
  return { ...run, worker: (await spawned())[0]?.pid ?? 0 };
}

/** Of the task's worker, in order. */
const levels = (events: CrewEvent[]) =>
  ofType(events, "crew.task.heartbeat_level").map(({ previousLevel, level }) => `${previousLevel} > ${level}`);

const warnings = (host: RpcHost, words: string) =>
  host.events.filter(
    (event) =>
      event["method"] === "notify" && String(event["message"]).includes(words) && /Task a /.test(event["message"]),
  );

/** What the run's log has of them. */
const warningIds = async ({ events }: Scene) =>
  ofType(await events(), "crew.notification.sent")
    .filter(({ source }) => source === "heartbeat")
    .map(({ id }) => id);

const lastType = async ({ events }: Scene) => (await events()).at(-1)?.type ?? "";

describe.skipIf(!processesVisible)("a silent worker", () => {
  it("that can't be proved dead is warned of once, given up, and its task kept as one dead letter", async () => {
    const scene = await atWork();
    const { rig, runId, worker, events } = scene;
    const owner = ofType(await events(), "crew.run.claimed").at(-1)?.owner.pid ?? 0;
    const folder = join(runFolder(rig.agentFolder.project, runId), "tasks/a/a0001");
    await waitUntil(async () => (await readFile(join(folder, "heartbeat.json"), "utf8").catch(() => "")) !== "");
    for (const pid of new Set([owner, scene.host.pid])) process.kill(pid, "SIGKILL");
    process.kill(-worker, "SIGKILL");
    await scene.host.exit;
    // as if it were in a container whose clock is ahead
    await change(join(folder, "state.json"), { pidNs: "pid:[1]" });
    await change(join(folder, "heartbeat.json"), { lastSeenAt: new Date(Date.now() + 3_600_000).toISOString() });

    const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
    await waitUntil(async () => ofType(await events(), "crew.subagent.adopted").length === 1, 20_000);
    await waitUntil(async () => (await lastType(scene)) === "crew.run.failed", 45_000);
    const told = await events();
    expect(levels(told)).toEqual(["healthy > warn", "warn > stale", "stale > dead"]);
    expect(ofType(told, "crew.task.heartbeat_level").at(-1)).toMatchObject({ level: "dead", processAlive: false });
    expect(await warningIds(scene)).toEqual([`dead_${runId}_a`]);
    expect(ofType(told, "crew.task.heartbeat_dead")).toHaveLength(1);
    expect(ofType(told, "crew.task.attempt_finished")).toMatchObject([
      { taskId: "a", outcome: "lost", error: { kind: "heartbeat-dead" } },
    ]);
    expect(ofType(told, "crew.task.deadletter")).toMatchObject([
      { taskId: "a", reason: "heartbeat-dead", attempts: 1 },
    ]);
    expect(warnings(host, "no sign of life")).toHaveLength(1);
    expect(warnings(host, "silent")).toHaveLength(0);
    const metrics = (await host.command("/team-metrics crew.heartbeat.*")).notices.join("\n");
    expect(metrics).toMatch(/crew\.heartbeat\.dead_total\s+1\b/);
    const letters = (await host.command("/team-deadletters")).notices.join("\n");
    expect(letters.match(/heartbeat-dead/g)).toHaveLength(1);
    expect(letters).toContain(runId);
  }, 120_000);

  it("that is alive is shown as stuck, never given up, and goes on when it can", async () => {
    const scene = await atWork();
    const { host, worker, events, open } = scene;
    process.kill(worker, "SIGSTOP");
    await waitUntil(() => warnings(host, "its process is there").length === 1, 40_000);
    const silent = ofType(await events(), "crew.task.heartbeat_level").at(-1);
    expect(silent).toMatchObject({ level: "dead", processAlive: true });
    expect((await host.command("/team-status latest")).notices.join("\n")).toMatch(/● a .*\bstuck\b/);
    expect(ofType(await events(), "crew.task.attempt_finished")).toEqual([]);
    process.kill(worker, "SIGCONT");
    await waitUntil(async () => levels(await events()).at(-1) === "dead > healthy", 20_000);
    expect((await host.command("/team-status latest")).notices.join("\n")).not.toContain("stuck");
    open();
    await waitUntil(async () => (await lastType(scene)) === "crew.run.completed", 30_000);
    const told = await events();
    expect(ofType(told, "crew.subagent.spawned").filter(({ taskId }) => taskId === "a")).toHaveLength(1);
    expect(ofType(told, "crew.task.attempt_finished").map(({ outcome }) => outcome)).toEqual(
      Array(4).fill("completed"),
    );
    expect(warnings(host, "").map((event) => event["message"])).toHaveLength(1);
    expect(await warningIds(scene)).toEqual([`dead_${scene.runId}_a`]);
  }, 120_000);
});

describe.skipIf(!processesVisible)("Pi and its workers stopped together for longer than a silence may last", () => {
  it("go on as if nothing had been: nobody is dead, stuck or lost", async () => {
    const scene = await atWork();
    const { host, worker, events, open } = scene;
    const owner = ofType(await events(), "crew.run.claimed").at(-1)?.owner.pid ?? 0;
    const all = [...new Set([owner, host.pid]), worker];
    for (const pid of all) process.kill(pid, "SIGSTOP");
    const from = performance.now();
    await waitUntil(() => performance.now() - from > HEARTBEAT.deadMs + 1000, 30_000);
    // the worker last, once Pi has looked: its next beat must not be what saves it
    const seen = (await events()).length;
    for (const pid of all.slice(0, -1)) process.kill(pid, "SIGCONT");
    await host.command("/team-status latest");
    process.kill(worker, "SIGCONT");
    const beat = join(runFolder(scene.rig.agentFolder.project, scene.runId), "tasks/a/a0001/heartbeat.json");
    const counter = async () => JSON.parse(await readFile(beat, "utf8")).counter as number;
    const before = await counter();
    await waitUntil(async () => (await counter()) > before + 1, 30_000);
    open();
    await waitUntil(async () => (await lastType(scene)) === "crew.run.completed", 30_000);
    const told = (await events()).slice(seen);
    expect(levels(told).filter((level) => !level.endsWith("healthy"))).toEqual([]);
    expect(ofType(told, "crew.task.heartbeat_dead")).toEqual([]);
    expect(ofType(told, "crew.task.attempt_finished").map(({ outcome }) => outcome)).toEqual(
      Array(4).fill("completed"),
    );
    expect(warnings(host, "")).toEqual([]);
  }, 120_000);
});

/** What a machine's clocks show after a sleep: everywhere the wall clock is ahead, on some systems the other one too. */
describe.skipIf(!processesVisible)("a machine that slept for ten minutes, with the limits nobody has set", () => {
  it("has no worker that is dead, stuck or lost, when the wall clock went on, or both clocks did", async () => {
    let file = "";
    const sleep = (text: string) => {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    };
    const scene = await atWork({}, (rig) => {
      file = join(rig.agentFolder.home, "clock");
      sleep("0 0");
      return { NODE_OPTIONS: `--import=${fixture("shifted-clock.mjs")}`, FOREMAN_CLOCK_HOURS: file };
    });
    const { host, worker, events, open } = scene;
    const beat = join(runFolder(scene.rig.agentFolder.project, scene.runId), "tasks/a/a0001/heartbeat.json");
    const beats = async () => JSON.parse(await readFile(beat, "utf8").catch(() => '{"counter":0}')).counter as number;
    await waitUntil(async () => (await beats()) >= 3, 30_000);
    // its next beat must not be what saves it: Pi looks twice after each sleep
    process.kill(worker, "SIGSTOP");
    for (const hours of ["0.17 0", "0.34 0.17"]) {
      sleep(hours);
      const from = performance.now();
      await waitUntil(() => performance.now() - from > 2 * LOOK_MS + 500, 20_000);
    }
    process.kill(worker, "SIGCONT");
    open();
    await waitUntil(async () => (await lastType(scene)) === "crew.run.completed", 30_000);
    const told = await events();
    expect(levels(told).filter((level) => /stale|dead/.test(level))).toEqual([]);
    expect(ofType(told, "crew.task.heartbeat_dead")).toEqual([]);
    expect((told.at(-1)?.ts ?? 0) - (told[0]?.ts ?? 0), "the clock of Pi").toBeGreaterThan(1_200_000);
    expect(ofType(told, "crew.task.attempt_finished").map(({ outcome }) => outcome)).toEqual(
      Array(4).fill("completed"),
    );
    expect(warnings(host, "")).toEqual([]);
  }, 120_000);
});

async function change(path: string, fields: object): Promise<void> {
  await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, "utf8")), ...fields }));
}
