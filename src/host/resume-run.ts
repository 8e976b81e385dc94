import { type RunManifest, tasksToDo } from "../runs/manifest.ts";
import {
  continuedManifest,
  type EndedRun,
  lostTasks,
  type NewRun,
  unfinishedTasks,
  unreadTasks,
} from "../runs/resume.ts";
import { isTerminal } from "../runs/run-state.ts";
import type { RunView } from "../store/run-store.ts";
import { UserError } from "../system/errors.ts";
import { agreeToCommands } from "./agreed-commands.ts";
import { withFilesThere } from "./kept-files.ts";
import { runConfigOf } from "./run-config.ts";
import type { RunService } from "./run-service.ts";
import { withCommitsThere } from "./run-worktrees.ts";
import type { Session } from "./session.ts";
import type { ShownRun } from "./shown-run.ts";
import { startMarked } from "./start-marked.ts";
import { newRunId } from "./start-run.ts";

const LOOKED_AT_MAX = 200;
/** Of an id's beginning: the second in which its run was made. */
const TIME_CHARS = 15;

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
  const before = await continuedAs(runs, runId);
  if (before) refuseDoneBefore(old, manifest, before);
  await agreeToCommands(session, manifest, "project");
  const active = await startMarked(session, runs, old, manifest);
  return { active, said: `${saidOf(manifest, old)}${saidBefore(runId, before)}` };
}

/** Throws a UserError where an ended run went on with all that this one would do. */
function refuseDoneBefore(
  { state }: EndedRun,
  manifest: RunManifest,
  { manifest: before, state: then }: RunView,
): void {
  const tried = new Set(tasksToDo(before));
  if (!isTerminal(then.status) || !tasksToDo(manifest).every((taskId) => tried.has(taskId))) return;
  const head = `Run ${before.runId} has gone on with all that was left of ${state.runId}, and`;
  if (then.status !== "completed")
    throw new UserError(
      "resumed-already",
      `${head} ${then.status === "failed" ? "failed" : "was cancelled"}: /team-resume ${before.runId} goes on from there.`,
    );
  const failed = state.tasks.find(({ status }) => status === "failed");
  const remedy = failed ? ` /team-redrive ${state.runId} ${failed.taskId} does that task once more all the same.` : "";
  throw new UserError("resumed-already", `${head} completed: /team-status ${before.runId} shows it.${remedy}`);
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

/** The newest run that goes on with this one; null when there is none. */
export async function continuedAs(runs: RunService, runId: string): Promise<RunView | null> {
  const time = (id: string) => id.slice(0, TIME_CHARS);
  const later = (await runs.store.ids()).filter((id) => time(id) >= time(runId));
  for (const id of later.slice(0, LOOKED_AT_MAX)) {
    const view = await runs.store.view(id).catch(() => null);
    if (view?.manifest.resumedFrom === runId) return view;
  }
  return null;
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
