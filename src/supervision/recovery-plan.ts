import { attemptUnderWay, isTerminal, type RunState } from "../runs/run-state.ts";
import { isSameProcess } from "../system/same-process.ts";
import type { Liveness } from "../system/world.ts";
import { isWorkerHeartbeatStale, type WorkerHeartbeatState } from "./heartbeat.ts";

/** Which runs were left behind by their owner, and what would become of their tasks. Pure. */

/** The worker of a task's attempt under way, from the attempt's folder. */
export interface WorkerFacts {
  taskId: string;
  attempt: number;
  /** By host, boot, pid namespace, pid and start time; `unknown` too where the attempt names no process. */
  process: Liveness;
  /** Its end is written, though nobody was there to put it into the run's log. */
  ended: boolean;
  heartbeat: WorkerHeartbeatState | null;
}

export interface RunFacts {
  state: RunState;
  lastEventSeq: number;
  /** Wall clock of the log's last event; milliseconds. */
  lastEventAt: number;
  /** The owner's process; `unknown` when there is no owner. */
  owner: Liveness;
  workers: readonly WorkerFacts[];
  /** Silence after which it is given up, as configured for it; milliseconds. */
  deadMs: number;
}

export interface RecoveryPlan {
  runId: string;
  /** Not ended, and nobody is at work on them: done on, or again, from a new attempt. */
  resumableTasks: string[];
  /** Ended: nothing of them is done again. */
  preservedTasks: string[];
  /** Their worker is at work, or its result lies there: followed, never started beside it. */
  adoptableTasks: string[];
  /** Those of them whose worker has ended. */
  endedTasks: string[];
  /** Attempts without a live worker; they end as lost and don't count as a try. */
  interruptedAttempts: { taskId: string; attempt: number }[];
  lastEventSeq: number;
  /** Why its user wanted it to end, before its owner could end it; null where nobody did. */
  cancelAsked: string | null;
  /**
   * Of the interruption. `owner-gone`: proved, or nobody ever took it. `silence`: the owner may be on another machine or
   * in another container, and is not heard of; such a run is never taken over without asking (rule L2).
   */
  proof: "owner-gone" | "silence";
}

/**
 * The interrupted ones among the project's runs: not ended, with an owner that is provably gone, or, where that can't
 * be proved, that has given no sign of life for its `deadMs`; and those that were made and that nobody ever took, for as
 * long. A worker that is alive does not hold up the recovery of a run whose owner is provably gone. A run that was let
 * go of is nobody's loss. `nowMs`: wall clock.
 */
export function detectInterruptedRuns(facts: readonly RunFacts[], nowMs: number): RecoveryPlan[] {
  return facts.flatMap((run): RecoveryPlan[] => {
    const { status, owner, releasedBy } = run.state;
    if (isTerminal(status) || run.owner === "alive") return [];
    if (owner === null) {
      const untaken = releasedBy === null && nowMs - run.lastEventAt >= run.deadMs;
      return untaken ? [planRecovery(run, nowMs)] : [];
    }
    if (run.owner === "dead") return [planRecovery(run, nowMs)];
    // an owner that waits for a slot is heard of through its other runs
    const owned = facts.filter(({ state }) => state.owner !== null && isSameProcess(state.owner, owner));
    return owned.every((it) => isSilent(it, nowMs, run.deadMs)) ? [planRecovery(run, nowMs)] : [];
  });
}

/** What a new owner would do. The three lists of tasks together are the run's tasks, each once, in their order. */
export function planRecovery({ state, lastEventSeq, owner, workers, deadMs }: RunFacts, nowMs: number): RecoveryPlan {
  const isAdoptable = (it: WorkerFacts) => it.ended || !isGone(it, nowMs, deadMs);
  const plan: RecoveryPlan = {
    runId: state.runId,
    resumableTasks: [],
    preservedTasks: [],
    adoptableTasks: [],
    endedTasks: [],
    interruptedAttempts: [],
    lastEventSeq,
    cancelAsked: state.cancelAsked,
    proof: state.owner === null || owner === "dead" ? "owner-gone" : "silence",
  };
  for (const task of state.tasks) {
    const { taskId } = task;
    const attempt = attemptUnderWay(task)?.attempt ?? null;
    if (isTerminal(task.status)) {
      plan.preservedTasks.push(taskId);
      continue;
    }
    const worker = workers.find((it) => it.taskId === taskId && it.attempt === attempt && isAdoptable(it));
    if (worker) {
      plan.adoptableTasks.push(taskId);
      if (worker.ended) plan.endedTasks.push(taskId);
    } else {
      plan.resumableTasks.push(taskId);
      if (attempt !== null) plan.interruptedAttempts.push({ taskId, attempt });
    }
  }
  return plan;
}

/** Times to come (a clock was set back) are signs of life. */
function isSilent({ lastEventAt, workers }: RunFacts, nowMs: number, deadMs: number): boolean {
  return (
    nowMs - lastEventAt >= deadMs && workers.every(({ heartbeat }) => isWorkerHeartbeatStale(heartbeat, deadMs, nowMs))
  );
}

/** Beside a worker that may be alive no other is started: what can't be proved is decided by its heartbeat. */
function isGone({ process, heartbeat }: WorkerFacts, nowMs: number, deadMs: number): boolean {
  return process === "dead" || (process === "unknown" && isWorkerHeartbeatStale(heartbeat, deadMs, nowMs));
}
