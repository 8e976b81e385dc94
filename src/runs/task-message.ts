import type { DrivenRun, RunLoopParts } from "./run-loop.ts";
import { attemptUnderWay, isTerminal, type RunState, type TaskMessage, taskOf } from "./run-state.ts";

/** Telling a task's worker something while it works. */

export const MESSAGE_CHARS_MAX = 4000;
const MESSAGES_MAX = 50;

/** Why no worker will read a message to the task, as a sentence; null when one will. */
export function whyUnread({ manifest, state }: Pick<DrivenRun, "manifest" | "state">, taskId: string): string | null {
  const { runId } = manifest;
  const spec = manifest.tasks.find((task) => task.taskId === taskId);
  const task = taskOf(state, taskId);
  if (!spec || !task) {
    const known = manifest.tasks.map((it) => it.taskId).join(", ");
    return `Run ${runId} has no task ${JSON.stringify(taskId.slice(0, 80))}. It has ${known}.`;
  }
  if (isTerminal(state.status)) return `Run ${runId} has already ended: ${state.status}; nobody would read a message.`;
  if (isTerminal(task.status))
    return `Task ${taskId} of run ${runId} has already ended: ${task.status}; nobody would read a message.`;
  if (spec.kind !== "pi") return `Task ${taskId} of run ${runId} is of kind ${spec.kind}, which reads no messages.`;
  if (mailOf(state, taskId).length >= MESSAGES_MAX)
    return `Task ${taskId} of run ${runId} was sent ${MESSAGES_MAX} messages, which is the most it is sent.`;
  return null;
}

/** What every attempt of the task is given. */
export function mailOf(state: RunState, taskId: string): TaskMessage[] {
  return state.mail.filter((message) => message.taskId === taskId && message.direction === "to-worker");
}

/**
 * Puts a message into the run's log and hands it to the attempt under way; one that begins later is given it at its
 * beginning. A message that stands in the log is not told again.
 */
export async function tellTask(
  parts: Pick<RunLoopParts, "run" | "attemptFolder" | "putMail" | "redact">,
  { messageId, taskId, from, text }: Omit<TaskMessage, "at" | "direction">,
): Promise<void> {
  const { run } = parts;
  if (!run.state.mail.some((message) => message.messageId === messageId))
    await run.publisher.publish({
      type: "crew.mailbox.message",
      taskId,
      messageId,
      direction: "to-worker",
      from,
      to: taskId,
      text: parts.redact(text).slice(0, MESSAGE_CHARS_MAX),
    });
  const task = taskOf(run.state, taskId);
  const underWay = task && attemptUnderWay(task);
  if (underWay) await parts.putMail(parts.attemptFolder(taskId, underWay.attempt), mailOf(run.state, taskId));
}
