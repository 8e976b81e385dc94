import { mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { sealedLine } from "../../src/events/event-line.ts";
import { tagVariable } from "../support/agent-folder.ts";
import { diamondFiles, inTurnFiles, stepOf } from "../support/diamond-team.ts";
import { type GatedRun, gatedRig, gatedRun } from "../support/gated-run.ts";
import { expectGone, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import type { RpcHost } from "../support/rpc-host.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const observability = { pollIntervalMs: 1000 };

const processes = (rig: Rig, script: RegExp) =>
  processesWithEnvironment(tagVariable, rig.agentFolder.tag).filter((it) => script.test(it.command));

/** A background run whose step b is at work. */
async function underWay(reliability = {}): Promise<GatedRun> {
  const files = { ...inTurnFiles, ".crew/config.json": JSON.stringify({ observability, reliability }) };
  const command = '/team-run diamond --background "go on"';
  return gatedRun(await gatedRig({ gated: ["b"], files }), { command, answerDialog: () => null });
}

const RETRYING = { reliability: { autoRetry: true, retryPolicy: { backoffMs: 100, maxAttempts: 2, jitterRatio: 0 } } };
const SIDE_BY_SIDE = ["w", "x", "y", "z"];
const WIDE = SIDE_BY_SIDE.map((step) => `## ${step}\nrole: hand\n\nSTEP:${step}\n`).join("\n");

/** Folders of runs long ago, in each of which a task was given up. */
async function keepOldRuns(project: string, count: number): Promise<void> {
  for (let at = 0; at < count; at++) {
    const runId = `20200101-000000-${String(at).padStart(8, "0")}`;
    const timestamp = new Date(Date.UTC(2020, 0, 1, at)).toISOString();
    const letter = { id: `dl-${at}`, runId, taskId: "a", reason: "max-retries", attempts: 3, timestamp };
    await mkdir(runFolder(project, runId), { recursive: true });
    await writeFile(join(runFolder(project, runId), "deadletter.jsonl"), sealedLine(letter));
  }
}

const ended = (rig: Rig, runId: string) =>
  waitUntil(async () => (await eventsOf(rig.agentFolder.project, runId)).at(-1)?.type === "crew.run.completed", 30_000);

const told = (host: RpcHost, runId: string) =>
  host.events.filter((event) => event.type === "message_end" && event["message"].details?.runId === runId);

describe("a background run", () => {
  it("whose process is asked to end goes on in a new one, with its workers", async () => {
    const { rig, host, runId, open, asked } = await underWay();
    process.kill(processes(rig, /supervisor\.mjs/)[0]?.pid ?? 0, "SIGTERM");
    await waitUntil(
      async () => ofType(await eventsOf(rig.agentFolder.project, runId), "crew.run.claimed").length === 2,
      30_000,
    );
    open();
    await ended(rig, runId);
    for (const step of ["a", "b", "c", "d"]) expect(asked(step), step).toBe(1);
    await waitUntil(() => told(host, runId).length === 1, 10_000);
    await expectGone(() => processes(rig, /supervisor|start\.mjs/), 10_000);
  });

  it("whose folder is removed leaves no process behind", async () => {
    const { rig, host, runId, open } = await underWay();
    // its worker may be just writing there
    await rm(join(rig.agentFolder.project, ".crew/state/runs", runId), { recursive: true, maxRetries: 5 });
    const notice = await host.waitFor((event) => String(event["message"]).includes("was removed"));
    expect(notice["notifyType"]).toBe("error");
    open();
    await expectGone(() => processes(rig, /supervisor|start\.mjs/), 30_000);
  });

  it("that ends with one task too many given up tells so once, however many runs there were before", async () => {
    const files = {
      ...diamondFiles,
      ".crew/config.json": JSON.stringify(RETRYING),
      ".crew/workflows/diamond.workflow.md": `---\nname: diamond\ndescription: side by side\n---\n\n${WIDE}`,
    };
    const letters = async () => {
      const runId = (await runIds(rig.agentFolder.project)).at(-1) ?? "";
      return ofType(await eventsOf(rig.agentFolder.project, runId), "crew.task.deadletter").length;
    };
    const rig: Rig = await makeRig(
      async (request) => {
        if (stepOf(request) === "z") await waitUntil(async () => (await letters()) === 3, 30_000);
        return { status: 500, error: "down" };
      },
      { files },
    );
    await keepOldRuns(rig.agentFolder.project, 500);
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await say(host, '/team-run diamond --background "go on"');
    const runId = (await runIds(rig.agentFolder.project)).at(-1) ?? "";
    await waitUntil(() => told(host, runId).length === 1, 30_000);
    const events = await eventsOf(rig.agentFolder.project, runId);
    expect(ofType(events, "crew.task.deadletter")).toHaveLength(4);
    expect(events.at(-1)?.type).toBe("crew.run.failed");
    const id = `deadletter_threshold_${runId}`;
    expect(ofType(events, "crew.notification.sent")).toMatchObject([{ id, severity: "error" }]);
    const errors = host.events.filter((event) => event["method"] === "notify" && event["notifyType"] === "error");
    expect(errors.map((event) => event["message"])).toEqual([expect.stringContaining("More than 3 tasks")]);
    expect(await say(host, "/team-metrics crew.notification.count --json")).toContain('"value":1');
  });

  it("whose process is killed is ended by the session that follows it, which counts that once", async () => {
    const { rig, host, runId } = await underWay();
    const { pid = 0 } = processes(rig, /supervisor\.mjs/)[0] ?? {};
    process.kill(pid, "SIGKILL");
    await say(host, `/team-cancel ${runId}`);
    const events = () => eventsOf(rig.agentFolder.project, runId);
    await waitUntil(async () => ofType(await events(), "crew.run.cancelled").length === 1, 30_000);
    await waitUntil(() => told(host, runId).length === 1, 30_000);
    expect(await say(host, "/team-metrics crew.run.count --json")).toMatch(/"value":1\b/);
    const tasks = ofType(await events(), "crew.task.cancelled").length;
    const counted = await say(host, "/team-metrics crew.task.count --json");
    const values = [...counted.matchAll(/"status":"cancelled"[^}]*\}[^}]*"value":(\d+)/g)].map(([, value]) =>
      Number(value),
    );
    expect(values, counted).toEqual([tasks]);
  });

  it("whose process is stopped says so, is left to it, and ends as was asked when it is let go on", async () => {
    const { rig, host, runId } = await underWay();
    const { pid = 0 } = processes(rig, /supervisor\.mjs/)[0] ?? {};
    process.kill(pid, "SIGSTOP");
    await host.waitFor((event) => event["statusText"] === "team: 1 run · 1 stopped", 15_000);
    const remedy = `its process ${pid} is stopped: kill -CONT ${pid} lets it go on, or fg in its terminal`;
    expect(await say(host, `/team-status ${runId}`)).toContain(remedy);
    expect(await say(host, "/team-status")).toMatch(new RegExp(`${runId} {2}stopped `));
    const other = await rig.rpc({ extensions: [PACKAGE] });
    expect(await say(other, "/team-status")).toMatch(new RegExp(`${runId} {2}stopped `));
    const said = await other.command(`/team-cancel ${runId}`, 40_000);
    expect(said.notices.join("\n")).toBe(
      `Another process drives run ${runId}; it was asked to cancel it, but ${remedy}.`,
    );
    expect(await say(other, `/team-status ${runId}`)).toContain("asked: to be cancelled: cancelled by the user");
    expect(await say(other, `/team-resume ${runId}`)).toContain("has not ended");
    const events = await eventsOf(rig.agentFolder.project, runId);
    expect(ofType(events, "crew.run.claimed")).toMatchObject([{ owner: { pid } }]);
    process.kill(pid, "SIGCONT");
    await expectGone(() => processes(rig, /supervisor|start\.mjs/), 20_000);
    expect((await eventsOf(rig.agentFolder.project, runId)).at(-1)?.type).toBe("crew.run.cancelled");
  });
});

describe("a run that nobody drives", () => {
  it("is ended without a question when its process had no time to take what its user asked", async () => {
    const { rig, host, runId } = await underWay({ autoRecover: true });
    const [supervisor] = processes(rig, /supervisor\.mjs/);
    process.kill(supervisor?.pid ?? 0, "SIGSTOP");
    expect((await host.command(`/team-cancel ${runId}`, 40_000)).notices.join("\n")).toContain(
      "it was asked to cancel",
    );
    process.kill(supervisor?.pid ?? 0, "SIGKILL");
    const last = async () => (await eventsOf(rig.agentFolder.project, runId)).at(-1);
    await waitUntil(async () => (await last())?.type === "crew.run.cancelled", 30_000);
    expect(await last()).toMatchObject({ reason: "cancelled by the user" });
    expect(host.events.filter(({ method }) => method === "confirm")).toEqual([]);
    await expectGone(() => processes(rig, /supervisor|start\.mjs/), 20_000);
  });

  it("is ended without a question when its user had cancelled it before its process was killed", async () => {
    const { rig, host, runId } = await underWay({ autoRecover: true });
    const [supervisor] = processes(rig, /supervisor\.mjs/);
    const events = () => eventsOf(rig.agentFolder.project, runId);
    // workers that take their time to end
    const workers = ofType(await events(), "crew.subagent.spawned").filter(({ taskId }) => taskId !== "a");
    for (const { pid } of workers) process.kill(pid, "SIGSTOP");
    const said = host.command(`/team-cancel ${runId}`, 60_000);
    await waitUntil(async () => ofType(await events(), "crew.run.cancel_asked").length === 1);
    process.kill(supervisor?.pid ?? 0, "SIGKILL");
    expect((await events()).at(-1)?.type).not.toBe("crew.run.cancelled");
    await waitUntil(async () => (await events()).at(-1)?.type === "crew.run.cancelled", 30_000);
    expect(ofType(await events(), "crew.run.cancelled")).toMatchObject([{ reason: "cancelled by the user" }]);
    expect(host.events.filter(({ method }) => method === "confirm")).toEqual([]);
    await said;
    await expectGone(() => processes(rig, /supervisor|start\.mjs/), 20_000);
  });

  it("goes on by /team-resume in the session that has followed it all along, which tells its end once", async () => {
    // a question, which nobody answers, and no closing of what was interrupted
    const { rig, host, runId, open, asked } = await underWay({ autoRecover: true });
    process.kill(processes(rig, /supervisor\.mjs/)[0]?.pid ?? 0, "SIGKILL");
    await expectGone(() => processes(rig, /supervisor\.mjs/));
    await host.waitFor((event) => event["statusText"] === "team: 1 run · 1 unattended", 15_000);
    expect(await say(host, `/team-resume ${runId}`)).toContain("goes on where it was left");
    open();
    await ended(rig, runId);
    for (const step of ["a", "b", "c", "d"]) expect(asked(step), step).toBe(1);
    await waitUntil(() => told(host, runId).length > 0, 10_000);
    await say(host, "/team-status latest");
    expect(told(host, runId)).toHaveLength(1);
  });

  it("goes on as it is by /team-resume", async () => {
    const { rig, host, runId, open, asked } = await underWay();
    host.kill("SIGKILL");
    process.kill(processes(rig, /supervisor\.mjs/)[0]?.pid ?? 0, "SIGKILL");
    await host.exit;
    // without anybody to ask, a print-mode Pi recovers nothing by itself
    const { stdout } = await rig.print(`/team-resume ${runId}`, { extensions: [PACKAGE] });
    expect(stdout).toContain("goes on where it was left");
    open();
    await ended(rig, runId);
    const events = await eventsOf(rig.agentFolder.project, runId);
    const fate = events.map(({ type }) => type).filter((type) => /\.run\.(claimed|interrupted|resumed)$/.test(type));
    expect(fate.slice(1)).toEqual(["crew.run.claimed", "crew.run.interrupted", "crew.run.resumed"]);
    for (const step of ["a", "b", "c", "d"]) expect(asked(step), step).toBe(1);
    expect(await runIds(rig.agentFolder.project)).toEqual([runId]);
  });
});
