import type { EventError, NewEvent } from "../events/crew-event.ts";
import type { RunManifest, TaskSpec } from "./manifest.ts";
import type { RunState, TaskState } from "./run-state.ts";

export type TaskEnding = { error: EventError | null } & (
  | { type: "crew.task.completed"; status: "completed" }
  | { type: "crew.task.failed"; status: "failed" }
  | { type: "crew.task.cancelled"; status: "cancelled" }
  | { type: "crew.task.skipped"; status: "skipped" }
);

/**
 * When work ended, between its start and now: the clock may have been set, and records may come from another machine.
 * Milliseconds, wall clock.
 */
export function workEndOf(finishedAt: number, startedAt: number, now: number): number {
  return Math.max(startedAt, Math.min(finishedAt, now));
}

/**
 * The event that tells a task's end, with all its attempts counted in. Its time ends with its last attempt's work: until
 * somebody notices that, or is able to write it down, nothing is done. Pure.
 */
export function taskEndEvent(
  manifest: RunManifest,
  spec: TaskSpec,
  task: TaskState,
  ending: TaskEnding,
  now: number,
): NewEvent {
  const { type, status, error } = ending;
  const last = task.attempts.at(-1);
  const ended = last?.status === "ended" ? last : null;
  const startedAt = "startedAt" in task ? task.startedAt : null;
  const finishedAt = startedAt === null ? null : workEndOf(ended?.endedAt ?? now, startedAt, now);
  return {
    // type and status come from one member of the union; spread apart, TypeScript forgets that
    ...({ type, status } as { type: "crew.task.failed"; status: "failed" }),
    taskId: spec.taskId,
    team: manifest.team,
    role: spec.role,
    taskType: spec.taskType,
    durationMs: startedAt === null || finishedAt === null ? 0 : finishedAt - startedAt,
    ...(finishedAt === null ? {} : { finishedAt }),
    attempts: task.attempts.length,
    tokens: task.tokens,
    costUsd: task.costUsd,
    ...(ended?.model == null ? {} : { model: ended.model }),
    ...(status === "completed" && ended ? { artifacts: [...ended.artifacts] } : {}),
    ...(error === null ? {} : { error }),
  };
}

/** The event that tells a run's end, with all its tasks counted in. Pure. */
export function runEndEvent(
  manifest: RunManifest,
  state: RunState,
  { status, reason }: { status: "completed" | "failed" | "cancelled"; reason: string | null },
  now: number,
): NewEvent {
  const fields = {
    team: manifest.team,
    workflow: manifest.workflow,
    taskCount: state.tasks.length,
    // the wall clock may have been set back meanwhile
    durationMs: state.startedAt === null ? 0 : Math.max(0, now - state.startedAt),
    tokens: state.tokens,
    costUsd: state.costUsd,
    ...(reason === null ? {} : { reason }),
  };
  if (status === "cancelled") return { type: "crew.run.cancelled", status, ...fields };
  if (status === "failed") return { type: "crew.run.failed", status, ...fields };
  return { type: "crew.run.completed", status, ...fields };
}
