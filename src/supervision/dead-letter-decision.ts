import type { CrewEventFields } from "../events/crew-event.ts";
import type { DeadLetterReason, TaskState } from "../runs/run-state.ts";
import { HEARTBEAT_DEAD } from "./failure-kind.ts";
import type { GiveUpReason } from "./retry-policy.ts";

/** When a task becomes a dead letter, and when there are too many. Pure. */

/** What happened: an attempt failed and no other is made, or the user asked. */
export type DeadLetterOccasion = { kind: "gave-up"; reason: GiveUpReason } | { kind: "manual" };

/**
 * The entry that is due, or null. `written` are the triggers of this task's entries so far, discarded ones included:
 * there is one entry per task and trigger, ever, also when an owner died between writing it and ending the task. One
 * failure has one trigger: a task whose last attempt was lost for its heartbeat is `heartbeat-dead`, not `max-retries`
 * besides.
 */
export function dueDeadLetter(
  task: TaskState,
  occasion: DeadLetterOccasion,
  written: readonly DeadLetterReason[],
): CrewEventFields["crew.task.deadletter"] | null {
  const reason = triggerOf(task, occasion);
  if (reason === null || written.includes(reason)) return null;
  const error = lastErrorOf(task);
  return { reason, attempts: task.attempts.length, ...(error === null ? {} : { lastError: error }) };
}

function triggerOf(task: TaskState, occasion: DeadLetterOccasion): DeadLetterReason | null {
  if (occasion.kind === "manual") return task.status === "failed" ? "manual" : null;
  const last = task.attempts.at(-1);
  if (last?.status !== "ended") return null;
  if (last.outcome === "lost" && last.error?.kind === HEARTBEAT_DEAD) return "heartbeat-dead";
  return occasion.reason === "max-retries" ? "max-retries" : null;
}

function lastErrorOf(task: TaskState) {
  const last = task.attempts.at(-1);
  const attemptError = last?.status === "ended" ? last.error : null;
  return attemptError ?? ("error" in task ? task.error : null);
}

/** The last dead letters of a run, as many as the alert needs. */
export interface DeadLetterRate {
  /** Times of events, oldest first; milliseconds. */
  times: readonly number[];
  alertedAt: number | null;
}

export const NO_DEAD_LETTERS: DeadLetterRate = Object.freeze({ times: Object.freeze([]), alertedAt: null });

const windowMs = 3_600_000;

/**
 * Counts one more, in the order of their `ts`: `alert` when more than `threshold` fell into one hour, at most once an
 * hour.
 */
export function countDeadLetter(
  rate: DeadLetterRate,
  ts: number,
  threshold: number,
): { rate: DeadLetterRate; alert: boolean } {
  const { alertedAt } = rate;
  const times = [...rate.times, ts].slice(-(threshold + 1));
  const recent = times.filter((time) => ts - time < windowMs).length;
  const alert = recent > threshold && (alertedAt === null || ts - alertedAt >= windowMs);
  return { rate: { times, alertedAt: alert ? ts : alertedAt }, alert };
}

export function deadLetterAlertId(runId: string): string {
  return `deadletter_threshold_${runId}`;
}
