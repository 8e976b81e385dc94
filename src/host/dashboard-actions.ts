import { redriveWaitsFor } from "../runs/resume.ts";
import { isTerminal, type TaskState } from "../runs/run-state.ts";
import { whyUnread } from "../runs/task-message.ts";
import type { DeadLetter } from "../store/dead-letter-lines.ts";
import type { RunPicture } from "../views/run-summary.ts";
import { sendMessage } from "./command-message.ts";
import { cancelRun } from "./command-status.ts";
import { dealtWith, type RedriveTarget, redriveTask } from "./redrive.ts";
import { type ContinuedRun, resumeRun } from "./resume-run.ts";
import { announceEnd } from "./run-report.ts";
import type { Session } from "./session.ts";
import { showProgress } from "./widget.ts";

const CANCELLED = "cancelled by the user";

/** What a key of the dashboard does. Each resolves with what the user is told, and rejects with why it was not done. */
type Work = (session: Session) => Promise<string>;

/** Asked before anything is done; the answers' keys, with what they do. */
export interface Question {
  text: string;
  answers: readonly { key: string; says: string; work: Work }[];
}

/** Null when there is nothing left to cancel. */
export function askToCancel({ state }: RunPicture, task: TaskState | null): Question | null {
  const { runId } = state;
  if (isTerminal(state.status)) return null;
  const whole = { key: "r", says: "cancel the run", work: (session: Session) => cancelRun(session, runId) };
  if (!task || isTerminal(task.status))
    return { text: `Cancel run ${runId} and end its workers?`, answers: [{ ...whole, key: "y" }] };
  const { taskId } = task;
  const one = { key: "t", says: `only task ${taskId}`, work: (session: Session) => cancelTask(session, runId, taskId) };
  return { text: `Cancel run ${runId} and end its workers, or only task ${taskId}?`, answers: [whole, one] };
}

async function cancelTask(session: Session, runId: string, taskId: string): Promise<string> {
  const { answered } = await (await session.runs()).ask(runId, { kind: "cancel-task", taskId, reason: CANCELLED });
  const asked = answered ? "is being cancelled" : "is to be cancelled by whichever Pi drives the run";
  return `Task ${taskId} of run ${runId} ${asked}; what depends on it is skipped.`;
}

/** Runs a failed task, or what is left of an ended run, again; null where nothing is to be run again. */
export function askToRunAgain(run: RunPicture, task: TaskState | null): Question | null {
  const { runId, status } = run.state;
  if (run.standstill?.kind === "unattended") {
    const takeUp: Work = async (session) => show(session, await resumeRun(session, runId));
    return { text: `Go on with run ${runId} here?`, answers: [{ key: "y", says: "resume", work: takeUp }] };
  }
  if (task?.status === "failed" && redriveWaitsFor(run, task.taskId).length === 0)
    return askToRedrive({ run: runId, taskId: task.taskId });
  if (status !== "failed" && status !== "cancelled") return null;
  const work: Work = async (session) => show(session, await resumeRun(session, runId));
  return { text: `Go on with run ${runId}, ${status}, as a new run?`, answers: [{ key: "y", says: "resume", work }] };
}

export function askToRedrive(target: RedriveTarget): Question {
  const what = "deadLetterId" in target ? `dead letter ${target.deadLetterId}` : `task ${target.taskId}`;
  const work: Work = async (session) =>
    show(session, await redriveTask(session, target, { model: null, prompt: null, begin: null }));
  const text = `Run ${what} again, and what depends on it, as a new run?`;
  return { text, answers: [{ key: "y", says: "redrive", work }] };
}

export function askToDiscard(letter: DeadLetter): Question {
  const work: Work = async (session) => {
    const { deadLetters } = await session.runs();
    if (!(await deadLetters.discard(letter))) throw dealtWith(await deadLetters.find(letter.id));
    return `Dead letter ${letter.id} is discarded.`;
  };
  const text = `Discard dead letter ${letter.id} of task ${letter.taskId}, run ${letter.runId}?`;
  return { text, answers: [{ key: "y", says: "discard", work }] };
}

/** Why the task can't be told anything; null when it can. */
export function whyNotTold(run: RunPicture, task: TaskState | null): string | null {
  return task ? whyUnread(run, task.taskId) : "There is no task to write to.";
}

export function tellTask(runId: string, taskId: string, text: string): Work {
  return (session) => sendMessage(session, runId, taskId, text);
}

function show(session: Session, { active, said }: ContinuedRun): string {
  showProgress(session, active);
  announceEnd(session, active);
  return said;
}
