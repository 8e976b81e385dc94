import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { tagVariable } from "../support/agent-folder.ts";
import { diamondFiles, stepOf, teamReplies } from "../support/diamond-team.ts";
import { gatedRig, gatedRun } from "../support/gated-run.ts";
import { inTurn } from "../support/model-reply.ts";
import { startCollector } from "../support/otlp-collector.ts";
import { expectGone, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import { makeRig } from "../support/rig.ts";
import { eventsOf, ofType, runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const config = (settings: object) => ({ ...diamondFiles, ".crew/config.json": JSON.stringify(settings) });

describe("a run", () => {
  it("that has used more than it may is cancelled, and says why", async () => {
    const usage = { input: 5000, output: 100 };
    const rig = await makeRig(
      teamReplies(
        { action: "run", team: "diamond", goal: "spend" },
        {
          a: () => ({ text: "a", usage }),
          b: () => ({ text: "b", delayMs: 20_000 }),
          c: () => ({ text: "c", delayMs: 20_000 }),
        },
      ),
      { files: config({ limits: { maxTokens: 1000 } }) },
    );
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.prompt("let the team do it");
    const [runId = ""] = await runIds(rig.agentFolder.project);
    const events = await eventsOf(rig.agentFolder.project, runId);
    expect(ofType(events, "crew.run.budget_exceeded")).toMatchObject([{ limit: "maxTokens", value: 5100, max: 1000 }]);
    expect(events.at(-1)).toMatchObject({ type: "crew.run.cancelled" });
    expect(ofType(events, "crew.run.cancelled")[0]?.reason).toContain("maxTokens");
  });

  it("is cancelled in the middle of an attempt whose worker has used more than it may", async () => {
    const usage = { input: 390, output: 10 };
    const work = (command: string) => ({ tools: [{ name: "bash", args: { command } }], usage });
    const rig = await makeRig(
      teamReplies(
        { action: "run", team: "diamond", goal: "spend" },
        { a: inTurn(work("true"), work("true"), work("sleep 15"), { ...work("true"), usage: {} }, { text: "a" }) },
      ),
      { files: config({ limits: { maxTokens: 1000 } }) },
    );
    const asked = () => rig.server.requests.filter(({ request }) => stepOf(request) !== null).length;
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.prompt("let the team do it");
    const [runId = ""] = await runIds(rig.agentFolder.project);
    const events = await eventsOf(rig.agentFolder.project, runId);
    const exceeded = ofType(events, "crew.run.budget_exceeded");
    expect(exceeded).toMatchObject([{ limit: "maxTokens", value: 1200, max: 1000 }]);
    const [finished] = ofType(events, "crew.task.attempt_finished");
    expect(finished).toMatchObject({ outcome: "cancelled", tokens: { input: 1170, output: 30 } });
    expect(finished?.ts).toBeGreaterThanOrEqual(exceeded[0]?.ts ?? Number.NaN);
    expect(events.at(-1)).toMatchObject({ type: "crew.run.cancelled" });
    expect(asked()).toBe(3);
    await expectGone(() => processesWithEnvironment("FOREMAN_ATTEMPT", `${runId}/a/a0001`));
    // nobody is left who could ask
    await host.close();
    await expectGone(() => processesWithEnvironment(tagVariable, rig.agentFolder.tag));
    expect(asked()).toBe(3);
  });

  it("is not counted where counting is switched off", async () => {
    const rig = await makeRig(teamReplies({ action: "run", team: "diamond", goal: "quietly" }), {
      files: config({ observability: { enabled: false, buckets: { "crew.run.duration_ms": [1] } } }),
    });
    const collector = await startCollector();
    const otlp = { enabled: true, endpoint: collector.url };
    await writeFile(join(rig.agentFolder.agent, "crew.json"), JSON.stringify({ otlp }));
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.prompt("let the team do it");
    expect(await say(host, "/team-metrics crew.run.count")).toContain("Nothing is counted");
    expect(JSON.parse(await say(host, "/team-metrics --json")).metrics).toEqual([]);
    const served = await say(host, "/team-metrics --serve --port 0");
    expect(served).toContain("metrics is empty");
    const url = /http:\/\/\S+\//.exec(served)?.[0] ?? "";
    expect(await (await fetch(`${url}metrics`)).text()).not.toContain("crew_");
    expect(await say(host, "/team-metrics --serve --port 1")).toMatch(/served already, at http.* then choose 1\./);
    const doctor = await say(host, "/team-doctor");
    expect(doctor).toContain("otlp.enabled sends nothing");
    expect(doctor).not.toContain("no histogram is called");
    await host.close();
    expect(collector.asked).toEqual([]);
  });

  it("says at its start that a setting could not be used", async () => {
    const rig = await makeRig(teamReplies({ action: "run", team: "diamond", goal: "x" }), {
      files: config({ limits: { maxParallelAttempts: "many" } }),
    });
    const host = await rig.rpc({ extensions: [PACKAGE] });
    const { notices } = await host.command('/team-run diamond "x"');
    expect(notices.join("\n")).toContain('limits.maxParallelAttempts = "many"');
    expect(notices.join("\n")).toContain("from 1 to 64");
  });
});

describe("a run that was under way when Pi quit", () => {
  it("goes on with the next session, with its worker", async () => {
    const { rig, host, asked, open, events } = await gatedRun(await gatedRig({ gated: ["a"] }));
    await host.close();
    const next = await rig.rpc({ extensions: [PACKAGE] });
    await next.waitFor((event) => event["method"] === "notify" && String(event["message"]).includes("goes on"));
    open();
    await waitUntil(async () => (await events()).at(-1)?.type === "crew.run.completed", 30_000);
    expect(asked("a")).toBe(1);
  });

  it("is cancelled with its workers at once where the user wants it so", async () => {
    const rig = await makeRig((request) => ({ text: `${stepOf(request)}`, delayMs: 20_000 }), { files: diamondFiles });
    await writeFile(join(rig.agentFolder.agent, "crew.json"), JSON.stringify({ reliability: { onQuit: "stop" } }));
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.command('/team-run diamond "now"');
    await waitUntil(() => rig.server.requests.length === 1, 30_000);
    await host.close();
    const [runId = ""] = await runIds(rig.agentFolder.project);
    const last = (await eventsOf(rig.agentFolder.project, runId)).at(-1);
    expect(last).toMatchObject({ type: "crew.run.cancelled", reason: "stopped when Pi quit" });
    await expectGone(() => processesWithEnvironment(tagVariable, rig.agentFolder.tag));
  });
});
