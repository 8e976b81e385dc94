import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { applyEvent } from "../../src/runs/apply-event.ts";
import { initialRunState } from "../../src/runs/run-state.ts";
import { inTurnFiles, type StepScript, stepOf, teamReplies } from "../support/diamond-team.ts";
import type { ModelRequest } from "../support/model-reply.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";
import { say, sayToEnd } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const GO = { action: "run", team: "diamond", goal: "build it" };

/** A rig whose steps can be changed while it runs, and a failed run of the diamond team in it. */
async function failedRun(steps: StepScript) {
  let script = steps;
  const reply = (request: ModelRequest) => teamReplies(GO, script)(request);
  const rig = await makeRig(reply, { files: inTurnFiles });
  const host = await rig.rpc({ extensions: [PACKAGE] });
  await host.prompt("let the team do it");
  const mend = (next: StepScript) => {
    script = next;
  };
  return { rig, host, mend, runId: (await runIds(rig.agentFolder.project)).at(-1) as string };
}

function stepsAsked(rig: Rig, from: number): string[] {
  return rig.server.requests
    .slice(from)
    .map(({ request }) => stepOf(request))
    .filter((step): step is string => step !== null);
}

describe("/team-resume", () => {
  it("runs again what failed and what had waited for it, with the results of the rest", async () => {
    const { rig, host, mend, runId } = await failedRun({
      b: () => ({ status: 400, error: "no such thing" }),
      c: () => ({ text: "the word of c", usage: { input: 5000 } }),
    });
    mend({});
    const before = rig.server.requests.length;
    const resumed = await sayToEnd(host, `/team-resume ${runId}`);
    expect(resumed.said).toContain(`goes on with ${runId}: b, d to do. The results of a, c are kept.`);
    expect(resumed.ended).toContain("completed");
    expect(stepsAsked(rig, before)).toEqual(["b", "d"]);
    const d = rig.server.requests.find(({ request }) => stepOf(request) === "d");
    expect(d?.request.firstUserText).toContain("the word of c");
    expect(d?.request.firstUserText).toContain("b is done");
    const events = await eventsOf(rig.agentFolder.project, resumed.runId);
    expect(ofType(events, "crew.run.created")[0]).toMatchObject({ resumedFrom: runId, taskCount: 4 });
    expect(ofType(events, "crew.task.completed").map((event) => event.taskId)).toEqual(["b", "d"]);
    const sent = rig.server.requests.slice(before).flatMap(({ usage }) => (usage ? [usage] : []));
    expect(ofType(events, "crew.run.completed")[0]?.tokens).toBe(
      sent.reduce((sum, usage) => sum + usage.input + usage.output, 0),
    );
    const folder = runFolder(rig.agentFolder.project, resumed.runId);
    const manifest = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"));
    expect(manifest.kept.c).toMatchObject({ summary: "the word of c", fromRunId: runId, model: "mock/mock-1" });
    expect(events.reduce(applyEvent, initialRunState(manifest)).tasks.map((task) => task.status)).toEqual(
      Array(4).fill("completed"),
    );
    // each of the four was counted once as completed, over both runs
    const table = await say(host, "/team-metrics crew.task.count");
    expect(table).toMatch(/status=completed,team=diamond,role=hand\}\s+4\b/);
    expect(await say(host, `/team-status ${resumed.runId}`)).toContain("completed");
  });

  it("goes on with a run it had resumed itself, by the tool too, and keeps what a resumed run had kept", async () => {
    const { rig, host, mend, runId } = await failedRun({ b: () => ({ status: 400, error: "still broken" }) });
    const second = await sayToEnd(host, "/team-resume");
    expect(second.ended).toContain("still broken");
    const before = rig.server.requests.length;
    mend({});
    // the main agent's next turn is a first turn again: it calls the tool with what is given here
    rig.server.setReply((request) => teamReplies({ action: "resume", runId: second.runId })(request));
    await host.prompt("finish it");
    expect(stepsAsked(rig, before)).toEqual(["b", "d"]);
    const [, , third = ""] = await runIds(rig.agentFolder.project);
    const manifest = JSON.parse(
      await readFile(join(runFolder(rig.agentFolder.project, third), "manifest.json"), "utf8"),
    );
    expect(manifest.resumedFrom).toBe(second.runId);
    expect(manifest.kept.a.fromRunId).toBe(runId);
    expect(rig.server.requests.at(-1)?.request.lastToolText).toContain("b, d to do");
  });

  it("goes on with a cancelled run, says why it can't with another, and does nothing again that another run has done", async () => {
    const { rig, host, mend, runId } = await failedRun({ b: () => ({ status: 400, error: "no" }) });
    expect(await say(host, "/team-resume nothing")).toContain('No run is called "nothing"');
    mend({});
    const first = await sayToEnd(host, `/team-resume ${runId}`);
    expect(await say(host, `/team-resume ${first.runId}`)).toContain(`Run ${first.runId} completed`);
    const done = `All that was left of run ${runId} was done by run ${first.runId}: /team-status ${first.runId} shows it.`;
    const again = await say(host, `/team-resume ${runId}`);
    expect(again).toContain(`${done} /team-redrive ${runId} b does that task once more all the same.`);
    mend({ a: () => ({ text: "slow", delayMs: 20_000 }) });
    await say(host, '/team-run diamond "wait"');
    const [, , running = ""] = await runIds(rig.agentFolder.project);
    expect(await say(host, `/team-resume ${running}`)).toContain(`Run ${running} has not ended: it is running`);
    await say(host, "/team-cancel");
    mend({});
    const cancelled = await sayToEnd(host, `/team-resume ${running}`);
    expect(cancelled.ended).toContain("completed");
    expect(await say(host, `/team-resume ${running}`)).toMatch(/^All that was left .* Start its team anew/);
  });
});
