import { chmod, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { applyEvent } from "../../src/runs/apply-event.ts";
import { initialRunState } from "../../src/runs/run-state.ts";
import { diamondFiles, stepOf, teamReplies } from "../support/diamond-team.ts";
import { expectGone, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

async function onlyRun(rig: Rig) {
  const ids = await runIds(rig.agentFolder.project);
  expect(ids).toHaveLength(1);
  const runId = ids[0] as string;
  return {
    runId,
    folder: runFolder(rig.agentFolder.project, runId),
    events: await eventsOf(rig.agentFolder.project, runId),
  };
}

/** Seq without gaps, and the fold of the log equal to the snapshot beside it. */
async function expectConsistent(rig: Rig): Promise<void> {
  const { folder, events } = await onlyRun(rig);
  expect(events.map((event) => event.seq)).toEqual(events.map((_, at) => at + 1));
  const manifest = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"));
  const snapshot = JSON.parse(await readFile(join(folder, "state.json"), "utf8"));
  expect(snapshot.position.seq).toBe(events.length);
  expect(snapshot.state).toEqual(JSON.parse(JSON.stringify(events.reduce(applyEvent, initialRunState(manifest)))));
}

describe("a team in the real host", () => {
  it("runs tasks in the order of their dependencies, independent ones side by side", async () => {
    // each of the two is answered only when both have asked: one after the other would never end
    let asking = 0;
    let bothAsked: () => void = () => undefined;
    const both = new Promise<void>((resolve) => {
      bothAsked = resolve;
    });
    const together = (text: string) => async () => {
      if (++asking === 2) bothAsked();
      await both;
      return { text };
    };
    const steps = { b: together("b is done"), c: together("c is done") };
    const rig = await makeRig(teamReplies({ action: "run", team: "diamond", goal: "build it" }, steps), {
      files: diamondFiles,
    });
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.prompt("let the team do it");
    const { events } = await onlyRun(rig);
    expect(events.at(-1)).toMatchObject({ type: "crew.run.completed", status: "completed", taskCount: 4 });
    const started = ofType(events, "crew.task.started").map((event) => event.taskId);
    expect(started[0]).toBe("a");
    expect(started.slice(1, 3).sort()).toEqual(["b", "c"]);
    expect(started[3]).toBe("d");
    const seqOf = (type: string, task: string) => events.find((it) => it.type === type && it.taskId === task)?.seq ?? 0;
    for (const [before, after] of [
      ["a", "b"],
      ["a", "c"],
      ["b", "d"],
      ["c", "d"],
    ] as const)
      expect(seqOf("crew.task.completed", before)).toBeLessThan(seqOf("crew.task.started", after));
    const requests = new Map(rig.server.requests.map((it) => [stepOf(it.request), it]));
    const [b, c] = [requests.get("b"), requests.get("c")];
    expect(Math.max(b?.startedAt ?? 0, c?.startedAt ?? 0)).toBeLessThan(Math.min(b?.endedAt ?? 0, c?.endedAt ?? 0));
    // what one worker said reaches the next one's prompt
    expect(requests.get("d")?.request.firstUserText).toContain("b is done");
    await expectConsistent(rig);
  });

  it("fails the run when a task fails, and skips what depends on it", async () => {
    const rig = await makeRig(
      teamReplies(
        { action: "run", team: "diamond", goal: "break" },
        { b: () => ({ status: 400, error: "no such thing" }) },
      ),
      { files: diamondFiles },
    );
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.prompt("let the team do it");
    const { events } = await onlyRun(rig);
    const ends = events.filter((it) => /^crew\.task\.(completed|failed|skipped|cancelled)$/.test(it.type));
    expect(Object.fromEntries(ends.map((it) => [it.taskId, it.type.slice(10)]))).toEqual({
      a: "completed",
      b: "failed",
      c: "completed",
      d: "skipped",
    });
    expect(events.at(-1)).toMatchObject({ type: "crew.run.failed", reason: "b failed" });
    expect(ofType(events, "crew.task.failed")[0]?.error?.message).toContain("no such thing");
    expect(rig.server.requests.at(-1)?.request.lastToolText).toContain("no such thing");
    await expectConsistent(rig);
  });

  it("ends all worker processes within three seconds of a cancel", async () => {
    const rig = await makeRig(
      (request) => {
        const step = stepOf(request);
        if (step === null) return { text: "main" };
        if (request.assistantTurns > 0) return { text: `${step} is done` };
        return step === "a" ? { text: "a is done" } : { tools: [{ name: "bash", args: { command: "sleep 1000" } }] };
      },
      { files: diamondFiles },
    );
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await say(host, '/team-run diamond "hang"');
    const sleeping = () =>
      processesWithEnvironment("FOREMAN_TEST_TAG", rig.agentFolder.tag).filter((it) =>
        it.command.includes("sleep 1000"),
      );
    await waitUntil(() => sleeping().length >= 2, 30_000);
    const { events: before } = await onlyRun(rig);
    const workers = ofType(before, "crew.subagent.spawned").map((event) => event.workerId);
    expect(workers.length).toBeGreaterThanOrEqual(3);
    const text = await say(host, "/team-cancel latest");
    expect(text).toContain("cancelled");
    // the command answers when the run has ended: nothing may be left from here on
    await expectGone(sleeping, 100);
    for (const worker of workers.slice(1))
      await expectGone(() => processesWithEnvironment("FOREMAN_WORKER", worker), 100);
    const { events } = await onlyRun(rig);
    expect(events.at(-1)).toMatchObject({ type: "crew.run.cancelled", reason: "cancelled by the user" });
    const asked = ofType(events, "crew.task.attempt_finished").filter((it) => it.outcome === "cancelled");
    expect(asked).toHaveLength(2);
    await expectConsistent(rig);
  });

  it("shows the same when state.json is gone", async () => {
    const rig = await makeRig(teamReplies({ action: "run", team: "diamond", goal: "build it" }), {
      files: diamondFiles,
    });
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.prompt("let the team do it");
    const { folder } = await onlyRun(rig);
    const before = await say(host, "/team-status latest");
    expect(before).toContain("completed");
    await rm(join(folder, "state.json"));
    expect(await say(host, "/team-status latest")).toBe(before);
    await writeFile(join(folder, "state.json"), "{ half");
    expect(await say(host, "/team-status latest")).toBe(before);
  });

  it("counts what happened: runs, tasks, tokens and cost as the model server sent them", async () => {
    const usage = { input: 1234, output: 321, cacheRead: 77 };
    const rig = await makeRig(
      teamReplies(
        { action: "run", team: "diamond", goal: "count" },
        {
          b: ({ assistantTurns }) =>
            assistantTurns < 2 ? { tools: [{ name: "bash", args: { command: "true" } }], usage } : { text: "b", usage },
        },
      ),
      { files: diamondFiles },
    );
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.prompt("let the team do it");
    const sent = rig.server.requests.filter((it) => stepOf(it.request) !== null);
    const sum = (kind: "input" | "output" | "cacheRead" | "cacheWrite") =>
      sent.reduce((total, it) => total + (it.usage?.[kind] ?? 0), 0);
    const cost = (sum("input") * 3 + sum("output") * 15 + sum("cacheRead") * 0.3) / 1e6;
    const { events } = await onlyRun(rig);
    const end = ofType(events, "crew.run.completed")[0];
    expect(end?.tokens).toBe(sum("input") + sum("output") + sum("cacheRead") + sum("cacheWrite"));
    expect(end?.costUsd).toBeCloseTo(cost, 10);
    const table = await say(host, "/team-metrics");
    const shown = (series: string) =>
      table
        .split("\n")
        .find((line) => line.startsWith(series))
        ?.slice(series.length)
        .trim();
    expect(shown("crew.run.count{status=completed,team=diamond}")).toBe("1");
    expect(shown("crew.task.count{status=completed,team=diamond,role=hand}")).toBe("4");
    expect(shown("crew.task.tokens_total{model=mock/mock-1}")?.replaceAll(",", "")).toBe(String(end?.tokens));
    expect(shown("crew.task.token_count{model=mock/mock-1,kind=cache_read}")).toBe(String(sum("cacheRead")));
    expect(shown("crew.task.cost_usd{model=mock/mock-1}")).toBe(`$${cost.toPrecision(2)}`);
    expect(table).toMatch(/crew\.run\.duration_ms\{team=diamond\}\s+count 1 /);
    const filtered = await say(host, "/team-metrics crew.task.*");
    expect(filtered).toContain("crew.task.count");
    expect(filtered).not.toContain("crew.run.count");
  });
});

describe("bad input", () => {
  it("is answered with a sentence that names it and what to do, and Pi goes on", async () => {
    const cyclic =
      "---\nname: loop\ndescription: d\n---\n\n## x\nrole: hand\ndependsOn: y\n\nSTEP:x\n\n## y\nrole: hand\ndependsOn: x\n\nSTEP:y\n";
    const rig = await makeRig(() => ({ text: "still here" }), {
      files: {
        ...diamondFiles,
        ".crew/workflows/loop.workflow.md": cyclic,
        ".crew/teams/loop.team.md":
          "---\nname: loop\ndescription: d\ndefaultWorkflow: loop\nroles:\n  hand: hand\n---\n",
        ".crew/agents/broken.md": "---\nname: broken\ndescription: [never closed\n---\nhello\n",
      },
    });
    const host = await rig.rpc({ extensions: [PACKAGE] });
    const unknown = await say(host, '/team-run nonsense "do it"');
    expect(unknown).toContain('"nonsense"');
    expect(unknown).toContain("fast-fix");
    const loop = await say(host, '/team-run loop "do it"');
    expect(loop).toMatch(/loop/);
    expect(loop).toMatch(/cycle|circle|x.*y.*x/i);
    const doctor = await say(host, "/team-doctor");
    expect(doctor).toMatch(/broken\.md:\d+/);
    expect(doctor).toMatch(/loop\.workflow\.md:\d+/);
    expect(await say(host, "/team-run")).toContain("Usage");
    expect(await say(host, "/team-run diamond")).toContain("Say what team diamond should do");
    expect(await say(host, "/team-status nothing")).toContain("/team-run");
    expect(await say(host, "/team-metrics none.*")).toContain("none.*");
    expect(await runIds(rig.agentFolder.project)).toEqual([]);
    await host.prompt("are you there?");
    expect(host.exited).toBeNull();
  });

  it("names the model that is missing", async () => {
    const rig = await makeRig(() => ({ text: "x" }), { files: diamondFiles });
    await rig.agentFolder.changeSettings({ defaultProvider: undefined, defaultModel: undefined });
    await writeFile(join(rig.agentFolder.agent, "models.json"), '{"providers":{}}');
    const host = await rig.rpc({ extensions: [PACKAGE] });
    const said = await say(host, '/team-run diamond "go"');
    expect(said).toMatch(/model/i);
    expect(said).toContain("/model");
    expect(await runIds(rig.agentFolder.project)).toEqual([]);
  });

  it("says so when .crew can't be a folder", async () => {
    const rig = await makeRig(() => ({ text: "x" }), { files: { ".crew": "a file in the way" } });
    const host = await rig.rpc({ extensions: [PACKAGE] });
    const said = await say(host, '/team-run fast-fix "go"');
    expect(said).toContain(".crew");
    expect(said).toMatch(/must be a real folder/);
    await chmod(rig.agentFolder.project, 0o755);
  });
});
