import { describe, expect, it } from "vitest";
import type { CrewEvent, NewEvent } from "../../src/events/crew-event.ts";
import { applyEvent } from "../../src/runs/apply-event.ts";
import type { RunManifest, TaskAgent } from "../../src/runs/manifest.ts";
import { initialRunState, type RunState } from "../../src/runs/run-state.ts";
import {
  branchOf,
  changesOfTask,
  inheritedCommits,
  inheritedFiles,
  withBranches,
  workNotes,
  worksApart,
  writes,
  wroteAlone,
} from "../../src/runs/work-trees.ts";
import { manifestOf, taskSpec } from "./small-manifest.ts";

const PLACE = { team: "team", role: "hand", stepName: "s", workerKind: "shell" as const };
const END = { team: "team", role: "hand", taskType: "work", durationMs: 1, attempts: 1, tokens: 0, costUsd: 0 };
const CHANGES = { locAdded: 1, locRemoved: 2, filesChanged: 3 };
const AGENT: TaskAgent = {
  ...{
    name: "a",
    prompt: "",
    models: [],
    thinking: null,
    tools: null,
    disallowedTools: [],
    skills: null,
    maxTurns: null,
  },
};

/** The state after what is told, one millisecond apart. */
function folded(manifest: RunManifest, ...events: NewEvent[]): RunState {
  const ids = { v: 1 as const, epoch: 1, runId: manifest.runId, traceId: "", spanId: "" };
  const apply = (state: RunState, event: NewEvent, index: number) =>
    applyEvent(state, { ...ids, seq: index + 1, ts: index + 1, ...event } as CrewEvent);
  return events.reduce(apply, initialRunState(manifest));
}

const begun = (taskId: string, attempt = 1): NewEvent[] => [
  { type: "crew.task.started", taskId, ...PLACE },
  { type: "crew.task.attempt_started", taskId, attempt, workerId: "w", workerKind: "shell" },
];

function ended(
  taskId: string,
  more: Partial<{ commit: string; outcome: "completed" | "failed" }> = {},
  attempt = 1,
): NewEvent {
  const tokens = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
  const fields = { outcome: "completed" as const, durationMs: 1, tokens, costUsd: 0, changes: CHANGES, ...more };
  return { type: "crew.task.attempt_finished", taskId, attempt, ...fields };
}

const completed = (taskId: string, artifacts: { name: string; path: string }[] = []): NewEvent => {
  const records = artifacts.map((it) => ({ ...it, bytes: 1, artifact_hash: "h" }));
  return { type: "crew.task.completed", taskId, status: "completed", ...END, artifacts: records };
};

const all = (taskId: string, commit?: string): NewEvent[] => [
  ...begun(taskId),
  ended(taskId, commit === undefined ? {} : { commit }),
  completed(taskId),
];

const EARLIER = "9".repeat(40);

describe("the trees of a run", () => {
  it("are apart for those that write, and for those that read what was written apart", () => {
    const reader = taskSpec("r", { kind: "pi", agent: { ...AGENT, tools: ["read", "Grep", "find", "ls"] } });
    const hand = taskSpec("w", { kind: "pi", agent: AGENT });
    expect([reader, hand, taskSpec("s")].map(writes)).toEqual([false, true, true]);
    const asked = { ...reader, agent: { ...AGENT, tools: ["read", "bash"], disallowedTools: ["bash"] } };
    expect(writes(asked)).toBe(false);
    const apart = manifestOf([], { worktrees: { baseCommit: "c0" } });
    expect([reader, hand].map((task) => worksApart(apart, task, []))).toEqual([false, true]);
    expect(worksApart(apart, reader, ["c1"])).toBe(true);
    expect(worksApart(apart, taskSpec("g", { kind: "git" }), ["c1"])).toBe(false);
    expect(worksApart(manifestOf([]), hand, ["c1"])).toBe(false);
  });

  it("begin with the commits before them, through steps that made none and those of a kept run", () => {
    const specs = [
      taskSpec("a"),
      taskSpec("b", { dependsOn: ["a"] }),
      taskSpec("c", { dependsOn: ["b", "a"] }),
      taskSpec("d", { dependsOn: ["c", "k"], command: "merge {branches.a} {branches.k} {branches.b}" }),
      taskSpec("k"),
    ];
    const kept = { k: { summary: "", artifacts: [], commit: EARLIER, model: null, fromRunId: "old" } };
    const manifest = manifestOf(specs, { worktrees: { baseCommit: "c0" }, kept });
    const state = folded(manifest, ...all("a", "c1"), ...all("b"), ...begun("c"), ended("c"), completed("c"));
    const [, , c, d] = specs.map((spec) => inheritedCommits(manifest, spec, state));
    expect(c).toEqual(["c1"]);
    expect(d).toEqual(["c1", EARLIER]);
    const command = withBranches(manifest, specs[3]?.command ?? "", state);
    expect(command).toBe(`merge ${branchOf("run-1", "a")} ${EARLIER} {branches.b}`);
    // records may come with a repository: what is no commit reaches no command
    const planted = { k: { ...kept.k, commit: "c9; touch injected" } };
    const hostile = manifestOf(specs, { worktrees: { baseCommit: "c0" }, kept: planted });
    expect(withBranches(hostile, "true {branches.k}", folded(hostile))).toBe("true {branches.k}");
  });

  it("show what is handed over, and what an earlier attempt has left", () => {
    const specs = [
      taskSpec("a", { output: ["plan.md"] }),
      taskSpec("b", { dependsOn: ["a"], reads: ["plan.md"], output: ["out/x"] }),
    ];
    const manifest = manifestOf(specs, { cwd: "/p" });
    const [a, b] = specs;
    if (!a || !b) throw new Error("two tasks");
    const path = "/p/.crew/state/runs/run-1/artifacts/plan.md";
    const done = [...begun("a"), ended("a"), completed("a", [{ name: "plan.md", path }])];
    const state = folded(manifest, ...done, ...begun("b"), ended("b", { outcome: "failed" }));
    expect(inheritedFiles(b, state).map((file) => file.path)).toEqual([path]);
    const notes = workNotes(manifest, b, state);
    expect(notes).toContain("- plan.md: .crew/state/runs/run-1/artifacts/plan.md\n");
    expect(notes).toContain("- out/x");
    expect(notes).toContain("Attempt 1 at this task ended without completing it.");
    const apart = { ...manifest, worktrees: { baseCommit: "c0" } };
    expect(workNotes(apart, b, state)).not.toContain("Attempt 1");
    expect(workNotes(manifest, taskSpec("c"), state)).toBe("");
  });

  it("have changes of one task's own only while no other writes there", () => {
    const manifest = manifestOf([taskSpec("a"), taskSpec("b")]);
    const [a, b] = manifest.tasks;
    if (!a || !b) throw new Error("two tasks");
    const alone = folded(manifest, ...all("a"), ...begun("b"));
    expect(wroteAlone(manifest, b, 1, alone)).toBe(true);
    const together = folded(manifest, ...begun("a"), ...begun("b"));
    expect([wroteAlone(manifest, a, 1, together), wroteAlone(manifest, b, 1, together)]).toEqual([false, false]);
    // one that ended in between was there too
    const overlapped = folded(manifest, ...begun("a"), ...begun("b"), ended("a"), completed("a"));
    expect(wroteAlone(manifest, b, 1, overlapped)).toBe(false);
    expect(wroteAlone(manifest, { ...b, kind: "git" }, 1, alone)).toBe(false);
    const apart = { ...manifest, worktrees: { baseCommit: "c0" } };
    expect(wroteAlone(apart, a, 1, together)).toBe(true);
  });

  it("count all attempts in one tree, and the last where each begins anew", () => {
    const manifest = manifestOf([taskSpec("a")]);
    const state = folded(
      manifest,
      ...begun("a"),
      ended("a", { outcome: "failed" }),
      ...begun("a", 2).slice(1),
      ended("a", {}, 2),
    );
    expect(changesOfTask(manifest, "a", state)).toEqual({ locAdded: 2, locRemoved: 4, filesChanged: 6 });
    const apart = { ...manifest, worktrees: { baseCommit: "c0" } };
    expect(changesOfTask(apart, "a", state)).toEqual(CHANGES);
    const { changes: _none, ...unmeasured } = ended("a", {}, 2) as { changes?: unknown } & NewEvent;
    const partly = folded(manifest, ...begun("a"), ended("a"), ...begun("a", 2).slice(1), unmeasured as NewEvent);
    expect(changesOfTask(manifest, "a", partly)).toBeNull();
    expect(changesOfTask(manifest, "a", folded(manifest))).toBeNull();
  });
});
