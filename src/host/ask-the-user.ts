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
    const question = task.status === "running" ? task.question : null;
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

async function ask(session: Session, runId: string, taskId: string, text: string, over: AbortSignal): Promise<void> {
  const shown = keepEnds(safeText(text, { multiline: true }).trim(), SHOWN_CHARS_MAX);
  const later = `/team-message ${runId} ${taskId} "<your answer>" lets it go on.`;
  session.show(`Task ${taskId} of run ${runId} can't go on without you:\n${shown}\n${later}`, "warning");
  const { context } = session;
  // what is being typed must not end up as an answer
  if (!context?.hasUI || session.feed().covered || context.ui.getEditorText() !== "") return;
  const closing = new AbortController();
  session.defer(() => closing.abort());
  const signal = AbortSignal.any([over, closing.signal]);
  const answer = await context.ui.input(`Your answer to ${taskId} (Esc: later)`, "", { signal });
  if (signal.aborted || !answer?.trim()) return;
  session.show(await sendMessage(session, runId, taskId, answer), "info");
}
