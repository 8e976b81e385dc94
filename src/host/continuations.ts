import { join } from "node:path";
import { type RunManifest, tasksToDo } from "../runs/manifest.ts";
import { isTerminal } from "../runs/run-state.ts";
import type { RunView } from "../store/run-store.ts";
import { codeOf, UserError } from "../system/errors.ts";
import { parseObject } from "../system/json.ts";
import type { Files, World } from "../system/world.ts";
import { forgetUnmade } from "./kept-files.ts";
import type { RunService } from "./run-service.ts";
import { forgetCommits, startKeeping } from "./run-worktrees.ts";
import type { Session } from "./session.ts";
import type { ActiveRun } from "./shown-run.ts";

/** `again-<task>-<n>.json` in the folder of the run that is gone on with: who makes it does the task again. */
const MARK = /^again-.+-\d+\.json$/;
/** A run that is not there so long after its mark was made was never begun, or is kept no more. */
const MADE_WITHIN_MS = 60_000;

/** The runs that go on with another one, or did, as its marks name them: oldest first, those that can be read. */
export async function continuationsOf(
  { files }: Pick<World, "files">,
  runs: RunService,
  { folder, manifest }: RunView,
): Promise<RunView[]> {
  const names = (await files.list(folder)).filter((name) => MARK.test(name));
  const ids = await Promise.all(names.map((name) => markedRun(files, join(folder, name))));
  const views = await Promise.all([...new Set(ids)].sort().map((id) => runs.view(id).catch(() => null)));
  return views.filter((view): view is RunView => view?.manifest.resumedFrom === manifest.runId);
}

/**
 * Starts a run that goes on with an old one, as only one of several sessions can that would do a task of it again: see
 * `mark`. `agree` throws where it is not to begin after all. What was made for it goes again where the run could not be.
 */
export async function startContinuation(
  session: Session,
  runs: RunService,
  old: RunView,
  manifest: RunManifest,
  agree: () => Promise<unknown>,
): Promise<ActiveRun> {
  const { files } = session.world;
  const { crewRoot } = runs.store;
  const marked: string[] = [];
  try {
    for (const taskId of tasksToDo(manifest)) marked.push(await mark(session.world, runs, old, taskId, manifest.runId));
    await agree();
    return await startKeeping(session, runs, manifest);
  } catch (error) {
    // one that was made can be gone on with itself
    if (await forgetUnmade(files, crewRoot, manifest.runId)) {
      await forgetCommits(session, manifest);
      for (const path of marked) await files.remove(path);
    }
    throw error;
  }
}

async function markedRun(files: Files, path: string): Promise<string> {
  return String(parseObject(await files.readText(path))?.["runId"]);
}

/**
 * Makes the task's next mark in the old run's folder, which only one of several sessions can. Throws a UserError when
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
    const by = await markedRun(files, path);
    const view = await runs.view(by).catch(() => null);
    const ageMs = Math.abs(clock.now() - (files.factsNow(path)?.modifiedMs ?? 0));
    const { runId } = old.manifest;
    if (view && !isTerminal(view.state.status))
      throw new UserError(
        "resumed-already",
        `Run ${by} goes on with ${runId} already, and does task ${taskId}. /team-status ${by} shows it.`,
      );
    if (!view && ageMs < MADE_WITHIN_MS)
      throw new UserError(
        "resumed-already",
        `Run ${by} is just being made to go on with ${runId}. /team-status shows it; where it is not there in a minute, try again.`,
      );
  }
}
