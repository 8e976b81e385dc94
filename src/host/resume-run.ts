import { join } from "node:path";
import type { RunManifest } from "../runs/manifest.ts";
import {
  continuedManifest,
  type EndedRun,
  lostTasks,
  type NewRun,
  unfinishedTasks,
  unreadTasks,
} from "../runs/resume.ts";
import { isTerminal } from "../runs/run-state.ts";
import { runPaths } from "../store/layout.ts";
import type { RunView } from "../store/run-store.ts";
import { codeOf, UserError } from "../system/errors.ts";
import { parseObject } from "../system/json.ts";
import type { World } from "../system/world.ts";
import { agreeToCommands } from "./agreed-commands.ts";
import { forgetUnmade, withFilesThere } from "./kept-files.ts";
import { runConfigOf } from "./run-config.ts";
import type { RunService } from "./run-service.ts";
import { startKeeping, withCommitsThere } from "./run-worktrees.ts";
import type { Session } from "./session.ts";
import type { ActiveRun, ShownRun } from "./shown-run.ts";
import { newRunId } from "./start-run.ts";

const LOOKED_AT_MAX = 200;
/** Of an id's beginning: the second in which its run was made. */
const TIME_CHARS = 15;
/** A run that is not there so long after its mark was made was never begun, or is kept no more. */
const MADE_WITHIN_MS = 60_000;

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
  await agreeToCommands(session, manifest, "project");
  const active = await startMarked(session, runs, old, manifest);
  return { active, said: `${saidOf(manifest, old)}${saidBefore(runId, before)}` };
}

/**
 * Starts a run that goes on with an old one, as only one of several sessions can that would do a task of it again: see
 * `mark`. `agree` throws where it is not to begin after all. The marks go again where the run could not be made.
 */
export async function startMarked(
  session: Session,
  runs: RunService,
  old: RunView,
  manifest: RunManifest,
  agree?: () => Promise<unknown>,
): Promise<ActiveRun> {
  const { files } = session.world;
  const { crewRoot } = runs.store;
  const again = manifest.tasks.filter(({ taskId }) => !Object.hasOwn(manifest.kept, taskId));
  const marked: string[] = [];
  try {
    for (const { taskId } of again) marked.push(await mark(session.world, runs, old, taskId, manifest.runId));
    await agree?.();
    return await startKeeping(session, runs, manifest);
  } catch (error) {
    await forgetUnmade(files, crewRoot, manifest.runId);
    // one that was made can be gone on with itself
    const isMade = (await files.facts(runPaths(crewRoot, manifest.runId).manifest)) !== null;
    if (!isMade) for (const path of marked) await files.remove(path);
    throw error;
  }
}

/**
 * Makes `again-<task>-<n>.json` in the old run's folder, which only one of several sessions can. Throws a UserError when
 * the run of such a mark has not ended.
 */
async function mark(
  { files, clock }: World,
  runs: RunService,
  old: RunView,
  taskId: string,
  newId: string,
): Promise<string> {
  for (let number = 1; ; number++) {
    const path = join(old.folder, `again-${taskId}-${number}.json`);
    try {
      await files.writeNew(path, JSON.stringify({ runId: newId }));
      return path;
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
    const by = String(parseObject(await files.readText(path))?.["runId"]);
    const view = await runs.view(by).catch(() => null);
    const ageMs = Math.abs(clock.now() - (files.factsNow(path)?.modifiedMs ?? 0));
    const { runId } = old.manifest;
    if (view && !isTerminal(view.state.status))
      throw new UserError(
        "resumed-already",
        `Run ${by} goes on with ${runId} already, task ${taskId} among it. /team-status ${by} shows it.`,
      );
    if (!view && ageMs < MADE_WITHIN_MS)
      throw new UserError(
        "resumed-already",
        `Run ${by} is just being made to go on with ${runId}. /team-status shows it; where it is not there in a minute, try again.`,
      );
  }
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
export async function continuedAs(runs: RunService, runId: string): Promise<string | null> {
  const time = (id: string) => id.slice(0, TIME_CHARS);
  const later = (await runs.store.ids()).filter((id) => time(id) >= time(runId));
  for (const id of later.slice(0, LOOKED_AT_MAX)) {
    const view = await runs.store.view(id).catch(() => null);
    if (view?.manifest.resumedFrom === runId) return id;
  }
  return null;
}

export function saidOf({ runId, resumedFrom, tasks, kept }: RunManifest, old: EndedRun): string {
  const again = tasks.map(({ taskId }) => taskId).filter((taskId) => !Object.hasOwn(kept, taskId));
  const results = Object.keys(kept);
  const keeping = results.length === 0 ? "" : ` The results of ${results.join(", ")} are kept.`;
  const lost = lostTasks(old).filter((taskId) => again.includes(taskId));
  const losing = lost.length === 0 ? "" : ` The work of ${lost.join(", ")} is in no commit any more.`;
  const unread = unreadTasks(old).join(", ");
  const missing = unread === "" ? "" : ` What ${unread} answered can't be read in the damaged log any more.`;
  return `Run ${runId} goes on with ${resumedFrom}: ${again.join(", ")} to do.${losing}${missing}${keeping} /team-status ${runId} shows it.`;
}

export function saidBefore(runId: string, before: string | null): string {
  return before === null ? "" : ` Run ${before} had already resumed ${runId}.`;
}
