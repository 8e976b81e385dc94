import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import type { CrewEvent } from "../../src/events/crew-event.ts";
import { tagVariable } from "../support/agent-folder.ts";
import { type GatedRun, gatedRig, gatedRun } from "../support/gated-run.ts";
import { expectGone, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import type { Rig } from "../support/rig.ts";
import type { DialogAnswer, HostEvent, RpcHost } from "../support/rpc-host.ts";
import { eventsOf, ofType, runIds } from "../support/run-files.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

const OFTEN = { reliability: { autoRecover: true }, observability: { pollIntervalMs: 1000 } };

interface Circumstances {
  /** The tasks that are at work. */
  atWork?: readonly string[];
  /** Opens what was there already. */
  before?: (rig: Rig) => Promise<void>;
}

/** A run in the middle, whose Pi has just been killed. */
async function killedMidRun(config: object, { atWork = ["b"], before }: Circumstances = {}): Promise<GatedRun> {
  const gated = await gatedRig({ gated: atWork, config });
  await before?.(gated.rig);
  const run = await gatedRun(gated);
  run.host.kill("SIGKILL");
  await run.host.exit;
  return run;
}

/** What became of the run's owners and of itself after it was killed. */
function fateOf(events: readonly CrewEvent[]): string[] {
  const fates = ["claimed", "interrupted", "resumed", "released", "cancelled", "completed"];
  const told = events.map((event) =>
    event.type === "crew.run.interrupted" ? `interrupted: ${event.reason}` : event.type,
  );
  return told
    .map((it) => it.replace("crew.run.", ""))
    .filter((it) => fates.includes(it.split(":")[0] ?? ""))
    .slice(1);
}

async function ended(rig: Rig, runId: string): Promise<void> {
  await waitUntil(async () => {
    const last = (await eventsOf(rig.agentFolder.project, runId)).at(-1)?.type ?? "";
    return ["crew.run.completed", "crew.run.failed", "crew.run.cancelled"].includes(last);
  }, 30_000);
}

const questions = (host: RpcHost): HostEvent[] => host.events.filter((event) => event["method"] === "confirm");

describe("a run whose Pi was killed", () => {
  it("is continued after one question, however many sessions open; its live workers are followed, not started again", async () => {
    const atWork = ["b", "c"];
    const { rig, runId, open, asked } = await killedMidRun({ reliability: { autoRecover: true } }, { atWork });
    const answerDialog = (): DialogAnswer | null => null;
    const first = await rig.rpc({ extensions: [PACKAGE], answerDialog });
    const question = await first.waitFor((event) => event["method"] === "confirm");
    expect(question["message"]).toContain("worker still at work: b, c");
    const second = await rig.rpc({ extensions: [PACKAGE], answerDialog });
    await second.command("/team-status latest");
    expect(questions(second)).toEqual([]);
    first.answer(String(question["id"]), { confirmed: true });
    await waitUntil(
      async () => ofType(await eventsOf(rig.agentFolder.project, runId), "crew.subagent.adopted").length === 2,
    );
    open();
    await ended(rig, runId);
    const events = await eventsOf(rig.agentFolder.project, runId);
    expect(fateOf(events)).toEqual(["claimed", "interrupted: owner-gone", "resumed", "completed"]);
    expect(ofType(events, "crew.run.resumed")[0]).toMatchObject({ adoptedTasks: ["b", "c"], resumableTasks: ["d"] });
    for (const step of ["a", "b", "c", "d"]) expect(asked(step), step).toBe(1);
    for (const task of ["b", "c"]) {
      const pid = ofType(events, "crew.subagent.spawned").find((it) => it.taskId === task)?.pid;
      expect(ofType(events, "crew.subagent.adopted").find((it) => it.taskId === task)?.pid).toBe(pid);
    }
    expect(events.map((event) => event.seq)).toEqual(events.map((_, at) => at + 1));
    expect(questions(first)).toHaveLength(1);
  });

  it("is asked about again when its session was replaced before the answer", async () => {
    const { rig, runId, open } = await killedMidRun({ reliability: { autoRecover: true } });
    const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => null });
    await host.waitFor((event) => event["method"] === "confirm");
    const from = host.events.length;
    await host.send({ type: "new_session" });
    const question = await host.waitFor((event) => event["method"] === "confirm", 20_000, from);
    host.answer(String(question["id"]), { confirmed: true });
    open();
    await ended(rig, runId);
    expect((await eventsOf(rig.agentFolder.project, runId)).at(-1)?.type).toBe("crew.run.completed");
  });

  it("is asked about by the next session when the one that asks is killed, too", async () => {
    const { rig, runId, open } = await killedMidRun(OFTEN);
    const first = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => null });
    await first.waitFor((event) => event["method"] === "confirm");
    const second = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => null });
    await second.command("/team-status latest");
    // several looks
    await new Promise((done) => setTimeout(done, 2500));
    expect(questions(second)).toEqual([]);
    first.kill("SIGKILL");
    const question = await second.waitFor((event) => event["method"] === "confirm", 20_000);
    second.answer(String(question["id"]), { confirmed: true });
    open();
    await ended(rig, runId);
    expect((await eventsOf(rig.agentFolder.project, runId)).at(-1)?.type).toBe("crew.run.completed");
  });

  it("is not asked about any more when another session has gone on with it", async () => {
    const { rig, runId, open, asked } = await killedMidRun(OFTEN);
    const first = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => null });
    const question = await first.waitFor((event) => event["method"] === "confirm");
    const second = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => null });
    expect((await second.command(`/team-resume ${runId}`)).notices.join()).toContain("goes on where it was left");
    const told = await first.waitFor((event) => String(event["message"]).includes("was dealt with meanwhile"), 20_000);
    expect(told["message"]).toContain(`/team-status ${runId}`);
    // too late
    first.answer(String(question["id"]), { confirmed: false });
    open();
    await ended(rig, runId);
    const fate = fateOf(await eventsOf(rig.agentFolder.project, runId));
    expect(fate).toEqual(["claimed", "interrupted: owner-gone", "resumed", "completed"]);
    for (const step of ["a", "b", "c", "d"]) expect(asked(step), step).toBe(1);
  });

  it("is cancelled with its workers when the answer is no", async () => {
    const { rig, runId } = await killedMidRun({ reliability: { autoRecover: true } });
    await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: false }) });
    await ended(rig, runId);
    const events = await eventsOf(rig.agentFolder.project, runId);
    expect(events.at(-1)).toMatchObject({ type: "crew.run.cancelled", reason: "interrupted-not-resumed" });
    expect(fateOf(events)).toEqual(["claimed", "interrupted: owner-gone", "cancelled"]);
    await expectGone(() =>
      processesWithEnvironment(tagVariable, rig.agentFolder.tag).filter((it) => it.command.includes("start.mjs")),
    );
  });

  it("is closed without a question by default, and the user is told how to continue it", async () => {
    const { rig, runId } = await killedMidRun({});
    const host = await rig.rpc({ extensions: [PACKAGE] });
    const told = await host.waitFor(
      (event) => event["method"] === "notify" && String(event["message"]).includes("interrupted"),
    );
    expect(told["message"]).toContain(`/team-resume ${runId}`);
    expect(questions(host)).toEqual([]);
    const events = await eventsOf(rig.agentFolder.project, runId);
    expect(events.at(-1)).toMatchObject({ type: "crew.run.cancelled", reason: "interrupted-not-resumed" });
    expect(fateOf(events)).toEqual(["claimed", "interrupted: owner-gone", "cancelled"]);
  });

  it.each([
    { autoRecover: false, told: "notify" },
    { autoRecover: true, told: "confirm" },
  ])(
    "is looked after by a session that was open before the project's first run: $told",
    async ({ autoRecover, told }) => {
      const sessions: RpcHost[] = [];
      const config = { ...OFTEN, reliability: { autoRecover } };
      const before = async (at: Rig) => {
        sessions.push(await at.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) }));
        expect(await runIds(at.agentFolder.project)).toEqual([]);
      };
      const { rig, runId, open } = await killedMidRun(config, { before });
      await sessions[0]?.waitFor((event) => event["method"] === told && JSON.stringify(event).includes(runId), 40_000);
      open();
      await ended(rig, runId);
      const last = (await eventsOf(rig.agentFolder.project, runId)).at(-1)?.type;
      expect(last).toBe(autoRecover ? "crew.run.completed" : "crew.run.cancelled");
    },
  );

  it("does the work of a worker again that went down with it, and counts what both used", async () => {
    const atWork = ["b", "c"];
    const { rig, runId, open, asked } = await killedMidRun({ reliability: { autoRecover: true } }, { atWork });
    const workers = ofType(await eventsOf(rig.agentFolder.project, runId), "crew.subagent.spawned");
    const victim = workers.find((it) => it.taskId === "b")?.pid ?? 0;
    process.kill(victim, "SIGKILL");
    open();
    await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
    await ended(rig, runId);
    const events = await eventsOf(rig.agentFolder.project, runId);
    expect(events.at(-1)?.type).toBe("crew.run.completed");
    expect(asked("b")).toBe(2);
    expect(asked("c")).toBe(1);
    const attempts = ofType(events, "crew.task.attempt_finished").filter((it) => it.taskId === "b");
    expect(attempts.map((it) => it.outcome)).toEqual(["lost", "completed"]);
  });
});

describe("a run of another Pi", () => {
  it("is cancelled by asking its owner", async () => {
    const { rig, runId } = await gatedRun(await gatedRig({ gated: ["a"] }));
    const other = await rig.rpc({ extensions: [PACKAGE] });
    const said = (await other.command(`/team-cancel ${runId}`)).notices.join("\n");
    expect(said).toContain("asked to cancel");
    await ended(rig, runId);
    expect((await eventsOf(rig.agentFolder.project, runId)).at(-1)?.type).toBe("crew.run.cancelled");
  });
});
