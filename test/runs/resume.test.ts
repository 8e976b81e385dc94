import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_CONFIG } from "../../src/host/config.ts";
import { runConfigOf } from "../../src/host/run-config.ts";
import type { RunManifest, TaskSpec } from "../../src/runs/manifest.ts";
import { nextSteps } from "../../src/runs/next-steps.ts";
import {
  continuedManifest,
  type EndedRun,
  lostTasks,
  redriveManifest,
  redrivenTasks,
  unfinishedTasks,
  withDoneSince,
} from "../../src/runs/resume.ts";
import { initialRunState, type RunState, type TaskState } from "../../src/runs/run-state.ts";
import { renderTaskPrompt } from "../../src/runs/task-prompt.ts";
import { manifestOf, taskSpec } from "./small-manifest.ts";

const NEW = {
  ...{ runId: "run-2", createdAt: "2024-01-02T00:00:00.000Z", sessionId: "s2", cwd: "/new" },
  config: runConfigOf({ ...DEFAULT_CONFIG, limits: { ...DEFAULT_CONFIG.limits, attemptTimeoutSec: 5 } }),
};

type EndStatus = "completed" | "failed" | "cancelled" | "skipped";

function ended(manifest: RunManifest, statuses: Record<string, EndStatus>): RunState {
  const state = initialRunState(manifest);
  const tasks = manifest.tasks.map(({ taskId }): TaskState => {
    const common = {
      taskId,
      attempts: [],
      tokens: 5,
      costUsd: 1,
      toolCalls: [],
      deadLetters: [],
      redrivenAs: [],
      checkpointSeq: 0,
      cancelAsked: null,
    };
    const end = { ...common, startedAt: 1, endedAt: 2, durationMs: 1, error: null };
    const status = statuses[taskId] ?? "completed";
    return status === "completed"
      ? { ...end, status, summary: `${taskId} of ${manifest.runId}`, artifacts: [], commit: null }
      : { ...end, status };
  });
  return { ...state, status: "failed", tasks };
}

const DIAMOND = manifestOf([
  taskSpec("a"),
  taskSpec("b", { dependsOn: ["a"] }),
  taskSpec("c", { dependsOn: ["a"] }),
  taskSpec("d", { dependsOn: ["b", "c"], task: "after {outputs.b} and {outputs.c}" }),
]);

/** Runs as they can end: a completed task's dependencies completed, or were optional. */
const endedRuns: fc.Arbitrary<EndedRun> = fc
  .array(fc.record({ deps: fc.array(fc.nat(20), { maxLength: 3 }), optional: fc.boolean(), luck: fc.nat(3) }), {
    minLength: 1,
    maxLength: 9,
  })
  .map((rows) => {
    const tasks: TaskSpec[] = [];
    const statuses: Record<string, EndStatus> = {};
    rows.forEach(({ deps, optional, luck }, at) => {
      const dependsOn = [...new Set(deps.filter((dep) => dep < at).map((dep) => `t${dep}`))];
      const fine = (id: string) =>
        statuses[id] === "completed" ||
        (tasks.find((task) => task.taskId === id)?.optional === true && statuses[id] !== "cancelled");
      const taskId = `t${at}`;
      tasks.push(taskSpec(taskId, { dependsOn, optional }));
      const own = (["completed", "completed", "failed", "cancelled"] as const)[luck] ?? "failed";
      statuses[taskId] = dependsOn.every(fine) ? own : "skipped";
    });
    const manifest = manifestOf(tasks);
    return { manifest, state: ended(manifest, statuses) };
  });

const idsOf = (manifest: RunManifest) => manifest.tasks.map((task) => task.taskId);
const completedOf = ({ state }: EndedRun) =>
  state.tasks.filter((task) => task.status === "completed").map((task) => task.taskId);

/** Plays the rest of a run in which everything now goes well; gives the tasks that were run, in order. */
function playedOut(manifest: RunManifest): string[] {
  let state = initialRunState(manifest);
  const ran: string[] = [];
  for (let turn = 0; turn < 50; turn++) {
    const steps = nextSteps(manifest, state, 10);
    if (steps.end) {
      expect(steps.end.status).toBe("completed");
      return ran;
    }
    expect(steps.start.length).toBeGreaterThan(0);
    for (const { taskId } of steps.start) {
      ran.push(taskId);
      const done = ended(manifest, {}).tasks.find((task) => task.taskId === taskId);
      state = { ...state, tasks: state.tasks.map((task) => (task.taskId === taskId && done ? done : task)) };
    }
  }
  throw new Error("the run never ends");
}

describe("a resumed run", () => {
  it("runs what did not complete, and nothing else, to its end", () => {
    fc.assert(
      fc.property(endedRuns, (old) => {
        const again = unfinishedTasks(old);
        const manifest = continuedManifest(old, again, NEW);
        const kept = Object.keys(manifest.kept);
        expect(kept.sort()).toEqual(completedOf(old).sort());
        expect([...kept, ...again].sort()).toEqual(idsOf(old.manifest).sort());
        expect(idsOf(manifest)).toEqual(idsOf(old.manifest));
        expect(playedOut(manifest).sort()).toEqual([...again].sort());
        // what had waited for a task that runs again runs again; what had gone on without it stays
        for (const task of old.manifest.tasks)
          for (const id of task.dependsOn)
            if (again.has(id) && !again.has(task.taskId))
              expect(old.manifest.tasks.find((it) => it.taskId === id)?.optional).toBe(true);
      }),
    );
  });

  it("begins with the kept tasks completed, for nothing, and hands their words on", () => {
    const old = { manifest: DIAMOND, state: ended(DIAMOND, { b: "failed", d: "skipped" }) };
    const manifest = continuedManifest(old, unfinishedTasks(old), NEW);
    expect(manifest).toMatchObject({ ...NEW, resumedFrom: "run-1", goal: DIAMOND.goal });
    const state = initialRunState(manifest);
    expect(state).toMatchObject({ status: "queued", tokens: 0, costUsd: 0 });
    expect(state.tasks.map((task) => task.status)).toEqual(["completed", "waiting", "completed", "waiting"]);
    expect(state.tasks[2]).toMatchObject({ attempts: [], tokens: 0, costUsd: 0, summary: "c of run-1" });
    const d = manifest.tasks[3];
    expect(d && renderTaskPrompt(manifest, d, state)).toContain("c of run-1");
  });

  it("does again what completed in a worktree without a commit, and all that depends on it", () => {
    const manifest = { ...DIAMOND, worktrees: { baseCommit: "0" } };
    const whole = ended(manifest, { d: "failed" });
    const tasks = whole.tasks.map((task) =>
      task.status === "completed" && task.taskId !== "c" ? { ...task, commit: `of ${task.taskId}` } : task,
    );
    const old = { manifest, state: { ...whole, tasks } };
    expect(lostTasks(old)).toEqual(["c"]);
    expect([...unfinishedTasks(old)]).toEqual(["c", "d"]);
    expect([...redrivenTasks(old, "d")].sort()).toEqual(["c", "d"]);
    expect(Object.keys(continuedManifest(old, unfinishedTasks(old), NEW).kept)).toEqual(["a", "b"]);
    const without = { ...old, state: { ...whole, tasks: whole.tasks.map((task) => ({ ...task })) } };
    expect(lostTasks(without)).toEqual(["a", "b", "c"]);
    expect([...unfinishedTasks(without)]).toEqual(["a", "b", "c", "d"]);
    expect(lostTasks({ ...old, manifest: DIAMOND })).toEqual([]);
  });

  it("names the run that did the work, also when it is resumed again", () => {
    const first = { manifest: DIAMOND, state: ended(DIAMOND, { b: "failed", c: "failed", d: "skipped" }) };
    const second = continuedManifest(first, unfinishedTasks(first), NEW);
    const old = { manifest: second, state: ended(second, { c: "failed", d: "skipped" }) };
    const third = continuedManifest(old, unfinishedTasks(old), { ...NEW, runId: "run-3" });
    expect(third.resumedFrom).toBe("run-2");
    expect(third.kept["a"]).toMatchObject({ fromRunId: "run-1", summary: "a of run-1" });
    expect(third.kept["b"]).toMatchObject({ fromRunId: "run-2", summary: "b of run-2" });
  });
});

describe("a redriven task", () => {
  it("runs with all that depends on it and all that this needs, and the rest is kept or left out", () => {
    fc.assert(
      fc.property(endedRuns, fc.nat(20), (old, pick) => {
        const ids = idsOf(old.manifest);
        const taskId = ids[pick % ids.length] as string;
        const again = redrivenTasks(old, taskId);
        const manifest = continuedManifest(old, again, NEW);
        expect(again.has(taskId)).toBe(true);
        for (const task of old.manifest.tasks)
          if (task.dependsOn.some((id) => again.has(id))) expect(again.has(task.taskId)).toBe(true);
        const kept = Object.keys(manifest.kept);
        expect(kept.sort()).toEqual(
          completedOf(old)
            .filter((id) => !again.has(id))
            .sort(),
        );
        expect(idsOf(manifest).sort()).toEqual([...kept, ...again].sort());
        expect(playedOut(manifest).sort()).toEqual([...again].sort());
      }),
    );
  });

  it("does again what completed with an answer that the log has lost, and what goes on with it", () => {
    const manifest = manifestOf([taskSpec("x"), taskSpec("y", { dependsOn: ["x"] }), taskSpec("z")]);
    const state = ended(manifest, { z: "failed" });
    const begun = { status: "running", attempt: 1, startedAt: 1, workerId: "w", workerKind: "pi", pid: null } as const;
    const tasks = state.tasks.map((task) => (task.taskId === "x" ? { ...task, attempts: [begun] } : task));
    const old = { manifest, state: { ...state, tasks } };
    expect([...unfinishedTasks(old)]).toEqual(["x", "y", "z"]);
    expect([...redrivenTasks(old, "z")]).toEqual(["z"]);
    expect(continuedManifest(old, redrivenTasks(old, "z"), NEW).kept).toEqual({});
  });

  it("is of a run as others have left it since: what they did is kept as theirs, what hangs on that as they left it", () => {
    const manifest = manifestOf([taskSpec("x"), taskSpec("y"), taskSpec("z", { dependsOn: ["x"] })]);
    const old = { manifest, state: ended(manifest, { x: "failed", y: "failed", z: "completed" }) };
    const next = continuedManifest(old, redrivenTasks(old, "x"), { ...NEW, runId: "run-2" });
    const half = { manifest: next, state: ended(next, { x: "completed", z: "failed" }) };
    const known = withDoneSince(old, [half]);
    expect(known.state.tasks.map(({ status }) => status)).toEqual(["completed", "failed", "failed"]);
    expect([...unfinishedTasks(known)].sort()).toEqual(["y", "z"]);
    expect(continuedManifest(known, unfinishedTasks(known), NEW).kept).toMatchObject({ x: { fromRunId: "run-2" } });
    const failed = { manifest: next, state: ended(next, { x: "failed", z: "skipped" }) };
    expect(withDoneSince(old, [failed])).toEqual(old);
    expect(withDoneSince(old, [half, failed]).state.tasks).toEqual(known.state.tasks);
  });

  it("leaves alone what failed beside it", () => {
    const manifest = manifestOf([taskSpec("x"), taskSpec("y"), taskSpec("z", { dependsOn: ["x"] })]);
    const old = { manifest, state: ended(manifest, { x: "failed", y: "failed", z: "skipped" }) };
    expect([...redrivenTasks(old, "x")].sort()).toEqual(["x", "z"]);
    expect(idsOf(continuedManifest(old, redrivenTasks(old, "x"), NEW))).toEqual(["x", "z"]);
  });

  it("is asked for in other words, of another model", () => {
    const agent = { ...{ name: "n", prompt: "p", thinking: null, tools: null }, models: ["m/1", "m/2"] };
    const whole = { ...agent, disallowedTools: [], skills: null, maxTurns: null };
    const manifest = manifestOf([taskSpec("x", { agent: whole }), taskSpec("y", { agent: whole })]);
    const changed = redriveManifest(manifest, "x", { prompt: "do it so", model: "m/3" });
    expect(changed.tasks[0]).toMatchObject({ task: "do it so", agent: { models: ["m/3"] } });
    expect(changed.tasks[1]).toEqual(manifest.tasks[1]);
    expect(redriveManifest(manifest, "x", { prompt: null, model: null })).toEqual(manifest);
  });
});
