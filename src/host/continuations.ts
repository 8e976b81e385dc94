import { join } from "node:path";
import { type RunManifest, tasksToDo } from "../runs/manifest.ts";
import { withDoneSince } from "../runs/resume.ts";
import { isTerminal } from "../runs/run-state.ts";
import type { RunView } from "../store/run-store.ts";
import { codeOf, UserError } from "../system/errors.ts";
import { parseObject } from "../system/json.ts";
import type { Files, World } from "../system/world.ts";
import { checkedFiles, forgetUnmade } from "./kept-files.ts";
import { recordContinuation } from "./record-redrive.ts";
import type { RunService } from "./run-service.ts";
import { forgetCommits, startKeeping, withCommitsThere } from "./run-worktrees.ts";
import type { Session } from "./session.ts";
import type { ActiveRun } from "./shown-run.ts";

/** `again-<task>-<n>.json`: who makes it does the task again. */
const MARK = /^again-.+-\d+\.json$/;
/** A run that is not there so long after its mark was made was never begun, or is kept no more. */
const MADE_WITHIN_MS = 60_000;

/**
 * The first of the runs that go on with one another, as far as it is kept: its folder has the marks of them all. No two of
 * them are at one task.
 */
async function firstOf(runs: RunService, run: RunView): Promise<RunView> {
  const seen = new Set<string>();
  for (let first = run; ; ) {
    const { runId, resumedFrom } = first.manifest;
    seen.add(runId);
    const before = resumedFrom === null || seen.has(resumedFrom) ? null : resumedFrom;
    const view = before === null ? null : await runs.view(before).catch(() => null);
    if (view === null) return first;
    first = view;
  }
}

/** All the runs that go on with one another, oldest first, as far as they can be read. */
export async function familyOf({ files }: Pick<World, "files">, runs: RunService, run: RunView): Promise<RunView[]> {
  const first = await firstOf(runs, run);
  const names = (await files.list(first.folder)).filter((name) => MARK.test(name));
  const ids = await Promise.all(names.map((name) => markedRun(files, join(first.folder, name))));
  const views = await Promise.all([...new Set(ids)].sort().map((id) => runs.view(id).catch(() => null)));
  return [first, ...views.filter((view) => view !== null)];
}

/** Those of them that go on with this one, or with one that does. */
export function continuationsIn(family: readonly RunView[], runId: string): RunView[] {
  const known = new Set([runId]);
  const rest = new Set(family);
  for (let before = -1; before !== rest.size; ) {
    before = rest.size;
    for (const view of rest)
      if (known.has(view.manifest.resumedFrom ?? "")) {
        known.add(view.manifest.runId);
        rest.delete(view);
      }
  }
  known.delete(runId);
  return family.filter(({ manifest }) => known.has(manifest.runId));
}

/**
 * The run with what others have done since that went on with it, and still have. What these could not tell of themselves,
 * because their process was killed, is told now.
 */
export async function asItStands(session: Session, runs: RunService, old: RunView): Promise<RunView> {
  const { runId } = old.manifest;
  const later = continuationsIn(await familyOf(session.world, runs, old), runId);
  for (const { manifest } of later)
    if (manifest.resumedFrom === runId) await recordContinuation(session, [old], manifest);
  const ended = later.filter(({ state }) => isTerminal(state.status));
  const there = ended.map(async (view) => {
    const { run } = await checkedFiles(session.world.files, await withCommitsThere(session, view));
    return run;
  });
  return withDoneSince(old, await Promise.all(there));
}

/**
 * Starts a run that goes on with an old one, as only one of several sessions can that would do a task of it again: see
 * `mark`. `agree` throws where it is not to begin after all. What was made for it goes again where the run could not be.
 * `untold`: what the user has to know.
 */
export async function startContinuation(
  session: Session,
  runs: RunService,
  old: RunView,
  manifest: RunManifest,
  agree: () => Promise<unknown>,
): Promise<{ active: ActiveRun; untold: string }> {
  const { files } = session.world;
  const { crewRoot } = runs.store;
  const marked: string[] = [];
  const { folder } = await firstOf(runs, old);
  try {
    for (const taskId of tasksToDo(manifest)) marked.push(await mark(session.world, runs, folder, taskId, manifest));
    await agree();
    const family = await familyOf(session.world, runs, old);
    const active = await startKeeping(session, runs, manifest);
    return { active, untold: await recordContinuation(session, family, manifest) };
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

/** Makes the task's next mark, which only one of several sessions can. Throws a UserError when the run of one has not ended. */
async function mark(
  { files, clock }: World,
  runs: RunService,
  folder: string,
  taskId: string,
  { runId: newId, resumedFrom }: RunManifest,
): Promise<string> {
  for (let number = 1; ; number++) {
    const path = join(folder, `again-${taskId}-${number}.json`);
    try {
      await files.writeNew(path, JSON.stringify({ runId: newId }));
      return path;
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
    const by = await markedRun(files, path);
    const view = await runs.view(by).catch(() => null);
    const ageMs = Math.abs(clock.now() - (files.factsNow(path)?.modifiedMs ?? 0));
    if (view && !isTerminal(view.state.status))
      throw new UserError(
        "resumed-already",
        `Run ${by} goes on with ${view.manifest.resumedFrom} already, and does task ${taskId}. /team-status ${by} shows it.`,
      );
    if (!view && ageMs < MADE_WITHIN_MS)
      throw new UserError(
        "resumed-already",
        `Run ${by} is just being made to go on with ${resumedFrom}. /team-status shows it; where it is not there in a minute, try again.`,
      );
  }
}
