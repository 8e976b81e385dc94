import type { NewEvent } from "../events/crew-event.ts";
import type { DrivenRun, RunLoop } from "./run-loop.ts";
import { isTerminal, type RunState, taskOf } from "./run-state.ts";
import type { RunStop } from "./run-stop.ts";

/**
 * Ends the run, or one task of it, and resolves when that it was asked for is on disk: should this process die before
 * the workers have ended, who drives the run next ends it. Rejects when it can't be written; it is ended all the same.
 */
export async function askToCancel(
  { state, publisher }: DrivenRun,
  loop: RunLoop,
  reason: string,
  taskId: string | null = null,
): Promise<void> {
  loop.cancel(reason, taskId);
  const asked = taskId === null ? state : taskOf(state, taskId);
  if (!asked || isTerminal(state.status) || isTerminal(asked.status) || asked.cancelAsked !== null) return;
  const event: NewEvent =
    taskId === null ? { type: "crew.run.cancel_asked", reason } : { type: "crew.task.cancel_asked", taskId, reason };
  await publisher.publish(event);
}

/** What was asked of a former owner. */
export function obeyAsked(state: RunState, stop: RunStop): void {
  if (state.cancelAsked !== null) stop.cancel(state.cancelAsked);
  for (const { taskId, cancelAsked } of state.tasks) if (cancelAsked !== null) stop.cancelTask(taskId, cancelAsked);
}
