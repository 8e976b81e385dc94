import type { CrewEventFields, FailureKind } from "../events/crew-event.ts";
import { runAttempt } from "./attempt.ts";
import type { TaskEnding } from "./endings.ts";
import type { TaskSpec } from "./manifest.ts";
import type { RunLoopParts } from "./run-loop.ts";
import { type AttemptRecord, type TaskState, taskOf } from "./run-state.ts";

type EndedAttempt = Extract<AttemptRecord, { status: "ended" }>;
type RunningTask = Extract<TaskState, { status: "running" }>;

/** What follows an attempt that did not complete: another one after a delay, or the task's end. */
export type AfterFailure =
  /** Milliseconds. */
  | { again: number; failureKind: FailureKind }
  /** What its worker wants to know from its user before it can go on. */
  | { ask: string }
  | { giveUp: true; deadLetter: CrewEventFields["crew.task.deadletter"] | null };

/** Keeps a task that is given up on. False when that was not possible; the user was told why. */
export type RecordDeadLetter = (taskId: string, letter: CrewEventFields["crew.task.deadletter"]) => Promise<boolean>;

/**
 * A running task through all its attempts, to the way it ends; null when the run was released meanwhile. It goes by
 * the folded state, so that it continues where a former owner stopped: within an attempt, between two, or after the
 * last.
 */
export async function runTask(parts: RunLoopParts, spec: TaskSpec, stop: TaskStop): Promise<TaskEnding | null> {
  let toldAttempt: number | null = null;
  for (;;) {
    const task = taskOf(parts.run.state, spec.taskId);
    if (task?.status !== "running" || stop.kind() === "release") return null;
    const last = task.attempts.at(-1);
    if (last?.status === "running" || !last) await runAttempt(parts, spec, task.attempts, stop.beginAttempt());
    else if ((task.question || task.retry) && stop.kind() === null) await goOn(parts, spec, task, toldAttempt, stop);
    else {
      const ending = await afterAttempt(parts, spec, task, last, stop);
      if (ending) return ending;
      toldAttempt = last.attempt + 1;
    }
  }
}

/** How the run's owner ends what is under way. */
export interface TaskStop {
  kind(): "cancel" | "release" | null;
  /** What ends the attempt that begins now: a cancel, or `lost` when its worker is given up. */
  beginAttempt(): AbortSignal;
  /** Ends the wait for an answer: it is there, or the run stops. */
  answer(): AbortSignal;
  /** Lets others go on in its place, until it takes one again. */
  leaveSeat(): void;
  takeSeat(): Promise<void>;
  /** Ends a wait: cancelled or released. */
  halted: AbortSignal;
}

const CANCELLED: TaskEnding = { type: "crew.task.cancelled", status: "cancelled", error: null };

/** The task's end, or null when another attempt is due and told. */
async function afterAttempt(
  parts: RunLoopParts,
  spec: TaskSpec,
  task: RunningTask,
  last: EndedAttempt,
  stop: TaskStop,
): Promise<TaskEnding | null> {
  if (last.outcome === "completed") return { type: "crew.task.completed", status: "completed", error: null };
  if (stop.kind() === "cancel") return { ...CANCELLED, error: last.error };
  const next = parts.afterFailure(spec, task);
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
  if ("ask" in next) {
    const messageId = `q-${spec.taskId}-${last.attempt}`;
    const message = { direction: "from-worker" as const, from: spec.taskId, to: "user", text: next.ask };
    await parts.run.publisher.publish({ type: "crew.mailbox.message", ...place, messageId, ...message });
    return null;
  }
  // what is told has to be on disk; an owner who died in between keeps it once more, and that changes nothing
  if (next.deadLetter && (await parts.recordDeadLetter(spec.taskId, next.deadLetter)))
    await parts.run.publisher.publish({ type: "crew.task.deadletter", ...place, ...next.deadLetter });
  return { type: "crew.task.failed", status: "failed", error: last.error };
}

/** However long it takes: neither a worker nor a place among those at work is kept for it. */
async function answered({ run }: RunLoopParts, taskId: string, stop: TaskStop): Promise<void> {
  const signal = stop.answer();
  const task = taskOf(run.state, taskId);
  // it may have come before anybody waited
  if (task?.status === "running" && task.question !== null && !signal.aborted) {
    stop.leaveSeat();
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }
  await stop.takeSeat();
}

/** Milliseconds. Only of a delay that a former owner told is there no clock but the wall's, and that may have jumped. */
function waitLeft(
  { clock }: RunLoopParts,
  { nextAttempt, toldAt, delayMs }: { nextAttempt: number; toldAt: number; delayMs: number },
  toldAttempt: number | null,
): number {
  if (nextAttempt === toldAttempt) return delayMs;
  return Math.min(delayMs, Math.max(0, toldAt + delayMs - clock.now()));
}

/** Waits for what was told: the answer to a question, or the delay before the next attempt, and begins that. */
async function goOn(
  parts: RunLoopParts,
  spec: TaskSpec,
  task: RunningTask,
  toldAttempt: number | null,
  stop: TaskStop,
): Promise<void> {
  if (task.question || !task.retry) return await answered(parts, spec.taskId, stop);
  await parts.clock.sleep(waitLeft(parts, task.retry, toldAttempt), stop.halted);
  if (stop.kind() === null) await runAttempt(parts, spec, task.attempts, stop.beginAttempt());
}
