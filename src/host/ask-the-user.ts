import { openQuestion } from "../runs/run-state.ts";
import { messageOf } from "../system/errors.ts";
import { keepEnds, safeText } from "../system/safe-text.ts";
import { sendMessage } from "./command-message.ts";
import type { Session } from "./session.ts";
import type { ShownRun } from "./shown-run.ts";

const SHOWN_CHARS_MAX = 1500;

export interface AskedQuestion {
  attempt: number;
  /** Takes its dialog away. */
  over: AbortController;
}

/**
 * Asks the user what the run's workers want to know, each question once, and sends the answer on its way. To be called
 * whenever the run changed: a question that was answered elsewhere takes its dialog with it.
 */
export function askQuestions(session: Session, { run }: ShownRun): void {
  const { questions } = session.feed();
  const { runId } = run.manifest;
  for (const task of run.state.tasks) {
    const key = `${runId}/${task.taskId}`;
    const open = questions.get(key);
    const question = openQuestion(task);
    if (question?.attempt === open?.attempt) continue;
    open?.over.abort();
    questions.delete(key);
    if (!question) continue;
    const over = new AbortController();
    questions.set(key, { attempt: question.attempt, over });
    ask(session, runId, task.taskId, question.text, over.signal).catch((error: unknown) =>
      session.show(messageOf(error), "error"),
    );
  }
}

/** Takes away the dialogs of a run that this session shows no more. */
export function forgetQuestions(session: Session, { run }: ShownRun): void {
  const { questions } = session.feed();
  for (const { taskId } of run.state.tasks) {
    const key = `${run.manifest.runId}/${taskId}`;
    questions.get(key)?.over.abort();
    questions.delete(key);
  }
}

async function ask(session: Session, runId: string, taskId: string, text: string, over: AbortSignal): Promise<void> {
  const shown = keepEnds(safeText(text, { multiline: true }).trim(), SHOWN_CHARS_MAX);
  const later = `/team-message ${runId} ${taskId} "<your answer>" lets it go on.`;
  session.show(`Task ${taskId} of run ${runId} can't go on without you:\n${shown}\n${later}`, "warning");
  const feed = session.feed();
  const dialog = feed.lastQuestion.then(() => askInDialog(session, `Your answer to ${taskId} (Esc: later)`, over));
  feed.lastQuestion = dialog.catch(() => undefined);
  const answer = await dialog;
  if (over.aborted || !answer?.trim()) return;
  // typed before the dialog was seen
  if (/^\/[a-z][a-z-]*(\s|$)/.test(answer.trim()))
    return session.show(`${answer.trim()} is a command, not an answer: nothing was sent. ${later}`, "warning");
  session.show(await sendMessage(session, runId, taskId, answer), "info");
}

async function askInDialog(session: Session, title: string, signal: AbortSignal): Promise<string | undefined> {
  const { context } = session;
  if (!context || signal.aborted || !session.dialogs.areWelcome) return undefined;
  return session.dialogs.during(() => context.ui.input(title, "", { signal }));
}
