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
import { asItStands, startContinuation } from "./continuations.ts";
import { withFilesThere } from "./kept-files.ts";
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
  const known = await asItStands(session, runs, old);
  const manifest = continuedManifest(known, unfinishedTasks(known), await newRun(session));
  requireLeft(old, known, manifest);
  await agreeToCommands(session, manifest, "project");
  // another session may have done it while the user was asked
  const isLeft = async () => requireLeft(old, await asItStands(session, runs, old), manifest);
  const { active, untold } = await startContinuation(session, runs, old, manifest, isLeft);
  return { active, said: `${saidOf(manifest, known)}${untold}` };
}

/** Throws a UserError where nothing is left to do, or not all any more that was when it was asked. */
function requireLeft({ state }: EndedRun, known: EndedRun, manifest: RunManifest): void {
  const { runId } = state;
  const left = unfinishedTasks(known);
  if (left.size === 0) {
    const undone = state.tasks.filter(({ status }) => status !== "completed");
    const by = [...new Set(undone.map(({ taskId }) => known.manifest.kept[taskId]?.fromRunId))].sort();
    const failed = undone.find(({ status }) => status === "failed")?.taskId;
    const remedy =
      failed === undefined
        ? "Start its team anew to have it done once more."
        : `/team-redrive ${runId} ${failed} does that task once more all the same.`;
    const done = `All that was left of run ${runId} was done by run ${by.join(" and run ")}: /team-status ${by.at(-1)} shows it.`;
    throw new UserError("resumed-already", `${done} ${remedy}`);
  }
  if (tasksToDo(manifest).every((taskId) => left.has(taskId))) return;
  const text = `Another run has gone on with ${runId} meanwhile. Nothing was begun: /team-resume ${runId} does what is left.`;
  throw new UserError("resumed-already", text);
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
  const here = old.manifest.background ? " in this session, no longer in the background" : "";
  const missing = unread === "" ? "" : ` What ${unread} answered can't be read in the damaged log any more.`;
  return `Run ${runId} goes on with ${resumedFrom}${here}: ${again.join(", ")} to do.${losing}${missing}${keeping} /team-status ${runId} shows it.`;
}
