import { existsSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { inTurnFiles, stepOf } from "../support/diamond-team.ts";
import { waitUntil } from "../support/processes.ts";
import { fixture, makeRig, type Rig } from "../support/rig.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";
import { sayToEnd } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const HOUR_MS = 3_600_000;
const LOOK_MS = 1000;
const BACKOFF_MS = 4000;
const CONFIG = {
  observability: { pollIntervalMs: LOOK_MS },
  reliability: {
    autoRetry: true,
    retryPolicy: { maxAttempts: 3, backoffMs: BACKOFF_MS, exponentialFactor: 1, jitterRatio: 0 },
    heartbeat: { warnMs: 6000, staleMs: 9000, deadMs: 12_000 },
  },
};

const TWO_ALONE = `---
name: diamond
description: two that need nothing
---

## b
role: hand

STEP:b of {goal}

## e
role: hand

STEP:e of {goal}
`;

/** Where the system has libfaketime the whole process is shifted, otherwise only its JavaScript's `Date`. */
function faketimeLibrary(): string | null {
  if (process.platform !== "linux") return null;
  const found = readdirSync("/usr/lib").map((name) => join("/usr/lib", name, "faketime/libfaketimeMT.so.1"));
  return found.find((path) => existsSync(path)) ?? null;
}

/** A wall clock for a host and its workers that can be set while they run. */
function settableClock(rig: Rig): { env: Record<string, string>; set: (hours: number) => void } {
  const file = join(rig.agentFolder.home, "clock");
  const library = faketimeLibrary();
  const set = (hours: number) => {
    // as a whole: nobody may see a file that is being written
    writeFileSync(`${file}.new`, library ? `${hours < 0 ? "-" : "+"}${Math.abs(hours)}h` : String(hours));
    renameSync(`${file}.new`, file);
  };
  set(0);
  const faked = { FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: "1", DONT_FAKE_MONOTONIC: "1" };
  const preload = { NODE_OPTIONS: `--import=${fixture("shifted-clock.mjs")}`, FOREMAN_CLOCK_HOURS: file };
  return { env: library ? { LD_PRELOAD: library, ...faked } : preload, set };
}

it("a wall clock that is set back an hour and ahead three makes nobody dead, and neither stalls nor hurries a retry", async () => {
  let tell: (reply: { status?: number; error?: string; text?: string }) => void = () => undefined;
  const rig = await makeRig(
    (request) => {
      if (stepOf(request) !== "a") return { text: "done" };
      return new Promise((reply) => {
        tell = reply;
      });
    },
    { files: inTurnFiles },
  );
  await writeFile(join(rig.agentFolder.agent, "crew.json"), JSON.stringify(CONFIG));
  const clock = settableClock(rig);
  const host = await rig.rpc({ extensions: [PACKAGE], env: clock.env });
  await host.command('/team-run diamond "time"');
  await waitUntil(() => rig.server.requests.length === 1, 30_000);
  const { project } = rig.agentFolder;
  const [runId = ""] = await runIds(project);
  const events = () => eventsOf(project, runId);

  const retries = async () => ofType(await events(), "crew.task.retry_attempt").length;

  await beatBy(project, runId, 0);
  clock.set(-1);
  await beatBy(project, runId, -1);
  clock.set(3);
  await beatBy(project, runId, 3);
  tell({ status: 500, error: "overloaded" });
  await waitUntil(async () => (await retries()) === 1, 20_000);
  clock.set(-1);
  await waitUntil(() => rig.server.requests.length === 2, 30_000);
  tell({ status: 500, error: "overloaded" });
  await waitUntil(async () => (await retries()) === 2, 20_000);
  clock.set(3);
  await waitUntil(() => rig.server.requests.length === 3, 30_000);
  clock.set(0);
  tell({ text: "done" });
  await waitUntil(async () => (await events()).at(-1)?.type === "crew.run.completed", 30_000);

  const told = await events();
  expect(told.map(({ seq }) => seq)).toEqual(told.map((_, at) => at + 1));
  expect(ofType(told, "crew.task.heartbeat_dead")).toEqual([]);
  const ofA = ofType(told, "crew.task.attempt_finished").filter(({ taskId }) => taskId === "a");
  expect(ofA.map(({ outcome }) => outcome)).toEqual(["failed", "failed", "completed"]);
  for (const { durationMs } of ofA) expect(durationMs).toBeLessThan(HOUR_MS / 2);
  rig.server.requests.slice(1, 3).forEach(({ startedAt }, at) => {
    const waitedMs = startedAt - (rig.server.requests[at]?.endedAt ?? 0);
    expect(waitedMs, `before attempt ${at + 2}`).toBeGreaterThanOrEqual(BACKOFF_MS);
  });
  expect(host.events.filter(({ notifyType }) => notifyType === "warning" || notifyType === "error")).toEqual([]);
}, 120_000);

it("a wall clock that is set back between two redrives of a task lets a resume keep what was done last", async () => {
  const down = new Set(["b", "e"]);
  const rig = await makeRig(
    (request) => (down.delete(stepOf(request) ?? "") ? { status: 400, error: "no" } : { text: "done" }),
    { files: { ...inTurnFiles, ".crew/workflows/diamond.workflow.md": TWO_ALONE } },
  );
  const clock = settableClock(rig);
  const host = await rig.rpc({ extensions: [PACKAGE], env: clock.env });
  const { runId } = await sayToEnd(host, '/team-run diamond "time"');
  await sayToEnd(host, `/team-redrive ${runId} b`);
  clock.set(-1);
  const last = await sayToEnd(host, `/team-redrive ${runId} b`);
  expect(last.runId < runId, "its id tells the hour before").toBe(true);
  clock.set(0);
  const rest = await sayToEnd(host, `/team-resume ${runId}`);
  expect(rest.said).toContain(`goes on with ${runId}: e to do. The results of b are kept.`);
  const manifest = await readFile(join(runFolder(rig.agentFolder.project, rest.runId), "manifest.json"), "utf8");
  expect(JSON.parse(manifest).kept).toMatchObject({ b: { fromRunId: last.runId } });
}, 120_000);

/**
 * Resolves when the first attempt's worker, whose clock must be off by that much, has beaten once more and Pi has seen
 * it: a jump that comes then is not hidden by a beat that nobody has looked at yet.
 */
async function beatBy(project: string, runId: string, hours: number): Promise<void> {
  const path = join(runFolder(project, runId), "tasks/a/a0001/heartbeat.json");
  const beat = async () => JSON.parse(await readFile(path, "utf8").catch(() => '{"counter":0}'));
  const { counter } = await beat();
  await waitUntil(async () => (await beat()).counter > counter, 30_000);
  const { lastSeenAt } = await beat();
  expect((Date.parse(lastSeenAt) - Date.now()) / HOUR_MS).toBeCloseTo(hours, 1);
  const from = performance.now();
  await waitUntil(() => performance.now() > from + 2 * LOOK_MS);
}
