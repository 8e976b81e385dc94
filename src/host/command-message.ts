import { isTerminal, type TaskState, taskOf } from "../runs/run-state.ts";
import { MESSAGE_CHARS_MAX, whyUnread } from "../runs/task-message.ts";
import { UserError } from "../system/errors.ts";
import type { Command } from "./commands.ts";
import type { Session } from "./session.ts";

const USAGE = 'Usage: /team-message <run> <task> "<text>". /team-status lists the runs and their tasks.';

/** `/team-message <run> <task> <text>`: the text is what is left of the line, quoted or not. */
export const messageCommand: Command = async ({ session, args }) => {
  const [, run, taskId, rest] = /^(\S+)\s+(\S+)\s+([\s\S]+)$/.exec(args) ?? [];
  if (!run || !taskId || !rest) throw new UserError("usage", USAGE);
  const quoted = /^(?:"([\s\S]*)"|'([\s\S]*)'|“([\s\S]*)”)$/.exec(rest);
  return sendMessage(session, run, taskId, quoted?.[1] ?? quoted?.[2] ?? quoted?.[3] ?? rest);
};

/** Tells a task's worker something, whoever drives the run. Gives what the user is told. */
export async function sendMessage(session: Session, run: string, taskId: string, text: string): Promise<string> {
  if (text.trim() === "") throw new UserError("no-text", `Say what task ${taskId} is to be told. ${USAGE}`);
  if (text.length > MESSAGE_CHARS_MAX)
    throw new UserError(
      "message-too-long",
      `The message has ${text.length} characters, and ${MESSAGE_CHARS_MAX} is the most; put it into a file and name the file.`,
    );
  const runs = await session.runs();
  const runId = await runs.store.find(run);
  const look = async () => {
    const view = await runs.view(runId);
    return { why: whyUnread(view, taskId), state: view.state };
  };
  const { why } = await look();
  if (why !== null) throw new UserError("nobody-reads", why);
  const { id, answered } = await runs.ask(runId, { kind: "steer", taskId, text });
  const after = await look();
  const kept = after.state.mail.find(({ messageId }) => messageId === id);
  const masked = kept && kept.text !== text ? " What looked like a secret in it was masked." : "";
  if (kept) return saidOf(runId, taskOf(after.state, taskId)) + masked;
  if (after.why !== null) throw new UserError("nobody-reads", after.why);
  if (answered)
    throw new UserError("not-sent", `The Pi that drives run ${runId} did not take the message; its log says why.`);
  return `The message lies in the inbox of run ${runId} for whichever Pi drives it; none has taken it yet. /team-status ${runId} shows the run.`;
}

function saidOf(runId: string, task: TaskState | undefined): string {
  const what = `task ${task?.taskId} of run ${runId}`;
  if (task && isTerminal(task.status)) return `The message was sent to ${what}, which has just ended: ${task.status}.`;
  if (task?.attempts.at(-1)?.status === "running")
    return `Sent to ${what}: its worker reads it before its next reply, after the tool calls it is at.`;
  return `Kept for ${what}, which is ${task?.status}: its worker reads it at its beginning.`;
}
