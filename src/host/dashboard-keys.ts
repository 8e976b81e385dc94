import { redriveWaitsFor } from "../runs/resume.ts";
import { openQuestion, taskOf } from "../runs/run-state.ts";
import type { DeadLetter } from "../store/dead-letter-lines.ts";
import { chosenRun, chosenTask, type DashboardView } from "../views/dashboard-view.ts";
import {
  askToCancel,
  askToDiscard,
  askToRedrive,
  askToRunAgain,
  type Question,
  whyNotTold,
} from "./dashboard-actions.ts";

type Chosen = Omit<DashboardView, "keys">;

/** What has to be answered before the key does anything; null when it asks nothing, or has nothing to do. */
export function questionOf(view: Chosen, key: string): Question | null {
  const run = chosenRun(view);
  const letter = view.pane === "health" ? view.letters[view.letter] : undefined;
  if (key === "r" && letter) return askToRedriveLetter(view, letter);
  if (key === "d" && letter) return askToDiscard(letter);
  if (!run) return null;
  if (key === "c") return askToCancel(run, chosenTask(view));
  return key === "r" && (view.pane !== "health" || run.standstill?.kind === "unattended")
    ? askToRunAgain(run, chosenTask(view))
    : null;
}

/** Of a run that nobody drives the rest comes first. */
function askToRedriveLetter(view: Chosen, { id, runId }: DeadLetter): Question | null {
  const run = view.runs.find(({ state }) => state.runId === runId);
  if (run?.standstill?.kind === "unattended") return askToRunAgain(run, null);
  return whyWaits(view) === null ? askToRedrive({ deadLetterId: id }) : null;
}

/** Why a key that asks something does nothing now, a sentence; null for other keys. */
export function whyNothing(view: Chosen, key: string): string | null {
  const run = chosenRun(view);
  if (key === "c") return run ? `Run ${run.state.runId} has already ended: ${run.state.status}.` : null;
  if (key === "d")
    return view.pane === "health" ? "There is no dead letter." : "Pane 5 lists the dead letters that can be discarded.";
  if (key !== "r") return null;
  return (
    whyWaits(view) ?? "There is nothing to run again here: choose a failed task, or a run that failed or was cancelled."
  );
}

/** Why the chosen task, or that of the chosen letter, can't be run again yet, a sentence; null when nothing is in its way. */
function whyWaits(view: Chosen): string | null {
  const letter = view.pane === "health" ? view.letters[view.letter] : undefined;
  const run = letter ? view.runs.find(({ state }) => state.runId === letter.runId) : chosenRun(view);
  const taskId = view.pane === "health" ? letter?.taskId : chosenTask(view)?.taskId;
  if (!run || taskId === undefined || taskOf(run.state, taskId)?.status !== "failed") return null;
  const waits = redriveWaitsFor(run, taskId);
  return waits.length === 0 ? null : `Task ${taskId} can be run again when its run is done with ${waits.join(", ")}.`;
}

/** The keys that do something now, with what they do, for the help line. */
export function keysOf(view: Chosen): [key: string, what: string][] {
  const { runs } = view;
  const asking = ["c", "r", "d"].flatMap((key): [string, string][] => {
    const [answer] = questionOf(view, key)?.answers ?? [];
    return answer ? [[key, key === "c" ? "cancel" : answer.says]] : [];
  });
  const sideways: [string, string][] = runs.length > 1 ? [["←→", "run"]] : [];
  const whole: [string, string][] = runs.length > 0 ? [["e", "export"]] : [];
  return [["1-6", "pane"], ["q", "close"], ...sideways, ...paneKeys(view), ...asking, ...whole];
}

function paneKeys(view: Chosen): [string, string][] {
  const { pane, letters } = view;
  if (pane === "metrics")
    return [
      ["↑↓", "scroll"],
      ["/", "filter"],
    ];
  if (pane === "health") return letters.length > 1 ? [["↑↓", "letter"]] : [];
  const run = chosenRun(view);
  const task = chosenTask(view);
  const keys: [string, string][] = (run?.state.tasks.length ?? 0) > 1 ? [["↑↓", "task"]] : [];
  if (pane === "output") keys.push(["PgUp", "scroll"]);
  if (run && task && whyNotTold(run, task) === null) keys.push(["m", openQuestion(task) ? "answer" : "message"]);
  return keys;
}
