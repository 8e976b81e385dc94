import type { RunManifest } from "../runs/manifest.ts";
import type { RunState, TaskState } from "../runs/run-state.ts";

export interface CriticalPath {
  /** In the order they ran. */
  taskIds: readonly string[];
  /** Milliseconds in which one of them ran; the rest of the run's time nothing of the path did. */
  busyMs: number;
}

/**
 * The chain that the run's time so far is due to: the task that ended last (or still runs), before it the one of its
 * dependencies that ended last, and so on. Empty when no task has begun.
 */
export function criticalPath(manifest: RunManifest, state: RunState, now: number): CriticalPath {
  const begun = new Map<string, { at: number; from: number; to: number }>();
  state.tasks.forEach((task, at) => {
    const span = spanOf(task, now);
    if (span) begun.set(task.taskId, { at, ...span });
  });
  const taskIds: string[] = [];
  let busyMs = 0;
  let next = latest([...begun.keys()], begun);
  while (next !== null) {
    const found = begun.get(next);
    if (!found) break;
    // what was walked once is not walked again, whatever a manifest says
    begun.delete(next);
    taskIds.unshift(next);
    busyMs += found.to - found.from;
    next = latest(manifest.tasks[found.at]?.dependsOn ?? [], begun);
  }
  return { taskIds, busyMs };
}

/** From when to when it ran; null when it has not begun. */
export function spanOf(task: TaskState, now: number): { from: number; to: number } | null {
  if (!("startedAt" in task) || task.startedAt === null) return null;
  const to = "endedAt" in task ? task.endedAt : now;
  return { from: task.startedAt, to: Math.max(to, task.startedAt) };
}

function latest(ids: readonly string[], begun: ReadonlyMap<string, { to: number }>): string | null {
  let found: string | null = null;
  let to = Number.NEGATIVE_INFINITY;
  for (const id of ids) {
    const end = begun.get(id)?.to ?? Number.NEGATIVE_INFINITY;
    if (end > to) [found, to] = [id, end];
  }
  return found;
}
