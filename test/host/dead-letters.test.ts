import { mkdir, readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { inTurnFiles, type StepScript, stepOf, teamReplies } from "../support/diamond-team.ts";
import type { ModelRequest, Reply } from "../support/model-reply.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import type { DialogAnswer, HostEvent } from "../support/rpc-host.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";
import { say, sayToEnd } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const RETRYING = JSON.stringify({ reliability: { autoRetry: true, retryPolicy: { backoffMs: 100 } } });
const BROKEN: StepScript = { b: () => ({ status: 500, error: "server down\nfor long" }) };

async function teamRun(
  steps: StepScript,
  options: { config?: string; files?: Record<string, string>; call?: Record<string, unknown> } = {},
  answerDialog?: (request: HostEvent) => DialogAnswer | null,
) {
  const { config = RETRYING, files = inTurnFiles, call = { action: "run", team: "diamond", goal: "go" } } = options;
  let script = steps;
  const rig = await makeRig((request: ModelRequest) => teamReplies(call, script)(request), {
    files: { ...files, ".crew/config.json": config },
  });
  const host = await rig.rpc({ extensions: [PACKAGE], ...(answerDialog ? { answerDialog } : {}) });
  await host.prompt("let the team do it");
  const runId = (await runIds(rig.agentFolder.project)).at(-1) as string;
  const mend = (next: StepScript) => {
    script = next;
  };
  return { rig, host, mend, runId, events: await eventsOf(rig.agentFolder.project, runId) };
}

const asked = (rig: Rig, step: string) => rig.server.requests.filter(({ request }) => stepOf(request) === step).length;

/** The lines of a run's `deadletter.jsonl`, read with nothing of ours. */
async function letterLines(rig: Rig, runId: string): Promise<Record<string, unknown>[]> {
  const path = join(runFolder(rig.agentFolder.project, runId), "deadletter.jsonl");
  const text = await readFile(path, "utf8").catch(() => "");
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

function failing(times: number): (request: ModelRequest) => Reply {
  let left = times;
  return () => (left-- > 0 ? { status: 500, error: "down for a moment" } : { text: "b is up again" });
}

describe("retries", () => {
  it("try a step again until it succeeds", async () => {
    const { rig, host, runId, events } = await teamRun({ b: failing(2) });
    expect(asked(rig, "b")).toBe(3);
    expect(asked(rig, "a")).toBe(1);
    expect(events.at(-1)?.type).toBe("crew.run.completed");
    expect(ofType(events, "crew.task.retry_attempt").map((event) => [event.taskId, event.nextAttempt])).toEqual([
      ["b", 2],
      ["b", 3],
    ]);
    const end = ofType(events, "crew.task.completed").find((event) => event.taskId === "b");
    expect(end?.attempts).toBe(3);
    expect(await letterLines(rig, runId)).toEqual([]);
    const metrics = JSON.parse(await say(host, "/team-metrics crew.task.retry_count --json")).metrics;
    // of four tasks one took three attempts
    expect(metrics[0].series).toMatchObject([{ labels: { team: "diamond" }, count: 4, sum: 6 }]);
    expect(await say(host, "/team-deadletters")).toContain("No dead letters");
  });

  it("are not made when they are off, and nothing is given up by itself", async () => {
    const { rig, host, mend, runId, events } = await teamRun(BROKEN, { config: "{}" });
    expect(asked(rig, "b")).toBe(1);
    expect(events.at(-1)).toMatchObject({ type: "crew.run.failed", reason: "b failed" });
    expect(ofType(events, "crew.task.deadletter")).toEqual([]);
    expect(await letterLines(rig, runId)).toEqual([]);
    const said = await say(host, "/team-deadletters");
    expect(said).toContain("No dead letters are open.\nA dead letter is a task that was retried in vain");
    expect(said).toContain("/team-redrive <run> <task> runs one task again.");
    mend({});
    expect((await sayToEnd(host, `/team-redrive ${runId} b`)).ended).toContain("completed");
  });
});

describe("dead letters", () => {
  it("are kept once when retries are exhausted, and redriven", async () => {
    const { rig, host, mend, runId, events } = await teamRun(BROKEN);
    expect(asked(rig, "b")).toBe(3);
    const told = ofType(events, "crew.task.deadletter");
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ taskId: "b", reason: "max-retries", attempts: 3 });
    const lines = await letterLines(rig, runId);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ runId, taskId: "b", reason: "max-retries", attempts: 3 });
    const id = String(lines[0]?.["id"]);
    const list = await say(host, "/team-deadletters");
    for (const part of [id, runId, "b", "max-retries", "3 attempts", "ago"]) expect(list).toContain(part);
    expect(list).not.toContain("for long");
    expect(await say(host, `/team-deadletters add ${runId} b`)).toContain(
      `Task b of run ${runId} is dead letter ${id} already.`,
    );
    expect(await letterLines(rig, runId)).toHaveLength(1);
    expect(list.split("\n").at(-1)).toContain("/team-deadletters <id> shows one whole, ");
    expect(await say(host, `/team-deadletters ${id}`)).toContain("for long");
    expect(await say(host, `/team-deadletters show ${id}`)).toContain("for long");
    for (const slip of [`delete ${id}`, `discard ${id} b`, "show", "discard", `show ${id} b`])
      expect(await say(host, `/team-deadletters ${slip}`)).toMatch(/means nothing .* \/team-redrive <id> runs/);
    mend({ b: ({ firstUserText }) => ({ text: `asked as: ${firstUserText}` }) });
    const before = rig.server.requests.length;
    const redriven = await sayToEnd(host, `/team-redrive ${id} --model mock/mock-2 --prompt "STEP:b in other words"`);
    expect(redriven.ended).toContain("completed");
    const requests = rig.server.requests.slice(before).map(({ request }) => request);
    expect(requests.map(stepOf)).toEqual(["b", "d"]);
    expect(requests[0]?.model).toBe("mock-2");
    expect(requests[0]?.firstUserText).toContain("in other words");
    expect(requests[1]?.model).toBe("mock-1");
    expect(requests[1]?.firstUserText).toContain("asked as: ");
    expect(requests[1]?.firstUserText).toContain("c is done");
    const toldOf = async (run: string) => ofType(await eventsOf(rig.agentFolder.project, run), "crew.task.redriven");
    expect(await toldOf(runId)).toMatchObject([{ taskId: "b", newRunId: redriven.runId }]);
    expect(await toldOf(redriven.runId)).toEqual([]);
    expect((await letterLines(rig, runId)).at(-1)).toMatchObject({ mark: "redriven", newRunId: redriven.runId });
    expect(await say(host, "/team-deadletters")).toContain("No dead letters");
    expect(await say(host, `/team-redrive ${id}`)).toContain(`redriven as run ${redriven.runId} already`);
    expect(await runIds(rig.agentFolder.project)).toHaveLength(2);
  });

  it("stay open when what a user gives by hand can't be had: a model, another step's words", async () => {
    const { rig, host, mend, runId } = await teamRun(BROKEN);
    const id = String((await letterLines(rig, runId))[0]?.["id"]);
    const refused = async (options: string) => await say(host, `/team-redrive ${id} ${options}`);
    const unusable =
      /^"nosuch\/model" is no model that can be used here\. Usable here: mock\/mock-1, mock\/mock-2\. Nothing was begun: /;
    expect(await refused("--model nosuch/model")).toMatch(unusable);
    expect(await refused("--model mock/")).toMatch(/"mock\/" fits several models/);
    expect(await refused('--prompt "STEP:b {goal} {outputs.a} {outputs.zzz}"')).toBe(
      "The prompt has {outputs.zzz}, but no step zzz is done before task b: use one of a, c. Nothing was begun.",
    );
    expect(await refused('--prompt "STEP:b {outputs.d}"')).toContain(
      "no step d is done before task b: use one of a, c.",
    );
    expect(await refused(`--prompt "${"x".repeat(300_000)}"`)).toMatch(
      /^The prompt has 300000 characters; at most 100000 are kept\. .* Nothing was begun\.$/,
    );
    expect(await refused('--prompt "  "')).toMatch(/^The prompt is empty: .* Nothing was begun\.$/);
    rig.server.setReply(teamReplies({ action: "redrive", deadLetterId: id, model: "nosuch/model" }));
    await host.prompt("again");
    expect(rig.server.requests.at(-1)?.request.lastToolText).toMatch(unusable);
    expect(await runIds(rig.agentFolder.project)).toEqual([runId]);
    expect(await letterLines(rig, runId)).toHaveLength(1);
    expect(await say(host, "/team-deadletters")).toContain(id);
    mend({});
    rig.server.setReply(teamReplies({}));
    const redriven = await sayToEnd(host, `/team-redrive ${id} --model mock-2:low --prompt "STEP:b {outputs.c}"`);
    expect(redriven.ended).toContain("completed");
  });

  it("are added by hand, discarded with the user's consent, and redriven by run and task", async () => {
    let consent = false;
    const { rig, host, mend, runId } = await teamRun(BROKEN, { config: "{}" }, () => ({ confirmed: consent }));
    expect(await say(host, `/team-deadletters add ${runId} c`)).toContain("is completed; only a failed one");
    expect(await say(host, `/team-deadletters add ${runId} zz`)).toContain('no task "zz"');
    const added = await say(host, `/team-deadletters add ${runId} b`);
    const id = /dl-[0-9a-f]+/.exec(added)?.[0] as string;
    expect(await say(host, `/team-deadletters add ${runId} b`)).toContain(`is dead letter ${id} already`);
    const events = await eventsOf(rig.agentFolder.project, runId);
    expect(ofType(events, "crew.task.deadletter")).toMatchObject([{ taskId: "b", reason: "manual", attempts: 1 }]);
    expect(events.map((event) => event.seq)).toEqual(events.map((_, at) => at + 1));
    expect(await say(host, "/team-metrics crew.task.deadletter*")).toContain("manual");
    expect(await say(host, "/team-metrics crew.run.active")).toMatch(/crew\.run\.active\s+0/);
    expect(await say(host, `/team-deadletters discard ${id}`)).toContain("stays");
    consent = true;
    expect(await say(host, `/team-deadletters discard ${id}`)).toContain("is discarded");
    expect(await say(host, `/team-redrive ${id}`)).toContain("is discarded already");
    expect(await say(host, `/team-redrive ${runId} d`)).toContain("is skipped; only a failed one");
    mend({});
    const redriven = await sayToEnd(host, `/team-redrive ${runId} b`);
    expect(redriven.ended).toContain("completed");
  });

  it("are listed and redriven by the model's tool", async () => {
    const { rig, runId, host } = await teamRun(BROKEN);
    const id = String((await letterLines(rig, runId))[0]?.["id"]);
    rig.server.setReply((request) => teamReplies({ action: "deadletters" })(request));
    await host.prompt("what was given up?");
    expect(rig.server.requests.at(-1)?.request.lastToolText).toContain(id);
    rig.server.setReply((request) => teamReplies({ action: "redrive", deadLetterId: id })(request));
    await host.prompt("again");
    expect(rig.server.requests.at(-1)?.request.lastToolText).toMatch(/completed/);
    expect(await runIds(rig.agentFolder.project)).toHaveLength(2);
  });

  it("alert once when there are more than the threshold within an hour", async () => {
    const steps = ["v", "w", "x", "y", "z"];
    const workflow = steps.map((step) => `## ${step}\nrole: hand\n\nSTEP:${step}\n`).join("\n");
    const files = {
      ...inTurnFiles,
      ".crew/workflows/wide.workflow.md": `---\nname: wide\ndescription: side by side\n---\n\n${workflow}`,
    };
    const config = JSON.stringify({
      reliability: { autoRetry: true, retryPolicy: { backoffMs: 100, maxAttempts: 2, jitterRatio: 0 } },
    });
    const down = () => ({ status: 500, error: "down" });
    const { host, events, runId } = await teamRun(Object.fromEntries(steps.map((step) => [step, down])), {
      files,
      config,
      call: { action: "run", team: "diamond", workflow: "wide", goal: "go" },
    });
    expect(ofType(events, "crew.task.deadletter")).toHaveLength(5);
    const alerts = host.events.filter((event) => event["method"] === "notify" && event["notifyType"] === "error");
    expect(alerts).toHaveLength(1);
    expect(alerts[0]?.["message"]).toContain(
      `More than 3 tasks were given up within an hour, the last in run ${runId}`,
    );
  });

  it("that can't be written are an error the user sees, and cost nothing else", async () => {
    const planted: StepScript = {
      b: async () => {
        // a folder where the file would be: it can't be written even by root
        const [runId = ""] = await runIds(project);
        await mkdir(join(runFolder(project, runId), "deadletter.jsonl"), { recursive: true });
        return { status: 500, error: "down" };
      },
    };
    let project = "";
    const rig = await makeRig(
      (request) => teamReplies({ action: "run", team: "diamond", goal: "go" }, planted)(request),
      {
        files: { ...inTurnFiles, ".crew/config.json": RETRYING },
      },
    );
    project = rig.agentFolder.project;
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.prompt("let the team do it");
    const [runId = ""] = await runIds(project);
    const events = await eventsOf(project, runId);
    expect(ofType(events, "crew.task.deadletter")).toEqual([]);
    expect(events.at(-1)).toMatchObject({ type: "crew.run.failed", reason: "b failed" });
    const errors = host.events.filter((event) => event["method"] === "notify" && event["notifyType"] === "error");
    expect(errors).toHaveLength(1);
    expect(errors[0]?.["message"]).toContain(`/team-deadletters add ${runId} b`);
    await rm(join(runFolder(project, runId), "deadletter.jsonl"), { recursive: true });
    expect(await say(host, `/team-deadletters add ${runId} b`)).toContain("is dead letter");
  });
});
