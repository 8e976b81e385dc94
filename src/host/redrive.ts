import { type RunManifest, specOf } from "../runs/manifest.ts";
import { continuedManifest, redriveManifest, redrivenTasks, redriveWaitsFor } from "../runs/resume.ts";
import { taskOf } from "../runs/run-state.ts";
import { stepsAskedFor, stepsBefore } from "../runs/task-prompt.ts";
import type { DeadLetter } from "../store/dead-letter-lines.ts";
import type { RunView } from "../store/run-store.ts";
import { UserError } from "../system/errors.ts";
import { chooseModel } from "../workers/pi-models.ts";
import { agreeToCommands } from "./agreed-commands.ts";
import { requireShort } from "./build-manifest.ts";
import { asItStands, startContinuation } from "./continuations.ts";
import { withFilesThere } from "./kept-files.ts";
import { agreeToBegin, type BeginAt, beginAt } from "./redrive-checkpoint.ts";
import { type ContinuedRun, newRun, saidOf } from "./resume-run.ts";
import type { RunService } from "./run-service.ts";
import { withCommitsThere } from "./run-worktrees.ts";
import type { Session } from "./session.ts";

/** What is to run again. */
export type RedriveTarget = { deadLetterId: string } | { run: string; taskId: string };

/** How the task is asked for this time; null changes nothing. */
export interface RedriveChanges {
  model: string | null;
  prompt: string | null;
  /** Null: with what its folder holds then. */
  begin: BeginAt | null;
}

/**
 * Runs a task that was given up, and what depends on it, as a new run, also while its own run goes on with others. Two
 * redrives of a task never go on at once. Letter and log of its run are told when the new one is there.
 */
export async function redriveTask(
  session: Session,
  target: RedriveTarget,
  changes: RedriveChanges,
): Promise<ContinuedRun> {
  const runs = await session.runs();
  const letter = "deadLetterId" in target ? await runs.deadLetters.find(target.deadLetterId) : null;
  const runId = letter ? letter.runId : await runs.store.find("run" in target ? target.run : "");
  const taskId = letter ? letter.taskId : "taskId" in target ? target.taskId : "";
  const old = await withFilesThere(session, await withCommitsThere(session, await runs.view(runId)));
  const { begin } = changes;
  const now = await asItStands(session, runs, old);
  // a checkpoint holds what was there then, without what others have done since
  const known = begin ? old : now;
  // what another run has done again may be told only now
  if (letter) await openLetter(runs, letter.id);
  checkTask(session, old, taskId, changes);
  const again = redrivenTasks(known, taskId);
  refuseUnderWay(known, taskId);
  const asked = redriveManifest(continuedManifest(known, again, await newRun(session)), taskId, changes);
  if (changes.prompt !== null) checkPrompt(asked, taskId, changes.prompt);
  await agreeToCommands(session, asked, "project");
  if (begin) await agreeToBegin(session, old, taskId, again, begin);
  const manifest = begin ? await beginAt(session, old, asked, taskId, begin) : asked;
  const isAsBefore = async () => {
    if (letter) await openLetter(runs, letter.id);
    if (!begin) requireSame(again, redrivenTasks(await asItStands(session, runs, old), taskId), runId);
  };
  const { active, untold } = await startContinuation(session, runs, old, manifest, isAsBefore);
  return { active, said: `${saidOf(manifest, known)}${untold}` };
}

/** Throws a UserError where another run has done since what was to be done with the task. */
function requireSame(asked: ReadonlySet<string>, again: ReadonlySet<string>, runId: string): void {
  if (asked.size === again.size && [...asked].every((taskId) => again.has(taskId))) return;
  const text = `Another run has gone on with ${runId} meanwhile. Nothing was begun: ask for it once more.`;
  throw new UserError("resumed-already", text);
}

async function openLetter(runs: RunService, id: string): Promise<DeadLetter> {
  const letter = await runs.deadLetters.find(id);
  if (letter.status === "open") return letter;
  throw dealtWith(letter);
}

export function dealtWith(letter: DeadLetter): UserError {
  const how = letter.status === "redriven" ? `redriven as run ${letter.newRunId}` : letter.status;
  return new UserError(
    "letter-dealt-with",
    `Dead letter ${letter.id} is ${how} already. /team-redrive ${letter.runId} ${letter.taskId} runs its task once more.`,
  );
}

/** Throws a UserError unless the task failed and can be asked for like this. */
function checkTask(session: Session, old: RunView, taskId: string, { model, prompt }: RedriveChanges): void {
  failedTask(old, taskId);
  const spec = specOf(old.manifest, taskId);
  if (spec.agent === null && (model !== null || prompt !== null))
    throw new UserError(
      "no-agent",
      `Task ${taskId} is of kind ${spec.kind}, which has neither model nor prompt: redrive it without them.`,
    );
  // Codex has models of its own, which nobody but Codex knows
  if (model !== null && spec.kind === "pi") checkModel(session, model);
}

/** Throws a UserError while its own run is at what the new one would do. */
function refuseUnderWay(old: RunView, taskId: string): void {
  const waits = redriveWaitsFor(old, taskId).join(", ");
  if (waits === "") return;
  const { runId } = old.manifest;
  throw new UserError(
    "task-under-way",
    `Task ${taskId} can't be redriven yet: ${waits} would be done again with it, and run ${runId} is not done with that. ` +
      `Wait for it: /team-status ${runId} shows it. /team-cancel ${runId} ends the run now.`,
  );
}

/** Throws a UserError for a model that no worker could use here. */
function checkModel({ context }: Session, model: string): void {
  // where the session was replaced, nothing is begun in any case
  const choice = context && chooseModel([model], context.modelRegistry.getAvailable());
  if (choice?.kind !== "none") return;
  throw new UserError(
    "model",
    `${choice.message} Nothing was begun: name one that /model shows, or log in to its provider with /login.`,
  );
}

/** Throws a UserError for a prompt that is empty or too long, or one with the words of a step that has none by then: the model would read that. */
function checkPrompt(manifest: RunManifest, taskId: string, prompt: string): void {
  requireShort("prompt", prompt);
  if (prompt.trim() === "")
    throw new UserError(
      "no-prompt",
      "The prompt is empty: say what the task is to do, or leave --prompt out. Nothing was begun.",
    );
  const before = stepsBefore(manifest, taskId);
  const missing = stepsAskedFor(prompt).find((step) => !before.has(step));
  if (missing === undefined) return;
  const remedy = before.size === 0 ? "leave it out, no step is" : `use one of ${[...before].join(", ")}`;
  throw new UserError(
    "no-such-step",
    `The prompt has {outputs.${missing}}, but no step ${missing} is done before task ${taskId}: ${remedy}. Nothing was begun.`,
  );
}

/** The failed task of a run. Throws a UserError when there is none of that name, or when it did not fail. */
export function failedTask({ manifest, state }: RunView, taskId: string) {
  const { runId } = manifest;
  specOf(manifest, taskId);
  const task = taskOf(state, taskId);
  if (task?.status === "failed") return task;
  throw new UserError(
    "not-failed",
    `Task ${taskId} of run ${runId} is ${task?.status}; only a failed one can be given up or redriven.`,
  );
}
