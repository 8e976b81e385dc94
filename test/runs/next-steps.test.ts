import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CrewEvent, NewEvent } from "../../src/events/crew-event.ts";
import { applyEvent } from "../../src/runs/apply-event.ts";
import type { RunManifest } from "../../src/runs/manifest.ts";
import { nextSteps, readyTasks } from "../../src/runs/next-steps.ts";
import { initialRunState, isTerminal, type RunState, taskOf } from "../../src/runs/run-state.ts";
import { manifestOf, taskSpec } from "./small-manifest.ts";

/** Any graph without a cycle: a task depends on earlier ones only, and the manifest lists them in any order. */
const graph = fc
  .integer({ min: 0, max: 9 })
  .chain((size) =>
    fc.record({
      tasks: fc.tuple(
        ...Array.from({ length: size }, (_, index) =>
          fc.record({
            dependsOn: fc.subarray(Array.from({ length: index }, (_none, before) => `t${before}`)),
            optional: fc.boolean(),
            fails: fc.boolean(),
          }),
        ),
      ),
      order: fc.shuffledSubarray(
        Array.from({ length: size }, (_, index) => index),
        { minLength: size, maxLength: size },
      ),
      maxConcurrency: fc.integer({ min: 1, max: 4 }),
      slots: fc.integer({ min: 1, max: 5 }),
      /** Which of those under way ends next. */
      luck: fc.infiniteStream(fc.nat()),
    }),
  )
  .map(({ tasks, order, maxConcurrency, slots, luck }) => {
    const specs = tasks.map(({ dependsOn, optional }, index) => taskSpec(`t${index}`, { dependsOn, optional }));
    const manifest = manifestOf(
      order.map((index) => specs[index] ?? taskSpec("none")),
      { maxConcurrency },
    );
    return {
      manifest,
      slots,
      luck,
      failing: new Set(tasks.flatMap(({ fails }, index) => (fails ? [`t${index}`] : []))),
    };
  });

let seq = 0;
function apply(state: RunState, event: NewEvent): RunState {
  return applyEvent(state, {
    v: 1,
    seq: ++seq,
    epoch: 1,
    ts: 0,
    runId: "run-1",
    traceId: "",
    spanId: "",
    ...event,
  } as CrewEvent);
}

function endTask(state: RunState, taskId: string, status: "completed" | "failed" | "skipped" | "cancelled"): RunState {
  const fields = { team: "", role: "", taskType: "", durationMs: 0, attempts: 0, tokens: 0, costUsd: 0 };
  return apply(state, { type: `crew.task.${status}`, taskId, status, ...fields } as NewEvent);
}

function start(state: RunState, taskId: string): RunState {
  return apply(state, { type: "crew.task.started", taskId, team: "", role: "", stepName: "", workerKind: "shell" });
}

function runningIn(state: RunState): string[] {
  return state.tasks.filter(({ status }) => status === "running").map(({ taskId }) => taskId);
}

/** What a task may start after, said in another way than the code says it. */
function mayStart(manifest: RunManifest, state: RunState, dependsOn: readonly string[]): boolean {
  return dependsOn.every((id) => {
    const status = taskOf(state, id)?.status;
    const optional = manifest.tasks.find(({ taskId }) => taskId === id)?.optional;
    return status === "completed" || (optional && (status === "failed" || status === "skipped"));
  });
}

describe("what comes next", () => {
  it("holds for any graph, with any failures, under any limits", () => {
    fc.assert(
      fc.property(graph, ({ manifest, slots, luck, failing }) => {
        let state = initialRunState(manifest);
        const startedOnce = new Set<string>();
        for (let turn = 0; ; turn++) {
          expect(turn, "it always ends").toBeLessThan(100);
          const before = runningIn(state).length;
          const steps = nextSteps(manifest, state, slots - before);
          if (steps.end) {
            expect(state.tasks.every(({ status }) => isTerminal(status))).toBe(true);
            const lost = manifest.tasks.some(
              (spec) => !spec.optional && failing.has(spec.taskId) && startedOnce.has(spec.taskId),
            );
            expect(steps.end.status).toBe(lost ? "failed" : "completed");
            break;
          }
          for (const { task } of steps.skip) {
            expect(taskOf(state, task.taskId)?.status).toBe("waiting");
            state = endTask(state, task.taskId, "skipped");
          }
          for (const spec of steps.start) {
            expect(mayStart(manifest, state, spec.dependsOn), `${spec.taskId} too early`).toBe(true);
            expect(startedOnce.has(spec.taskId), `${spec.taskId} twice`).toBe(false);
            startedOnce.add(spec.taskId);
            state = start(state, spec.taskId);
          }
          const under = runningIn(state);
          expect(under.length).toBeLessThanOrEqual(Math.min(manifest.maxConcurrency, slots));
          // nothing startable is left lying while there is room
          const room = Math.min(manifest.maxConcurrency, slots) - under.length;
          if (room > 0 && steps.skip.length === 0) expect(readyTasks(manifest, state)).toEqual([]);
          if (under.length === 0) continue;
          const ended = under[Number(luck.next().value) % under.length] as string;
          state = endTask(state, ended, failing.has(ended) ? "failed" : "completed");
        }
        // whoever did not run was skipped for a reason
        for (const spec of manifest.tasks)
          if (!startedOnce.has(spec.taskId)) {
            expect(taskOf(state, spec.taskId)?.status).toBe("skipped");
            expect(mayStart(manifest, state, spec.dependsOn)).toBe(false);
          }
      }),
      { numRuns: 1000 },
    );
  });

  it("starts nothing when there is no slot, and says what is ready all the same", () => {
    const manifest = manifestOf([taskSpec("a"), taskSpec("b", { dependsOn: ["a"] })]);
    for (const free of [0, -3]) {
      const steps = nextSteps(manifest, initialRunState(manifest), free);
      expect(steps).toMatchObject({ start: [], skip: [], end: null });
      expect(steps.ready.map(({ taskId }) => taskId)).toEqual(["a"]);
    }
  });

  it("tells a task ready once", () => {
    const manifest = manifestOf([taskSpec("a")]);
    const ready = apply(initialRunState(manifest), {
      type: "crew.task.ready",
      taskId: "a",
      team: "",
      role: "",
      stepName: "",
      workerKind: "shell",
    });
    expect(nextSteps(manifest, ready, 1).ready).toEqual([]);
    expect(nextSteps(manifest, ready, 1).start).toHaveLength(1);
  });

  it("skips what depends on a failure, and what depends on that", () => {
    const manifest = manifestOf([
      taskSpec("a"),
      taskSpec("b", { dependsOn: ["a"] }),
      taskSpec("c", { dependsOn: ["b"] }),
    ]);
    let state = endTask(start(initialRunState(manifest), "a"), "a", "failed");
    expect(nextSteps(manifest, state, 9).skip).toMatchObject([{ task: { taskId: "b" }, because: "a failed" }]);
    state = endTask(state, "b", "skipped");
    expect(nextSteps(manifest, state, 9).skip).toMatchObject([{ task: { taskId: "c" }, because: "b skipped" }]);
    state = endTask(state, "c", "skipped");
    expect(nextSteps(manifest, state, 9).end).toEqual({ status: "failed", reason: "a failed" });
  });

  it("goes on after an optional failure, and the run is completed", () => {
    const manifest = manifestOf([taskSpec("a", { optional: true }), taskSpec("b", { dependsOn: ["a"] })]);
    let state = endTask(start(initialRunState(manifest), "a"), "a", "failed");
    expect(nextSteps(manifest, state, 9).start).toMatchObject([{ taskId: "b" }]);
    state = endTask(start(state, "b"), "b", "completed");
    expect(nextSteps(manifest, state, 9).end).toEqual({ status: "completed", reason: null });
  });

  it("never calls a run completed whose task was cancelled: its owner may have died before it said so", () => {
    const manifest = manifestOf([taskSpec("a"), taskSpec("b", { dependsOn: ["a"] }), taskSpec("c")]);
    let state = endTask(initialRunState(manifest), "a", "cancelled");
    state = endTask(start(state, "c"), "c", "completed");
    expect(nextSteps(manifest, state, 9).skip).toMatchObject([{ task: { taskId: "b" }, because: "a cancelled" }]);
    state = endTask(state, "b", "skipped");
    expect(nextSteps(manifest, state, 9).end?.status).toBe("cancelled");
  });

  it("ends a run without tasks", () => {
    const manifest = manifestOf([]);
    expect(nextSteps(manifest, initialRunState(manifest), 1).end).toEqual({ status: "completed", reason: null });
  });
});
