import type { DrivenRun, RunLoop } from "./run-loop.ts";
import { isTerminal, type RunState, taskOf } from "./run-state.ts";
import type { RunStop } from "./run-stop.ts";

/**
 * Ends the run, or one task of it, at once; resolves when that it was asked for is on disk: should this process die
 * before the workers have ended, who drives the run next ends it. Rejects when it can't be written.
 */
export async function askToCancel(
  run: DrivenRun,
  loop: RunLoop,
  reason: string,
  taskId: string | null = null,
): Promise<void> {
  loop.cancel(reason, taskId);
  if (taskId === null) return tellAsked(run, loop.stop);
  const task = taskOf(run.state, taskId);
  if (!task || isTerminal(task.status) || task.cancelAsked !== null || loop.stop.over) return;
  await run.publisher.publish({ type: "crew.task.cancel_asked", taskId, reason });
}

/** Puts it on disk, once, that the run is to end, whoever wants that. */
export async function tellAsked({ state, publisher }: DrivenRun, stop: RunStop): Promise<void> {
  const { asked } = stop;
  if (asked?.kind !== "cancel" || stop.over || isTerminal(state.status) || state.cancelAsked !== null) return;
  stop.told ??= publisher.publish({ type: "crew.run.cancel_asked", reason: asked.reason });
  await stop.told;
}

/** What was asked of a former owner. */
export function obeyAsked(state: RunState, stop: RunStop): void {
  if (state.cancelAsked !== null) stop.cancel(state.cancelAsked);
  for (const { taskId, cancelAsked } of state.tasks) if (cancelAsked !== null) stop.cancelTask(taskId, cancelAsked);
}
