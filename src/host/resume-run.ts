import { type RunManifest, tasksToDo } from "../runs/manifest.ts";
import {
  continuedManifest,
  type EndedRun,
  keptTasks,
  lostTasks,
  type NewRun,
  unfinishedTasks,
  unreadTasks,
} from "../runs/resume.ts";
import { isTerminal } from "../runs/run-state.ts";
import type { RunView } from "../store/run-store.ts";
import { UserError } from "../system/errors.ts";
import { agreeToCommands } from "./agreed-commands.ts";
import { continuationsOf, startContinuation } from "./continuations.ts";
import { checkedFiles, withFilesThere } from "./kept-files.ts";
import { runConfigOf } from "./run-config.ts";
import type { RunService } from "./run-service.ts";
import { withCommitsThere } from "./run-worktrees.ts";
import type { Session } from "./session.ts";
import type { ShownRun } from "./shown-run.ts";
import { newRunId } from "./start-run.ts";

/** A run that goes on with another one. */
export interface ContinuedRun {
  active: ShownRun;
  /** What the user is told. */
  said: string;
}

/**
 * Goes on with a run: with one that nobody drives any more as it is, with an ended one that did not complete as a new
 * run. Throws a UserError when there is nothing to go on with.
 */
export async function resumeRun(session: Session, text: string): Promise<ContinuedRun> {
  const runs = await session.runs();
  const runId = await runs.store.find(text);
  const taken = await (await session.recovery()).takeUp(runId);
  if (taken) return { active: taken, said: `Run ${runId} goes on where it was left. /team-status ${runId} shows it.` };
  const old = await withFilesThere(session, await withCommitsThere(session, await endedRun(runs, runId)));
  const { status } = old.state;
  if (status === "completed")
    throw new UserError("run-completed", `Run ${runId} completed: nothing of it is left to do.`);
  const manifest = continuedManifest(old, unfinishedTasks(old), await newRun(session));
  const isUndone = () => requireUndone(session, runs, old, tasksToDo(manifest));
  const before = await isUndone();
  await agreeToCommands(session, manifest, "project");
  // another session may have done it while the user was asked
  const active = await startContinuation(session, runs, old, manifest, isUndone);
  return { active, said: `${saidOf(manifest, old)}${saidBefore(runId, before)}` };
}

/**
 * Throws a UserError where all that is to do was done by runs that went on with this one, or where one of them tried it
 * and is the one to go on with. Gives the newest of them.
 */
async function requireUndone(
  session: Session,
  runs: RunService,
  old: RunView,
  toDo: readonly string[],
): Promise<RunView | null> {
  const later = await continuationsOf(session.world, runs, old);
  const doneBy = new Map<string, string>();
  for (const one of later) {
    const { run } = await checkedFiles(session.world.files, await withCommitsThere(session, one));
    const kept = keptTasks(run);
    for (const taskId of tasksToDo(one.manifest)) if (kept.has(taskId)) doneBy.set(taskId, one.manifest.runId);
  }
  const { runId } = old.manifest;
  if (toDo.every((taskId) => doneBy.has(taskId))) {
    const by = [...new Set(toDo.map((taskId) => doneBy.get(taskId)))];
    const failed = old.state.tasks.find(({ status }) => status === "failed")?.taskId;
    const remedy =
      failed === undefined
        ? "Start its team anew to have it done once more."
        : `/team-redrive ${runId} ${failed} does that task once more all the same.`;
    const done = `All that was left of run ${runId} was done by run ${by.join(" and run ")}: /team-status ${by.at(-1)} shows it.`;
    throw new UserError("resumed-already", `${done} ${remedy}`);
  }
  const last = later.at(-1) ?? null;
  if (last && triedAll(last, toDo))
    throw new UserError(
      "resumed-already",
      `Run ${last.manifest.runId} has gone on with run ${runId} and is ${last.state.status}: /team-resume ${last.manifest.runId} goes on from there.`,
    );
  return last;
}

/** Whether a resume of that run has left nothing out; a redrive may have asked for a task in other words. */
function triedAll({ manifest, state }: RunView, toDo: readonly string[]): boolean {
  const tried = new Set(tasksToDo(manifest));
  const isTried = !manifest.redrives && toDo.every((taskId) => tried.has(taskId));
  return isTried && (state.status === "failed" || state.status === "cancelled");
}

/** A run that has ended, as it can be read. Throws a UserError for one that has not. */
async function endedRun(runs: RunService, runId: string): Promise<RunView & EndedRun> {
  const view = await runs.view(runId);
  if (isTerminal(view.state.status)) return view;
  throw new UserError(
    "run-under-way",
    `Run ${runId} has not ended: it is ${view.state.status}. /team-status ${runId} shows it, /team-cancel ${runId} ends it.`,
  );
}

/** Under today's configuration, whatever the old run's was. */
export async function newRun(session: Session): Promise<NewRun> {
  const { config } = await session.config();
  if (session.closed) throw new UserError("session-ended", "The session ended before the run began; start it again.");
  return { ...newRunId(session), sessionId: session.id, cwd: session.cwd, config: runConfigOf(config) };
}

export function saidOf({ runId, resumedFrom, tasks, kept }: RunManifest, old: EndedRun): string {
  const again = tasksToDo({ tasks, kept });
  const results = Object.keys(kept);
  const keeping = results.length === 0 ? "" : ` The results of ${results.join(", ")} are kept.`;
  const lost = lostTasks(old).filter((taskId) => again.includes(taskId));
  const losing = lost.length === 0 ? "" : ` The work of ${lost.join(", ")} is in no commit any more.`;
  const unread = unreadTasks(old).join(", ");
  const missing = unread === "" ? "" : ` What ${unread} answered can't be read in the damaged log any more.`;
  return `Run ${runId} goes on with ${resumedFrom}: ${again.join(", ")} to do.${losing}${missing}${keeping} /team-status ${runId} shows it.`;
}

export function saidBefore(runId: string, before: RunView | null): string {
  return before === null ? "" : ` Run ${before.manifest.runId} had already resumed ${runId}.`;
}
