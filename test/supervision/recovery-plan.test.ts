import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CrewEvent, DECLINED_REASON, type NewEvent, type RunOwner } from "../../src/events/crew-event.ts";
import { applyEvent } from "../../src/runs/apply-event.ts";
import { initialRunState, type RunState } from "../../src/runs/run-state.ts";
import { answerStep, recoveryStep } from "../../src/supervision/recovery-decision.ts";
import {
  detectInterruptedRuns,
  planRecovery,
  type RecoveryPlan,
  type RunFacts,
  type WorkerFacts,
} from "../../src/supervision/recovery-plan.ts";
import { nodeProcesses } from "../../src/system/node-processes.ts";
import type { Liveness } from "../../src/system/world.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";

const NOW = 1_700_000_000_000;
const deadMs = 300_000;
const OWNER: RunOwner = { hostId: "h", bootId: "b", pidNs: "n", pid: 7, processStart: "1", nonce: "x" };

let seq = 0;
function apply(state: RunState, ...events: NewEvent[]): RunState {
  return events.reduce(
    (before, event) =>
      applyEvent(before, {
        v: 1,
        seq: ++seq,
        epoch: 1,
        ts: 0,
        runId: "",
        traceId: "",
        spanId: "",
        ...event,
      } as CrewEvent),
    state,
  );
}

const place = { team: "team", role: "hand", stepName: "s", workerKind: "shell" } as const;
const started = (taskId: string): NewEvent => ({ type: "crew.task.started", taskId, ...place });
const attemptStarted = (taskId: string, attempt: number): NewEvent => ({
  ...{ type: "crew.task.attempt_started", taskId, attempt, workerId: `w-${taskId}`, workerKind: "shell" },
});
const attemptFailed = (taskId: string, attempt: number): NewEvent => ({
  ...{ type: "crew.task.attempt_finished", taskId, attempt, outcome: "failed", durationMs: 1, costUsd: 0 },
  tokens: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
});
function taskEnd<S extends "completed" | "failed" | "skipped">(taskId: string, status: S): NewEvent {
  const end = { team: "t", role: "r", taskType: "t", durationMs: 1, attempts: 1, tokens: 0, costUsd: 0, status };
  return { type: `crew.task.${status}`, taskId, ...end } as unknown as NewEvent;
}

function runState(runId: string, tasks: readonly string[], owner: RunOwner | null = OWNER): RunState {
  const fresh = initialRunState(
    manifestOf(
      tasks.map((id) => taskSpec(id)),
      { runId },
    ),
  );
  const begun = apply(fresh, { type: "crew.run.started", team: "t", workflow: "w" });
  return owner === null ? begun : apply(begun, { type: "crew.run.claimed", owner });
}

function worker(taskId: string, changes: Partial<WorkerFacts> = {}): WorkerFacts {
  return { taskId, attempt: 1, process: "dead", ended: false, heartbeat: null, ...changes };
}

function facts(state: RunState, changes: Partial<RunFacts> = {}): RunFacts {
  return { state, lastEventSeq: 42, lastEventAt: NOW - deadMs, owner: "dead", workers: [], deadMs, ...changes };
}

const beat = (ageMs: number) => ({ workerId: "w", lastSeenAt: new Date(NOW - ageMs).toISOString() });
const detected = (...runs: RunFacts[]) => detectInterruptedRuns(runs, NOW).map(({ runId }) => runId);

describe("an interrupted run", () => {
  const state = apply(runState("r", ["a"]), started("a"), attemptStarted("a", 1));

  it("has an owner that is provably gone, whatever its workers do", () => {
    expect(detected(facts(state))).toEqual(["r"]);
    const alive = worker("a", { process: "alive", heartbeat: beat(0) });
    expect(detected(facts(state, { lastEventAt: NOW, workers: [alive] }))).toEqual(["r"]);
  });

  it("is not one whose owner lives, a background run's supervisor included, however silent it is", () => {
    expect(detected(facts(state, { owner: "alive", lastEventAt: 0 }))).toEqual([]);
  });

  it("is not one that ended, or was let go of", () => {
    const ended = apply(state, { type: "crew.run.cancelled", status: "cancelled" } as unknown as NewEvent);
    const released = apply(state, { type: "crew.run.released", reason: "reload" });
    expect(detected(facts(ended), facts(released, { owner: "unknown" }))).toEqual([]);
  });

  it("may not have begun: taken by who died before, or made and never taken", () => {
    const fresh = initialRunState(manifestOf([]));
    const taken = apply(fresh, { type: "crew.run.claimed", owner: OWNER });
    expect(detected(facts(taken))).toEqual(["run-1"]);
    const unowned = { owner: "unknown" } as const;
    expect(detected(facts(fresh, unowned))).toEqual(["run-1"]);
    expect(detected(facts(fresh, { ...unowned, lastEventAt: NOW - deadMs + 1 }))).toEqual([]);
  });

  it("is silent for as long as is configured for it", () => {
    const run = facts(state, { owner: "unknown", lastEventAt: NOW - 60_000 });
    expect(detected(run, { ...run, state: runState("s", ["a"], null), deadMs: 60_000 })).toEqual(["s"]);
    const impatient = { ...run, deadMs: 60_000 };
    expect(detected(impatient)).toEqual(["r"]);
    const beating = worker("a", { process: "unknown", heartbeat: beat(60_000) });
    expect(planRecovery({ ...run, workers: [beating] }, NOW).adoptableTasks).toEqual(["a"]);
    expect(planRecovery({ ...impatient, workers: [beating] }, NOW).adoptableTasks).toEqual([]);
  });

  it("row 15, the owner's pid now belongs to another process: the owner is gone", () => {
    const processes = nodeProcesses();
    const self = processes.self();
    if (!self.processStart) return;
    const before = { ...self, processStart: `${self.processStart}0` };
    expect(detected(facts(state, { owner: processes.alive(self) }))).toEqual([]);
    expect(detected(facts(state, { owner: processes.alive(before) }))).toEqual(["r"]);
  });

  it("row 16, the machine was started again: as gone as any", () => {
    // pid and start time may be equal by chance; the boot is what the processes port judges by
    expect(detectInterruptedRuns([facts(state, { lastEventAt: NOW })], NOW)[0]?.proof).toBe("owner-gone");
  });

  it("row 17, the owner is in another container: only after silence of workers and log, and never unasked", () => {
    const elsewhere = (changes: Partial<RunFacts>) => facts(state, { owner: "unknown", ...changes });
    expect(detected(elsewhere({ lastEventAt: NOW - deadMs + 1 }))).toEqual([]);
    expect(detected(elsewhere({ workers: [worker("a", { heartbeat: beat(deadMs - 1) })] }))).toEqual([]);
    expect(detected(elsewhere({ workers: [worker("a", { heartbeat: beat(-3_600_000) })] }))).toEqual([]);
    const silent = elsewhere({ workers: [worker("a", { process: "unknown", heartbeat: beat(deadMs) })] });
    const [run] = detectInterruptedRuns([silent], NOW);
    expect(run).toMatchObject({ proof: "silence", resumableTasks: ["a"] });
    const session = { autoRecover: false, canAsk: true, askedBefore: false };
    expect(recoveryStep(run as RecoveryPlan, session).kind).toBe("none");
    expect(recoveryStep(run as RecoveryPlan, { ...session, autoRecover: true }).kind).toBe("ask");
  });

  it("is not a run that waits for a slot while its owner, elsewhere, is heard of through another run", () => {
    const waiting = facts(runState("waiting", ["a"]), { owner: "unknown" });
    const busyState = runState("busy", ["a"], { ...OWNER, nonce: "y" });
    const busy = facts(busyState, { owner: "unknown", workers: [worker("a", { heartbeat: beat(1000) })] });
    expect(detected(waiting, busy)).toEqual([]);
    expect(detected(waiting)).toEqual(["waiting"]);
  });
});

describe("the plan", () => {
  it("keeps what ended, adopts who is at work or has a result, and takes up the rest", () => {
    const ids = ["done", "failed", "live", "finished", "dead", "between", "unsure", "silent", "ready", "waiting"];
    const begun = ["live", "finished", "dead", "between", "unsure", "silent"];
    const state = apply(
      runState("r", ids),
      ...begun.flatMap((id) => [started(id), attemptStarted(id, 1)]),
      ...[attemptFailed("between", 1), attemptFailed("live", 1), attemptStarted("live", 2)],
      ...[taskEnd("done", "completed"), taskEnd("failed", "failed")],
      { type: "crew.task.ready", taskId: "ready", ...place },
    );
    const plan = planRecovery(
      facts(state, {
        workers: [
          worker("live", { attempt: 2, process: "alive" }),
          worker("finished", { ended: true }),
          worker("dead"),
          // of an attempt that is over
          worker("between", { process: "alive" }),
          worker("unsure", { process: "unknown", heartbeat: beat(0) }),
          worker("silent", { process: "unknown", heartbeat: beat(deadMs) }),
        ],
      }),
      NOW,
    );
    expect(plan).toEqual({
      runId: "r",
      preservedTasks: ["done", "failed"],
      adoptableTasks: ["live", "finished", "unsure"],
      endedTasks: ["finished"],
      resumableTasks: ["dead", "between", "silent", "ready", "waiting"],
      interruptedAttempts: [
        { taskId: "dead", attempt: 1 },
        { taskId: "silent", attempt: 1 },
      ],
      lastEventSeq: 42,
      cancelAsked: null,
      proof: "owner-gone",
    });
  });

  it("row 23, a crash between the worker's end and its event: the result is adopted, nothing is run again", () => {
    const state = apply(runState("r", ["a"]), started("a"), attemptStarted("a", 1));
    const plan = planRecovery(facts(state, { workers: [worker("a", { process: "dead", ended: true })] }), NOW);
    expect(plan).toMatchObject({ adoptableTasks: ["a"], resumableTasks: [], interruptedAttempts: [] });
  });
});

const taskStory = fc.constantFrom(
  "waiting",
  "ready",
  "started",
  "running",
  "between",
  "completed",
  "failed",
  "skipped",
);
const liveness = fc.constantFrom<Liveness>("alive", "dead", "unknown");
const anyRun = fc
  .record({
    stories: fc.array(taskStory, { maxLength: 8 }),
    owner: liveness,
    lastEventAge: fc.integer({ min: -10, max: 2 * deadMs }),
    workers: fc.array(
      fc.record({
        process: liveness,
        ended: fc.boolean(),
        age: fc.integer({ min: 0, max: 2 * deadMs }),
        there: fc.boolean(),
      }),
      { minLength: 8, maxLength: 8 },
    ),
  })
  .map(({ stories, owner, lastEventAge, workers }): RunFacts => {
    const state = stories.reduce<RunState>(
      (before, story, n) => apply(before, ...toldOf(`t${n}`, story)),
      runState(
        "r",
        stories.map((_, n) => `t${n}`),
      ),
    );
    return facts(state, {
      owner,
      lastEventAt: NOW - lastEventAge,
      workers: workers.flatMap(({ process, ended, age, there }, n) =>
        there ? [worker(`t${n}`, { process, ended, heartbeat: beat(age) })] : [],
      ),
    });
  });

function toldOf(id: string, story: string): NewEvent[] {
  if (story === "waiting") return [];
  if (story === "ready") return [{ type: "crew.task.ready", taskId: id, ...place }];
  if (story === "completed" || story === "failed" || story === "skipped") return [started(id), taskEnd(id, story)];
  const attempt = story === "started" ? [] : [attemptStarted(id, 1)];
  return [started(id), ...attempt, ...(story === "between" ? [attemptFailed(id, 1)] : [])];
}

describe("any run", () => {
  it("is planned the same each time, with every task in exactly one list", () => {
    fc.assert(
      fc.property(anyRun, (run) => {
        const before = structuredClone(run);
        const plan = planRecovery(run, NOW);
        expect(planRecovery(run, NOW)).toEqual(plan);
        expect(run).toEqual(before);
        const all = [...plan.resumableTasks, ...plan.preservedTasks, ...plan.adoptableTasks];
        expect(all.sort()).toEqual(run.state.tasks.map(({ taskId }) => taskId).sort());
        for (const { taskId } of plan.interruptedAttempts) expect(plan.resumableTasks).toContain(taskId);
      }),
    );
  });

  it("is not interrupted any more once it was taken up or closed, and never when its owner lives", () => {
    fc.assert(
      fc.property(anyRun, fc.constantFrom("confirm", "decline" as const), (run, answer) => {
        const [found] = detectInterruptedRuns([run], NOW);
        expect(run.owner === "alive" && found !== undefined).toBe(false);
        if (!found) return;
        const step = answerStep(found, answer as "confirm" | "decline");
        const next: NewEvent[] = [{ type: "crew.run.claimed", owner: { ...OWNER, pid: 8 } }];
        if (step.kind === "resume") next.push({ type: "crew.run.resumed", ...step.resumed });
        if (step.kind === "close")
          next.push({ type: "crew.run.cancelled", reason: step.reason, status: "cancelled" } as never);
        const after = {
          ...run,
          state: apply(run.state, ...next),
          owner: step.kind === "resume" ? "alive" : "dead",
        } as const;
        expect(detectInterruptedRuns([after], NOW)).toEqual([]);
      }),
    );
  });
});

describe("the decision", () => {
  const plan = planRecovery(facts(runState("r", ["a"])), NOW);
  const session = { autoRecover: true, canAsk: true, askedBefore: false };

  it("row 21: one question per run and session; Esc and no UI change nothing", () => {
    expect(recoveryStep(plan, session).kind).toBe("ask");
    expect(answerStep(plan, "none").kind).toBe("none");
    expect(recoveryStep(plan, { ...session, askedBefore: true }).kind).toBe("none");
    expect(recoveryStep(plan, { ...session, canAsk: false }).kind).toBe("none");
    // what its user wanted to end is ended, and nobody asks about it
    const cancelled: RecoveryPlan = { ...plan, cancelAsked: "enough" };
    expect(recoveryStep(cancelled, session)).toMatchObject({ kind: "close", reason: "enough" });
    expect(recoveryStep({ ...cancelled, proof: "silence" }, session).kind).toBe("ask");
  });

  it("confirmed, goes on and says from where", () => {
    expect(answerStep(plan, "confirm")).toEqual({
      kind: "resume",
      plan,
      resumed: { recoveredFromSeq: 42, resumableTasks: ["a"], adoptedTasks: [] },
    });
  });

  it("row 22: declined, or unasked with autoRecover off, is closed with the reason that is counted", () => {
    const closed = { kind: "close", plan, reason: DECLINED_REASON };
    expect(answerStep(plan, "decline")).toEqual(closed);
    expect(recoveryStep(plan, { ...session, autoRecover: false })).toEqual(closed);
  });
});
