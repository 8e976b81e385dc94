import { existsSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import type { CrewEvent } from "../../src/events/crew-event.ts";
import { encodeEventLine } from "../../src/events/event-line.ts";
import { DEFAULT_CONFIG } from "../../src/host/config.ts";
import { runConfigOf } from "../../src/host/run-config.ts";
import { makeRig } from "../support/rig.ts";
import { eventsOf } from "../support/run-files.ts";
import { say } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const RUN = "20260101-000000-planted";
const INJECTED = "x; touch injected #";

const TASK = {
  ...{ role: "", taskType: "x", kind: "shell", task: "", command: "true", dependsOn: [], optional: false },
  ...{ timeoutSec: 60, retry: null, reads: [], output: [], verify: "", agent: null },
};

const COUNTS = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
const END = { team: "x", role: "", taskType: "x", durationMs: 1, attempts: 1, tokens: 0, costUsd: 0 };

/**
 * What a repository could bring along: a run of two tasks, the first done with what is no commit, the second not done.
 * `underWay`: the second is not at its end yet.
 */
function plant(project: string, underWay = false): string {
  const folder = join(project, ".crew/state/runs", RUN);
  mkdirSync(folder, { recursive: true });
  const tasks = [
    { ...TASK, taskId: "a" },
    { ...TASK, taskId: "b", dependsOn: ["a"], command: "echo merging {branches.a}" },
  ];
  const manifest = {
    ...{ schemaVersion: 1, runId: RUN, createdAt: "2026-01-01T00:00:00Z", goal: "x", team: "x", workflow: "x" },
    ...{ background: false, sessionId: "x", resumedFrom: null, cwd: project, maxConcurrency: 1, tasks },
    ...{ config: runConfigOf(DEFAULT_CONFIG), definitionHashes: {}, worktrees: null, kept: {} },
  };
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
  const owner = { hostId: "elsewhere", bootId: "b", pidNs: "n", pid: 1, processStart: "1", nonce: "n" };
  const place = { team: "x", role: "", stepName: "a", workerKind: "shell" };
  const events = [
    {
      type: "crew.run.created",
      epoch: 0,
      team: "x",
      workflow: "x",
      goal: "x",
      taskCount: 2,
      background: false,
      sessionId: "x",
    },
    { type: "crew.run.claimed", owner },
    { type: "crew.run.started", team: "x", workflow: "x" },
    { type: "crew.task.started", taskId: "a", ...place },
    { type: "crew.task.attempt_started", taskId: "a", attempt: 1, workerId: "w", workerKind: "shell" },
    {
      ...{ type: "crew.task.attempt_finished", taskId: "a", attempt: 1, outcome: "completed", durationMs: 1 },
      ...{ tokens: COUNTS, costUsd: 0, commit: INJECTED },
    },
    { type: "crew.task.completed", taskId: "a", status: "completed", ...END },
    { type: "crew.task.cancelled", taskId: "b", status: "cancelled", ...END },
    {
      ...{ type: "crew.run.cancelled", status: "cancelled", team: "x", workflow: "x", taskCount: 2, durationMs: 1 },
      ...{ tokens: 0, costUsd: 0 },
    },
  ].slice(0, underWay ? -2 : undefined);
  const lines = events.map((event, at) => {
    const ids = { traceId: "0".repeat(32), spanId: "0".repeat(16) };
    const envelope = { v: 1, seq: at + 1, epoch: 1, ts: 1, runId: RUN, ...ids };
    return encodeEventLine({ ...envelope, ...event } as unknown as CrewEvent);
  });
  writeFileSync(join(folder, "events.jsonl"), lines.join(""));
  return folder;
}

describe("a run that came with a repository", { timeout: 60_000 }, () => {
  it("adds nothing to the commands its user agreed to", async () => {
    const rig = await makeRig(() => ({ text: "hello" }), { git: true });
    const { project } = rig.agentFolder;
    plant(project);
    const asked: string[] = [];
    const host = await rig.rpc({
      extensions: [PACKAGE],
      answerDialog: ({ message }) => {
        asked.push(String(message));
        return { confirmed: true };
      },
    });
    const said = await say(host, `/team-resume ${RUN}`);
    expect(asked.join("\n"), said).toContain("b: shell echo merging {branches.a}");
    await host.waitFor(
      (event) => event.type === "message_end" && /completed|failed/.test(JSON.stringify(event)),
      30_000,
    );
    expect(existsSync(join(project, "injected"))).toBe(false);
  });

  it("leads no checkpoint out of its folder, or anybody's work into it", async () => {
    const rig = await makeRig(() => ({ text: "hello" }), { git: true });
    const { project, home } = rig.agentFolder;
    const folder = plant(project);
    const elsewhere = join(home, "elsewhere");
    mkdirSync(join(elsewhere, "a0001/checkpoints"), { recursive: true });
    const before = readdirSync(elsewhere, { recursive: true });
    mkdirSync(join(folder, "tasks"));
    symlinkSync(elsewhere, join(folder, "tasks/a"));
    const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
    for (const words of ["", " a", " a --take", " a --restore 1"])
      expect(await say(host, `/team-checkpoint ${RUN}${words}`), words).toContain("is not a real directory");
    for (const task of ["../../../../x", "/etc", "a/../a", "..", "a\u0000"])
      expect(await say(host, `/team-checkpoint ${RUN} ${task} --restore 1`), task).toContain("has no task");
    for (const run of ["../planted", "/tmp", `${RUN}/../${RUN}`])
      expect(await say(host, `/team-checkpoint ${run}`), run).toContain("No run is called");
    for (const number of ["0", "-1", "1e3", "../1", "99999999999"])
      expect(await say(host, `/team-checkpoint ${RUN} a --restore ${number}`), number).toContain("is no number");
    expect(readdirSync(elsewhere, { recursive: true })).toEqual(before);
  });
});

describe("a run whose owner is on another machine", { timeout: 60_000 }, () => {
  it("is gone on with, when its user wants it, only after a silence", async () => {
    const rig = await makeRig(() => ({ text: "hello" }));
    const { project } = rig.agentFolder;
    const log = join(plant(project, true), "events.jsonl");
    const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
    expect(await say(host, `/team-resume ${RUN}`)).toContain(
      `Run ${RUN} may still be driven by process 1 on another machine or in another container, which gave a sign of life in the last 5m 00s.`,
    );
    expect(await eventsOf(project, RUN)).toHaveLength(7);
    const then = Date.now() / 1000 - 6 * 60;
    utimesSync(log, then, then);
    // by then only what it would run keeps it
    expect(await say(host, `/team-resume ${RUN}`)).toContain("that you have not agreed to");
  });
});
