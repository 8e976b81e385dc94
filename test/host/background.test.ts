import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { tagVariable } from "../support/agent-folder.ts";
import { stepOf, teamReplies } from "../support/diamond-team.ts";
import { type GatedRig, gatedRig, gatedRun } from "../support/gated-run.ts";
import type { ModelRequest } from "../support/model-reply.ts";
import { expectGone, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import type { Rig } from "../support/rig.ts";
import type { HostEvent, RpcHost } from "../support/rpc-host.ts";
import { eventsOf, ofType, runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

/** A project some of whose steps wait. */
function rigWaiting(config: object = {}, gated: readonly string[] = ["b"]): Promise<GatedRig> {
  const main = teamReplies({ action: "run", team: "diamond", goal: "go on", background: true });
  const reply = (request: ModelRequest) =>
    stepOf(request) === null && request.lastUserText.includes("d is done") ? { text: "I heard of it" } : main(request);
  return gatedRig({ gated, config, reply });
}

async function begun(gated: GatedRig, host: RpcHost): Promise<string> {
  const { said, runId } = await gatedRun(gated, { host, command: '/team-run --background diamond "go on"' });
  expect(said).toContain("in the background");
  return runId;
}

function announcements(host: RpcHost, runId: string): HostEvent[] {
  return host.events.filter((event) => event.type === "message_end" && event["message"].details?.runId === runId);
}

const announced = (host: RpcHost, runId: string) =>
  waitUntil(() => announcements(host, runId).length > 0, 30_000).then(() => announcements(host, runId));

function supervisors(rig: Rig) {
  return processesWithEnvironment(tagVariable, rig.agentFolder.tag).filter((it) =>
    it.command.includes("supervisor.mjs"),
  );
}

const questions = (host: RpcHost) => host.events.filter((event) => event["method"] === "confirm");
const completedRuns = async (host: RpcHost) =>
  (await say(host, "/team-metrics crew.run.count")).split("\n").filter((line) => line.includes("completed"));

const active = async (host: RpcHost) =>
  [...(await say(host, "/team-metrics crew.*.active")).matchAll(/crew\.(run|task)\.active +(\d+)/g)]
    .map(([, what, count]) => `${what} ${count}`)
    .sort();

describe("a background run", () => {
  it("is told of in the session that started it as if that drove it, and leaves no process", async () => {
    const gated = await rigWaiting();
    const host = await gated.rig.rpc({ extensions: [PACKAGE] });
    const runId = await begun(gated, host);
    expect(supervisors(gated.rig)).toHaveLength(1);
    gated.open();
    const [end] = await announced(host, runId);
    expect(String(end?.["message"].content)).toContain("d is done");
    const metrics = await completedRuns(host);
    expect(metrics).toHaveLength(1);
    expect(metrics[0]).toMatch(/\b1\b/);
    await expectGone(() => supervisors(gated.rig));
    expect(announcements(host, runId)).toHaveLength(1);
    for (const step of ["a", "b", "c", "d"]) expect(gated.asked(step), step).toBe(1);
  });

  it("goes on when Pi is killed; nobody is asked, and the next session tells its end once", async () => {
    const gated = await rigWaiting({ reliability: { autoRecover: true } });
    const first = await gated.rig.rpc({ extensions: [PACKAGE] });
    const runId = await begun(gated, first);
    first.kill("SIGKILL");
    await first.exit;
    const second = await gated.rig.rpc({ extensions: [PACKAGE] });
    expect(await say(second, `/team-status ${runId}`)).toContain("running");
    // though it never heard of their begin
    await waitUntil(async () => (await active(second)).join() === "run 1,task 1", 10_000);
    gated.open();
    await announced(second, runId);
    expect(await active(second)).toEqual(["run 0", "task 0"]);
    expect(questions(second)).toEqual([]);
    expect(await completedRuns(second)).toHaveLength(1);
    await second.close();
    const third = await gated.rig.rpc({ extensions: [PACKAGE] });
    await say(third, "/team-status latest");
    expect(announcements(third, runId)).toEqual([]);
    expect(await completedRuns(third)).toEqual([]);
  });

  it("that ended while no Pi was there is told by the next one", async () => {
    const gated = await rigWaiting();
    const first = await gated.rig.rpc({ extensions: [PACKAGE] });
    const runId = await begun(gated, first);
    await first.close();
    gated.open();
    await expectGone(() => supervisors(gated.rig), 30_000);
    expect((await eventsOf(gated.rig.agentFolder.project, runId)).at(-1)?.type).toBe("crew.run.completed");
    const next = await gated.rig.rpc({ extensions: [PACKAGE] });
    await announced(next, runId);
    expect(await completedRuns(next)).toHaveLength(1);
  });

  it("is followed on by the session that replaces its own, and counted once", async () => {
    const gated = await rigWaiting();
    const host = await gated.rig.rpc({ extensions: [PACKAGE] });
    const runId = await begun(gated, host);
    await host.send({ type: "new_session" });
    await say(host, "/team-status latest");
    gated.open();
    await announced(host, runId);
    expect(announcements(host, runId)).toHaveLength(1);
    expect(await completedRuns(host)).toHaveLength(1);
  });

  it("is cancelled with all its processes by /team-cancel", async () => {
    const gated = await rigWaiting();
    const host = await gated.rig.rpc({ extensions: [PACKAGE] });
    const runId = await begun(gated, host);
    expect(await say(host, `/team-cancel ${runId}`)).toContain("is cancelled");
    await expectGone(() =>
      processesWithEnvironment(tagVariable, gated.rig.agentFolder.tag).filter((it) =>
        /supervisor|start\.mjs/.test(it.command),
      ),
    );
  });

  it("whose process is killed goes on in a new one when the user says so, with the workers it had", async () => {
    const config = { reliability: { autoRecover: true }, observability: { pollIntervalMs: 1000 } };
    const gated = await rigWaiting(config, ["b", "c"]);
    const host = await gated.rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
    const runId = await begun(gated, host);
    const [supervisor] = supervisors(gated.rig);
    process.kill(supervisor?.pid ?? 0, "SIGKILL");
    await waitUntil(
      async () => ofType(await eventsOf(gated.rig.agentFolder.project, runId), "crew.subagent.adopted").length === 2,
      30_000,
    );
    gated.open();
    await announced(host, runId);
    expect(questions(host)).toHaveLength(1);
    expect(await completedRuns(host)).toHaveLength(1);
    for (const step of ["a", "b", "c", "d"]) expect(gated.asked(step), step).toBe(1);
    await expectGone(() => supervisors(gated.rig));
  });

  it("started by the model returns at once, and its end is told to the model", async () => {
    const gated = await rigWaiting();
    const host = await gated.rig.rpc({ extensions: [PACKAGE] });
    const first = await host.prompt("let the team do it in the background");
    expect(JSON.stringify(first["messages"])).toContain("goes on in the background");
    gated.open();
    const from = host.events.length;
    const end = await host.waitFor((event) => event.type === "agent_end", 30_000, from);
    expect(JSON.stringify(end["messages"])).toContain("I heard of it");
  });

  it("that can't be started is cancelled, and says why", async () => {
    const gated = await rigWaiting();
    const host = await gated.rig.rpc({ extensions: [PACKAGE] });
    // a file stands where the output of its process is to go
    await writeFile(join(gated.rig.agentFolder.agent, "crew"), "");
    const said = await say(host, '/team-run --background diamond "go on"');
    expect(said).toContain("could not be started");
    expect(await runIds(gated.rig.agentFolder.project)).toHaveLength(1);
    for (const runId of await runIds(gated.rig.agentFolder.project))
      expect((await eventsOf(gated.rig.agentFolder.project, runId)).at(-1)?.type).toBe("crew.run.cancelled");
  });
});
