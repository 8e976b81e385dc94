import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CrewEvent, NewEvent } from "../../src/events/crew-event.ts";
import { applyEvent } from "../../src/runs/apply-event.ts";
import { initialRunState, isTerminal, type RunState, taskOf } from "../../src/runs/run-state.ts";
import { totalTokens } from "../../src/runs/usage.ts";
import { anyEvent } from "../events/any-event.ts";
import { manifestOf, taskSpec } from "./small-manifest.ts";

const MANIFEST = manifestOf([taskSpec("a"), taskSpec("b"), taskSpec("c")]);
const START = initialRunState(MANIFEST);

/** Mostly of the run's tasks, some of one it does not have. */
const events = fc.array(anyEvent(["a", "b", "c", "a", "b", "c", "stranger"]), { maxLength: 60 });

function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(frozen);
  }
  return value;
}

function at(ts: number, event: NewEvent): CrewEvent {
  return { v: 1, seq: 1, epoch: 1, ts, runId: "run-1", traceId: "", spanId: "", ...event } as CrewEvent;
}

const PLACE = { team: "t", role: "r", stepName: "s", workerKind: "pi" } as const;
const TOKENS = { input: 1, output: 20, cacheRead: 300, cacheWrite: 4000 };
const END = { team: "t", role: "r", taskType: "x", durationMs: 9, attempts: 1, tokens: 7, costUsd: 1 };

function fold(...steps: NewEvent[]): RunState {
  return steps.reduce((state, event, index) => applyEvent(state, at(100 + index, event)), START);
}

describe("the fold", () => {
  it("never throws, and never changes what it was given", () => {
    fc.assert(
      fc.property(events, (all) => {
        all.reduce((state, event) => frozen(applyEvent(state, frozen(event))), frozen(START));
      }),
      { numRuns: 300 },
    );
  });

  it("never leaves a terminal state", () => {
    fc.assert(
      fc.property(events, (all) => {
        all.reduce((before, event) => {
          const after = applyEvent(before, event);
          if (isTerminal(before.status)) {
            const { status, endedAt, reason, owner } = before;
            expect(after).toMatchObject({ status, endedAt, reason, owner });
          }
          // that it became a dead letter, or is done again, may be told after its end
          const notes = { deadLetters: [], redrivenAs: [] };
          for (const task of before.tasks)
            if (isTerminal(task.status))
              expect({ ...taskOf(after, task.taskId), ...notes }).toEqual({ ...task, ...notes });
          return after;
        }, START);
      }),
      { numRuns: 500 },
    );
  });

  it("counts an attempt for each one started, once, and sums what they used", () => {
    fc.assert(
      fc.property(events, (all) => {
        let state = START;
        const begun = new Map<string, Set<number>>();
        const used = new Map<string, { tokens: number; costUsd: number }>();
        for (const event of all) {
          const before = event.taskId === undefined ? undefined : taskOf(state, event.taskId);
          state = applyEvent(state, event);
          if (!before || isTerminal(before.status)) continue;
          const { taskId, attempt = 0 } = event as { taskId: string; attempt?: number };
          if (event.type === "crew.task.attempt_started")
            begun.set(taskId, (begun.get(taskId) ?? new Set()).add(attempt));
          const open = before.attempts.find((record) => record.attempt === attempt && record.status === "running");
          if (event.type === "crew.task.attempt_finished" && open) {
            const sum = used.get(taskId) ?? { tokens: 0, costUsd: 0 };
            used.set(taskId, {
              tokens: sum.tokens + totalTokens(event.tokens),
              costUsd: sum.costUsd + event.costUsd,
            });
          }
        }
        for (const task of state.tasks) {
          expect(task.attempts.map(({ attempt }) => attempt)).toEqual([...(begun.get(task.taskId) ?? [])]);
          expect(task).toMatchObject(used.get(task.taskId) ?? { tokens: 0, costUsd: 0 });
          const ended = task.attempts.filter((record) => record.status === "ended");
          expect(task.tokens).toBe(ended.reduce((sum, record) => sum + record.tokens, 0));
          expect(task.costUsd).toBe(ended.reduce((sum, record) => sum + record.costUsd, 0));
        }
        expect(state.tokens).toBe(state.tasks.reduce((sum, task) => sum + task.tokens, 0));
        expect(state.costUsd).toBe(state.tasks.reduce((sum, task) => sum + task.costUsd, 0));
      }),
      { numRuns: 500 },
    );
  });

  it("is the same after a stop at any place, through JSON", () => {
    fc.assert(
      fc.property(events, fc.nat(60), (all, stop) => {
        const whole = all.reduce(applyEvent, START);
        const half = JSON.parse(JSON.stringify(all.slice(0, stop).reduce(applyEvent, START))) as RunState;
        expect(all.slice(stop).reduce(applyEvent, half)).toEqual(whole);
      }),
    );
  });

  it("keeps the tasks in the manifest's order and adds none", () => {
    fc.assert(
      fc.property(events, (all) => {
        expect(all.reduce(applyEvent, START).tasks.map(({ taskId }) => taskId)).toEqual(["a", "b", "c"]);
      }),
    );
  });

  it("tells the story of a task", () => {
    const a1 = { taskId: "a", attempt: 1 } as const;
    const told = fold(
      { type: "crew.run.started", team: "t", workflow: "w" },
      { type: "crew.task.ready", taskId: "a", ...PLACE },
      { type: "crew.task.started", taskId: "a", ...PLACE },
      { type: "crew.task.attempt_started", ...a1, workerId: "w-1", workerKind: "pi" },
      { type: "crew.subagent.spawned", ...a1, workerId: "w-1", pid: 77, workerKind: "pi" },
      { type: "crew.task.progress", ...a1, tool: "bash", toolStatus: "running", text: "hm" },
      {
        type: "crew.task.attempt_finished",
        ...a1,
        outcome: "completed",
        durationMs: 5,
        tokens: TOKENS,
        costUsd: 0.5,
        summary: "all good",
      },
      { type: "crew.task.completed", taskId: "a", status: "completed", ...END },
    );
    expect(told).toMatchObject({ status: "running", startedAt: 100, tokens: 4321, costUsd: 0.5 });
    expect(taskOf(told, "a")).toMatchObject({
      status: "completed",
      startedAt: 102,
      endedAt: 107,
      durationMs: 9,
      summary: "all good",
      tokens: 4321,
      attempts: [{ attempt: 1, status: "ended", workerId: "w-1", pid: 77, startedAt: 103, endedAt: 106 }],
    });
  });

  it("takes the first of two ends, of two attempts alike and of two reports", () => {
    const a1 = { taskId: "a", attempt: 1 } as const;
    const finished = { ...a1, outcome: "failed", durationMs: 5, tokens: TOKENS, costUsd: 0.5 } as const;
    const told = fold(
      { type: "crew.task.started", taskId: "a", ...PLACE },
      { type: "crew.task.attempt_started", ...a1, workerId: "first", workerKind: "pi" },
      { type: "crew.task.attempt_started", ...a1, workerId: "second", workerKind: "pi" },
      { type: "crew.task.attempt_finished", ...finished },
      { type: "crew.task.attempt_finished", ...finished, outcome: "completed" },
      { type: "crew.task.failed", taskId: "a", status: "failed", ...END },
      { type: "crew.task.completed", taskId: "a", status: "completed", ...END },
      { type: "crew.task.attempt_started", taskId: "a", attempt: 2, workerId: "third", workerKind: "pi" },
    );
    expect(taskOf(told, "a")).toMatchObject({ status: "failed", tokens: 4321, endedAt: 105 });
    expect(taskOf(told, "a")?.attempts).toMatchObject([{ workerId: "first", outcome: "failed" }]);
  });

  it("tells a worker that is stuck from a dead one, and begins anew with who follows it", () => {
    const a1 = { taskId: "a", attempt: 1 } as const;
    const dead = { type: "crew.task.heartbeat_level", ...a1, level: "dead", stalenessMs: 1 } as const;
    const begun: NewEvent[] = [
      { type: "crew.task.started", taskId: "a", ...PLACE },
      { type: "crew.task.attempt_started", ...a1, workerId: "w", workerKind: "pi" },
    ];
    const level = (...told: NewEvent[]) => taskOf(fold(...begun, ...told), "a");
    const stuck = { ...dead, previousLevel: "stale", processAlive: true } as const;
    expect(level({ ...dead, previousLevel: "stale" })).toMatchObject({ level: "dead" });
    expect(level(stuck)).toMatchObject({ level: "stuck" });
    expect(level(stuck, { ...dead, previousLevel: "dead", processAlive: false })).toMatchObject({ level: "dead" });
    expect(level(stuck, { ...dead, previousLevel: "dead", level: "healthy" })).toMatchObject({ level: "healthy" });
    const adopted = { type: "crew.subagent.adopted", ...a1, workerId: "w", workerKind: "pi", pid: 7 } as const;
    expect(level(stuck, adopted)).toMatchObject({ level: "healthy", attempts: [{ pid: 7 }] });
  });

  it("knows who drives the run, and that nobody does", () => {
    const owner = { hostId: "h", bootId: "b", pidNs: "n", pid: 1, processStart: "1", nonce: "x" };
    expect(fold({ type: "crew.run.claimed", owner }).owner).toEqual(owner);
    expect(fold({ type: "crew.run.claimed", owner }, { type: "crew.run.released", reason: "quit" }).owner).toBeNull();
  });

  it("knows, while a run's new owner has it, that it was interrupted, until it goes on or is let go of", () => {
    const owner = { hostId: "h", bootId: "b", pidNs: "n", pid: 1, processStart: "1", nonce: "x" };
    const begun: NewEvent[] = [
      { type: "crew.run.started", team: "team", workflow: "flow" },
      { type: "crew.run.claimed", owner },
      { type: "crew.run.interrupted", reason: "owner-gone" },
    ];
    expect(fold(...begun)).toMatchObject({ status: "running", owner, reason: "owner-gone" });
    const lists = { resumableTasks: [], adoptedTasks: [] };
    const resumed: NewEvent = { type: "crew.run.resumed", recoveredFromSeq: 1, ...lists };
    expect(fold(...begun, resumed)).toMatchObject({ status: "running", owner, reason: null });
    const released = fold(...begun, { type: "crew.run.released", reason: "quit" });
    expect(released).toMatchObject({ owner: null, reason: null });
  });
});
