import { basename } from "node:path";
import { type RunManifest, specOf } from "../runs/manifest.ts";
import { inheritedCommits, worksApart, writes } from "../runs/work-trees.ts";
import { attemptFolder, runPaths } from "../store/layout.ts";
import type { RunView } from "../store/run-store.ts";
import { UserError } from "../system/errors.ts";
import { makeRealFolder } from "../system/real-folder.ts";
import { Checkpoints } from "../workers/checkpoint.ts";
import { Git } from "../workers/git.ts";
import { restorePlace, taskFolderOf } from "./checkpoint-place.ts";
import { forgetUnmade } from "./kept-files.ts";
import { agreeToRestore, previewRestore } from "./restore-checkpoint.ts";
import type { Session } from "./session.ts";

const GIT_MS = 60_000;

/** Where a task is to begin: at a checkpoint of its earlier run. */
export interface BeginAt {
  seq: number;
  /** The user need not be asked any more. */
  agreed: boolean;
}

/**
 * Asks whether the project's tree may be made what it was, where the task works in that; a worktree is the run's own.
 * Throws a UserError when the task can't begin there, or the user declines.
 */
export async function agreeToBegin(
  session: Session,
  old: RunView,
  taskId: string,
  again: ReadonlySet<string>,
  { seq, agreed }: BeginAt,
): Promise<void> {
  const spec = specOf(old.manifest, taskId);
  if (!writes(spec)) throw new UserError("no-checkpoint", `Task ${taskId} only reads: it has no checkpoint.`);
  const anew = spec.dependsOn.filter((id) => again.has(id));
  if (anew.length > 0)
    throw new UserError(
      "no-checkpoint",
      `Task ${taskId} can't begin at a checkpoint: ${anew.join(", ")}, which it depends on, is done again, and the checkpoint has nothing of that.`,
    );
  if (worksApart(old.manifest, spec, inheritedCommits(old.manifest, spec, old.state))) return;
  const place = await restorePlace(session, old, taskId);
  const preview = await previewRestore(session, place, seq);
  if (preview.paths.length > 0 && !(await agreeToRestore(session, preview, agreed)))
    throw new UserError("declined", "Nothing was started, and nothing was changed.");
}

/** The new run with the checkpoint as one of its task's own, before its first attempt. Throws a UserError when it can't be. */
export async function beginAt(
  session: Session,
  old: RunView,
  manifest: RunManifest,
  taskId: string,
  { seq }: BeginAt,
): Promise<RunManifest> {
  const { files, processes } = session.world;
  const { crewRoot } = (await session.runs()).store;
  const from = await taskFolderOf(session, old, taskId);
  const { folder } = runPaths(crewRoot, manifest.runId);
  const before = attemptFolder(crewRoot, manifest.runId, taskId, 0);
  const hint = `checkpoint ${seq} of run ${old.manifest.runId}`;
  const checkpoints = new Checkpoints(session.world, { folder: before, number: 0, hint, from }, () => undefined);
  try {
    await files.makeFolder(folder);
    await makeRealFolder(files, folder, "tasks", taskId, basename(before));
    const own = await checkpoints.carry(new Git(processes, manifest.cwd, GIT_MS), seq);
    const tasks = manifest.tasks.map((task) => (task.taskId === taskId ? { ...task, resumeFromSeq: own.seq } : task));
    return { ...manifest, tasks };
  } catch (error) {
    await forgetUnmade(files, crewRoot, manifest.runId);
    throw error;
  }
}
