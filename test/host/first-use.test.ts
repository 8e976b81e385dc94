import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import type { CrewEvent } from "../../src/events/crew-event.ts";
import { encodeEventLine } from "../../src/events/event-line.ts";
import { DEFAULT_CONFIG } from "../../src/host/config.ts";
import { runConfigOf } from "../../src/host/run-config.ts";
import { diamondFiles, stepOf } from "../support/diamond-team.ts";
import { makeRig } from "../support/rig.ts";
import { eventsOf, runIds } from "../support/run-files.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

describe("the first use", () => {
  it("may be several at once: the host's loader does not bear two imports of one module under way", async () => {
    const call = (goal: string) => ({ name: "team", args: { action: "run", team: "diamond", goal } });
    const rig = await makeRig(
      (request) => {
        if (stepOf(request) !== null) return { text: "done" };
        if (request.assistantTurns > 0) return { text: "both are done" };
        return { tools: [call("one"), call("two"), { name: "team", args: { action: "list" } }] };
      },
      // what checks a setting is one more import
      { files: { ...diamondFiles, ".crew/config.json": '{"limits":{"maxParallelAttempts":2}}' } },
    );
    const host = await rig.rpc({ extensions: [PACKAGE] });
    const commands = ["/team-doctor", "/team-status", "/team-metrics", "/team-status latest"].map((text) =>
      host.command(text),
    );
    await Promise.all([host.prompt("go"), ...commands]);
    const errors = host.events.filter((event) => event.type === "tool_execution_end" && event["isError"]);
    expect(errors).toEqual([]);
    const ids = await runIds(rig.agentFolder.project);
    expect(ids).toHaveLength(2);
    for (const id of ids) expect((await eventsOf(rig.agentFolder.project, id)).at(-1)?.type).toBe("crew.run.completed");
  });
});

describe("a run that came with a repository", () => {
  it("is never executed: neither after a replacement nor at a start", async () => {
    const rig = await makeRig(() => ({ text: "x" }), { files: diamondFiles });
    const { project, agent } = rig.agentFolder;
    await writeFile(join(agent, "crew.json"), JSON.stringify({ reliability: { autoRecover: true } }));
    await plant(project);
    const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
    await host.command("/team-status latest");
    await host.send({ type: "new_session" });
    await host.command("/team-status");
    await host.prompt("are you there?");
    expect(rig.server.requests.filter(({ request }) => stepOf(request) !== null)).toEqual([]);
    expect((await eventsOf(project, "20260101-000000-planted")).at(-1)?.type).toBe("crew.run.released");
  });
});

/** What an attacker could commit: a whole and well-formed run, let go of by its owner. */
async function plant(project: string): Promise<void> {
  const runId = "20260101-000000-planted";
  const folder = join(project, ".crew/state/runs", runId);
  await mkdir(folder, { recursive: true });
  const agent = {
    name: "x",
    prompt: "x",
    models: ["mock/mock-1"],
    thinking: null,
    tools: ["bash"],
    disallowedTools: [],
    skills: null,
    maxTurns: null,
  };
  const task = {
    taskId: "a",
    role: "x",
    taskType: "x",
    kind: "pi",
    task: "STEP:a",
    command: "",
    dependsOn: [],
    optional: false,
    timeoutSec: 60,
    retry: null,
    reads: [],
    output: [],
    verify: "",
    agent,
  };
  const manifest = {
    schemaVersion: 1,
    runId,
    createdAt: "2026-01-01T00:00:00Z",
    goal: "x",
    team: "x",
    workflow: "x",
    background: false,
    sessionId: "x",
    resumedFrom: null,
    cwd: project,
    maxConcurrency: 1,
    config: runConfigOf(DEFAULT_CONFIG),
    tasks: [task],
    definitionHashes: {},
    worktrees: null,
    kept: {},
  };
  await writeFile(join(folder, "manifest.json"), JSON.stringify(manifest));
  const owner = { hostId: "elsewhere", bootId: "b", pidNs: "n", pid: 1, processStart: "1", nonce: "n" };
  const ids = { traceId: "0".repeat(32), spanId: "0".repeat(16) };
  const events = [
    {
      type: "crew.run.created",
      epoch: 0,
      team: "x",
      workflow: "x",
      goal: "x",
      taskCount: 1,
      background: false,
      sessionId: "x",
    },
    { type: "crew.run.claimed", epoch: 1, owner },
    { type: "crew.run.started", epoch: 1, team: "x", workflow: "x" },
    { type: "crew.run.released", epoch: 1, reason: "x" },
  ].map((event, at) => ({ v: 1, seq: at + 1, ts: 1, runId, ...ids, ...event }) as unknown as CrewEvent);
  await writeFile(join(folder, "events.jsonl"), events.map(encodeEventLine).join(""));
}
