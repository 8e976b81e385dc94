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

/** `again-<task>-<n>.json`: who makes it does the task again. Whoever goes on after it has greater numbers. */
const MARK = /^again-(.+)-(\d+)\.json$/;
/** A run that is not there so long after its mark was made was never begun, or is kept no more. */
const MADE_WITHIN_MS = 60_000;
const MARK_BYTES_MAX = 4096;

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

/**
 * All the runs that go on with one another, as far as they can be read, in the order of their marks: a clock may have been
 * set back in between.
 */
async function familyOf({ files }: Pick<World, "files">, runs: RunService, run: RunView): Promise<RunView[]> {
  const first = await firstOf(runs, run);
  const marks = (await marksIn(files, first.folder)).sort((one, other) => one.number - other.number);
  const ids = new Set(marks.flatMap(({ by }) => by ?? []));
  const views = await Promise.all([...ids].map((id) => runs.view(id).catch(() => null)));
  const others = views.filter((view) => view !== null);
  // a mark may have been lost
  const isThere = [first, ...others].some(({ manifest }) => manifest.runId === run.manifest.runId);
  return isThere ? [first, ...others] : [first, run, ...others];
}

/** Those of them that go on with this one, or with one that does. */
function continuationsIn(family: readonly RunView[], runId: string): RunView[] {
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
 * The run with what others of its family have done since, and still have. What those that go on with it could not tell of
 * themselves, because their process was killed, is told now.
 */
export async function asItStands(session: Session, runs: RunService, old: RunView): Promise<RunView> {
  const { runId } = old.manifest;
  const family = await familyOf(session.world, runs, old);
  const further = new Set(continuationsIn(family, runId));
  // of one that goes on, who made it may be just about to tell
  for (const [at, { manifest, state }] of family.entries())
    if (manifest.resumedFrom === runId && isTerminal(state.status))
      await recordContinuation(session, family.slice(0, at), manifest);
  const own = family.findIndex(({ manifest }) => manifest.runId === runId);
  const later = family.filter((view, at) => further.has(view) || at > own);
  const there = later
    .filter(({ state }) => isTerminal(state.status))
    .map(async (view) => (await checkedFiles(session.world.files, await withCommitsThere(session, view))).run);
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
  const marked: Mark[] = [];
  const { folder } = await firstOf(runs, old);
  try {
    for (const taskId of tasksToDo(manifest)) marked.push(await mark(session.world, runs, folder, taskId, manifest));
    await agree();
    const family = await familyOf(session.world, runs, old);
    requireNewest(await marksIn(files, folder), marked);
    const active = await startKeeping(session, runs, manifest);
    return { active, untold: await recordContinuation(session, family, manifest) };
  } catch (error) {
    // one that was made can be gone on with itself
    if (await forgetUnmade(files, crewRoot, manifest.runId)) {
      await forgetCommits(session, manifest);
      for (const { name } of marked) await files.remove(join(folder, name));
    }
    throw error;
  }
}

/** Where another session has waited long for the run of a mark, and gone on without it. */
function requireNewest(there: readonly Mark[], marked: readonly Mark[]): void {
  const newer = there.find((one) => marked.some((own) => own.taskId === one.taskId && own.number < one.number));
  if (newer)
    throw new UserError("resumed-already", `Run ${newer.by} does task ${newer.taskId} by now. Nothing was begun.`);
}

interface Mark {
  name: string;
  taskId: string;
  number: number;
  /** The run that does the task again; null when it can't be read. */
  by: string | null;
}

async function marksIn(files: Files, folder: string): Promise<Mark[]> {
  const names = await files.list(folder);
  const marks = names.map(async (name): Promise<Mark[]> => {
    const [, taskId, number] = MARK.exec(name) ?? [];
    if (taskId === undefined) return [];
    const text = await files.readText(join(folder, name), MARK_BYTES_MAX).catch(() => null);
    const by = parseObject(text)?.["runId"];
    return [{ name, taskId, number: Number(number), by: typeof by === "string" ? by : null }];
  });
  return (await Promise.all(marks)).flat();
}

/** Makes the task's next mark, which only one of several sessions can. Throws a UserError when the run of one is at it. */
async function mark(
  world: World,
  runs: RunService,
  folder: string,
  taskId: string,
  { runId, resumedFrom }: RunManifest,
): Promise<Mark> {
  for (;;) {
    const there = await marksIn(world.files, folder);
    // what a run has still to do of its own tasks is asked for before
    for (const one of there)
      if (one.taskId === taskId && one.by !== resumedFrom) await requireOver(world, runs, folder, one);
    const number = 1 + Math.max(0, ...there.map((one) => one.number));
    const name = `again-${taskId}-${number}.json`;
    try {
      await world.files.writeNew(join(folder, name), JSON.stringify({ runId }));
      return { name, taskId, number, by: runId };
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
  }
}

/** Throws a UserError while the run of a mark goes on, or may just be being made. */
async function requireOver(
  { files, clock }: World,
  runs: RunService,
  folder: string,
  { name, taskId, by }: Mark,
): Promise<void> {
  const view = by === null ? null : await runs.view(by).catch(() => null);
  const ageMs = Math.abs(clock.now() - (files.factsNow(join(folder, name))?.modifiedMs ?? 0));
  if (view && !isTerminal(view.state.status))
    throw new UserError(
      "resumed-already",
      `Run ${by} goes on with ${view.manifest.resumedFrom} already, and does task ${taskId}. /team-status ${by} shows it.`,
    );
  if (!view && ageMs < MADE_WITHIN_MS)
    throw new UserError(
      "resumed-already",
      `Run ${by} is just being made, to do task ${taskId} again. /team-status shows it; where it is not there in a minute, try again.`,
    );
}
