import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { inTurnFiles, teamReplies } from "../support/diamond-team.ts";
import { gatedRig, gatedRun } from "../support/gated-run.ts";
import { expectGone, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import { fixture, makeRig, type Rig } from "../support/rig.ts";
import type { HostEvent, RpcHost } from "../support/rpc-host.ts";
import { ofType, runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

interface LeakRecord {
  reason: string;
  listeners: number;
  resources: string[];
  files: string[];
}

async function leaks(rig: Rig): Promise<LeakRecord[]> {
  const text = await readFile(join(rig.agentFolder.home, "leaks.jsonl"), "utf8").catch(() => "");
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as LeakRecord);
}

const workers = (rig: Rig) => () =>
  processesWithEnvironment("FOREMAN_TEST_TAG", rig.agentFolder.tag).filter((it) => it.command.includes("start.mjs"));

const REPLACEMENTS = ["reload", "new", "resume", "fork"] as const;

/** Makes what this way of replacing the session needs: a message to fork at, a session to resume. */
async function replacementOf(host: RpcHost, way: (typeof REPLACEMENTS)[number]): Promise<() => Promise<HostEvent>> {
  if (way === "reload") return async () => (await host.command("/probe-reload")).response;
  if (way === "new") return () => host.send({ type: "new_session" });
  await host.prompt("hello");
  if (way === "fork") {
    const { data } = await host.send({ type: "get_fork_messages" });
    return () => host.send({ type: "fork", entryId: data.messages[0].entryId });
  }
  const { data } = await host.send({ type: "get_state" });
  await host.send({ type: "new_session" });
  return () => host.send({ type: "switch_session", sessionPath: data.sessionFile });
}

describe("a session", () => {
  it("leaves no listener, timer, child or open file behind: reload, new, quit, each after a run", async () => {
    const rig = await makeRig(teamReplies({ action: "run", team: "diamond", goal: "build" }), { files: inTurnFiles });
    const env = { LEAK_LOG: join(rig.agentFolder.home, "leaks.jsonl") };
    const host = await rig.rpc({ extensions: [PACKAGE, fixture("leak-probe.ts")], env });
    await host.prompt("let the team do it");
    expect(workers(rig)().length).toBeGreaterThan(0);
    await host.command("/probe-reload");
    await waitUntil(async () => (await leaks(rig)).length >= 1);
    await expectGone(workers(rig));
    await host.prompt("again");
    await host.send({ type: "new_session" });
    await waitUntil(async () => (await leaks(rig)).length >= 2);
    await expectGone(workers(rig));
    await host.prompt("and again");
    await host.close();
    await expectGone(() => processesWithEnvironment("FOREMAN_TEST_TAG", rig.agentFolder.tag));
    const records = await leaks(rig);
    expect(records.map((it) => it.reason)).toEqual(["reload", "new", "quit"]);
    for (const record of records)
      expect(record).toEqual({ reason: record.reason, listeners: 0, resources: [], files: [] });
    expect(await runIds(rig.agentFolder.project)).toHaveLength(3);
  });

  it("leaves nothing of its look for a first run behind", async () => {
    const rig = await makeRig(() => ({ text: "hello" }));
    const env = { LEAK_LOG: join(rig.agentFolder.home, "leaks.jsonl") };
    const host = await rig.rpc({ extensions: [PACKAGE, fixture("leak-probe.ts")], env });
    for (const end of [
      () => host.command("/probe-reload"),
      () => host.send({ type: "new_session" }),
      () => host.close(),
    ]) {
      await waitUntil(async () => (await say(host, "/probe-live session-runs")).includes("Timeout"), 20_000);
      await end();
    }
    const records = await leaks(rig);
    expect(records.map((it) => it.reason)).toEqual(["reload", "new", "quit"]);
    for (const record of records) expect(record).toMatchObject({ listeners: 0, resources: [] });
  });

  it("that RPC starts twice counts once", async () => {
    const rig = await makeRig(teamReplies({ action: "run", team: "diamond", goal: "build" }), { files: inTurnFiles });
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.send({ type: "new_session" });
    await host.prompt("let the team do it");
    const table = (await host.command("/team-metrics crew.run.count")).notices.join("\n");
    expect(table).toMatch(/crew\.run\.count\{status=completed,team=diamond\}\s+1$/m);
  });

  it("in print mode ends by itself, and its command's text is on standard output", async () => {
    const rig = await makeRig(teamReplies({ action: "run", team: "diamond", goal: "build" }), { files: inTurnFiles });
    const answered = await rig.print("let the team do it", { extensions: [PACKAGE] });
    expect(answered).toMatchObject({ code: 0, signal: null });
    expect(answered.stdout).toContain("the team said: diamond");
    const command = await rig.print("/team-status latest", { extensions: [PACKAGE] });
    expect(command.code).toBe(0);
    expect(command.stdout).toContain("✓ d");
    const run = await rig.print('/team-run diamond "once more"', { extensions: [PACKAGE] });
    expect(run.code).toBe(0);
    expect(run.stdout).toContain("completed");
    await expectGone(() => processesWithEnvironment("FOREMAN_TEST_TAG", rig.agentFolder.tag));
  });

  it.each(REPLACEMENTS)(
    "that is replaced lets its workers go on and hands the run to the next one: %s",
    async (way) => {
      // asked about, it would wait for an answer
      const gated = await gatedRig({ gated: ["a"], config: { reliability: { autoRecover: true } } });
      const { rig, asked, open } = gated;
      const env = { LEAK_LOG: join(rig.agentFolder.home, "leaks.jsonl") };
      const host = await rig.rpc({ extensions: [PACKAGE, fixture("leak-probe.ts")], env, answerDialog: () => null });
      const replace = await replacementOf(host, way);
      const { events } = await gatedRun(gated, { host });
      expect(await replace()).toMatchObject({ success: true });
      // while the attempt is still under way
      await waitUntil(async () => ofType(await events(), "crew.subagent.adopted").length === 1, 20_000);
      const released = ofType(await events(), "crew.run.released");
      const [first, second] = ofType(await events(), "crew.run.claimed");
      open();
      await waitUntil(async () => (await events()).at(-1)?.type === "crew.run.completed", 30_000);
      expect((await leaks(rig)).map((it) => it.reason)).toEqual(way === "resume" ? ["new", "resume"] : [way]);
      expect(released).toHaveLength(1);
      expect(second?.owner).toMatchObject({ pid: host.pid, processStart: first?.owner.processStart });
      expect(ofType(await events(), "crew.run.claimed")).toHaveLength(2);
      expect(ofType(await events(), "crew.run.resumed")).toEqual([]);
      expect(ofType(await events(), "crew.run.interrupted")).toEqual([]);
      expect(host.events.filter((event) => event["method"] === "confirm")).toEqual([]);
      const ofA = <T extends { taskId?: string }>(list: T[]) => list.filter((it) => it.taskId === "a");
      expect(ofA(ofType(await events(), "crew.task.attempt_started"))).toHaveLength(1);
      const [spawned] = ofA(ofType(await events(), "crew.subagent.spawned"));
      const [adopted] = ofA(ofType(await events(), "crew.subagent.adopted"));
      expect(adopted?.pid).toBe(spawned?.pid);
      expect(asked("a")).toBe(1);
      expect((await events()).map((it) => it.seq)).toEqual((await events()).map((_, at) => at + 1));
    },
  );
});
