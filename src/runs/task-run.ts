import type { FailureKind } from "../events/crew-event.ts";
import { runAttempt } from "./attempt.ts";
import type { TaskSpec } from "./manifest.ts";
import type { RunLoopParts } from "./run-loop.ts";
import { type AttemptRecord, type TaskState, taskOf } from "./run-state.ts";
import type { TaskEnding } from "./task-end.ts";

type EndedAttempt = Extract<AttemptRecord, { status: "ended" }>;
type RunningTask = Extract<TaskState, { status: "running" }>;

/** What follows an attempt that did not complete: another one after a delay, or the task's end. */
export type AfterFailure =
  /** Milliseconds. */
  { again: number; failureKind: FailureKind } | { giveUp: true; deadLetter: boolean };

/**
 * A running task through all its attempts, to the way it ends; null when the run was released meanwhile. It goes by
 * the folded state, so that it continues where a former owner stopped: within an attempt, between two, or after the
 * last.
 */
export async function runTask(
  parts: RunLoopParts,
  spec: TaskSpec,
  signal: AbortSignal,
  stopped: () => "cancel" | "release" | null,
): Promise<TaskEnding | null> {
  for (;;) {
    const task = taskOf(parts.run.state, spec.taskId);
    if (task?.status !== "running" || stopped() === "release") return null;
    const last = task.attempts.at(-1);
    if (last?.status !== "ended") {
      await runAttempt(parts, spec, task.attempts, signal);
      continue;
    }
    const ending = await afterAttempt(parts, spec, task, last, stopped);
    if (ending) return ending;
    if (!(await waited(parts, spec, signal))) return stopped() === "cancel" ? CANCELLED : null;
    const waiting = taskOf(parts.run.state, spec.taskId);
    if (waiting?.status === "running") await runAttempt(parts, spec, waiting.attempts, signal);
  }
}

const CANCELLED: TaskEnding = { type: "crew.task.cancelled", status: "cancelled", error: null };

/** The task's end, or null when another attempt is due and told. */
async function afterAttempt(
  parts: RunLoopParts,
  spec: TaskSpec,
  task: RunningTask,
  last: EndedAttempt,
  stopped: () => "cancel" | "release" | null,
): Promise<TaskEnding | null> {
  if (last.outcome === "completed") return { type: "crew.task.completed", status: "completed", error: null };
  if (stopped() === "cancel") return { ...CANCELLED, error: last.error };
  if (task.retry) return null;
  const next = parts.afterFailure(spec, task.attempts);
  const place = { taskId: spec.taskId, attempt: last.attempt };
  if ("again" in next) {
    const { again: delayMs, failureKind } = next;
    await parts.run.publisher.publish({
      type: "crew.task.retry_attempt",
      ...place,
      nextAttempt: last.attempt + 1,
      delayMs,
      failureKind,
    });
    return null;
  }
  if (next.deadLetter && !task.deadLettered)
    await parts.run.publisher.publish({
      type: "crew.task.deadletter",
      ...place,
      reason: "max-retries",
      attempts: task.attempts.length,
      ...(last.error === null ? {} : { lastError: last.error }),
    });
  return { type: "crew.task.failed", status: "failed", error: last.error };
}

/** False when the wait was cut short. What is left of a delay told by a former owner is what is waited for. */
async function waited(parts: RunLoopParts, spec: TaskSpec, signal: AbortSignal): Promise<boolean> {
  const task = taskOf(parts.run.state, spec.taskId);
  if (task?.status !== "running" || !task.retry) return false;
  const { toldAt, delayMs } = task.retry;
  // the wall clock may have jumped either way since
  const left = Math.min(delayMs, Math.max(0, toldAt + delayMs - parts.clock.now()));
  await parts.clock.sleep(left, signal);
  return !signal.aborted;
}
