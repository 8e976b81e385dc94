import { join } from "node:path";
import { type RunManifest, tasksToDo } from "../runs/manifest.ts";
import { isTerminal } from "../runs/run-state.ts";
import { runPaths } from "../store/layout.ts";
import type { RunView } from "../store/run-store.ts";
import { codeOf, UserError } from "../system/errors.ts";
import { parseObject } from "../system/json.ts";
import type { World } from "../system/world.ts";
import { forgetUnmade } from "./kept-files.ts";
import type { RunService } from "./run-service.ts";
import { startKeeping } from "./run-worktrees.ts";
import type { Session } from "./session.ts";
import type { ActiveRun } from "./shown-run.ts";

/** A run that is not there so long after its mark was made was never begun, or is kept no more. */
const MADE_WITHIN_MS = 60_000;

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
  const marked: string[] = [];
  try {
    for (const taskId of tasksToDo(manifest)) marked.push(await mark(session.world, runs, old, taskId, manifest.runId));
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
        `Run ${by} goes on with ${runId} already, and does task ${taskId}. /team-status ${by} shows it.`,
      );
    if (!view && ageMs < MADE_WITHIN_MS)
      throw new UserError(
        "resumed-already",
        `Run ${by} is just being made to go on with ${runId}. /team-status shows it; where it is not there in a minute, try again.`,
      );
  }
}
