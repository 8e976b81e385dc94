import { dirname, join } from "node:path";
import { gitInWorktree } from "../engines/worktree-git.ts";
import { specOf } from "../runs/manifest.ts";
import { attemptUnderWay, isTerminal, taskOf } from "../runs/run-state.ts";
import { inheritedCommits, worksApart, writes } from "../runs/work-trees.ts";
import { attemptFolder, refusePlantedTasks, runPaths } from "../store/layout.ts";
import type { RunView } from "../store/run-store.ts";
import { UserError } from "../system/errors.ts";
import { Git } from "../workers/git.ts";
import type { Session } from "./session.ts";

const GIT_MS = 60_000;
const ATTEMPT = /^a\d{4,}$/;
const RUNS_LOOKED_AT_MAX = 200;

/** A task's checkpoints, and the tree they are of. */
export interface CheckpointPlace {
  /** `tasks/<taskId>` of the run. */
  taskFolder: string;
  /** Where what a restore replaces is kept: the last attempt's. */
  attempt: { folder: string; number: number };
  /** The tree's top folder, as people are told of it. */
  workFolder: string;
  git: Git;
}

/** `tasks/<taskId>` of a run that may have come with a repository. Throws a UserError for a planted one, or no such task. */
export async function taskFolderOf(session: Session, { manifest }: RunView, taskId: string): Promise<string> {
  const { store } = await session.runs();
  specOf(manifest, taskId);
  await refusePlantedTasks(session.world.files, runPaths(store.crewRoot, manifest.runId));
  return dirname(attemptFolder(store.crewRoot, manifest.runId, taskId, 1));
}

/** Where a task's checkpoints are restored. Throws a UserError where nothing may be changed, or there is no such place. */
export async function restorePlace(session: Session, view: RunView, taskId: string): Promise<CheckpointPlace> {
  const { files } = session.world;
  const { manifest, state } = view;
  const taskFolder = await taskFolderOf(session, view, taskId);
  if (manifest.cwd !== session.cwd)
    throw new UserError("elsewhere", `Run ${manifest.runId} worked in ${manifest.cwd}: start Pi there to restore it.`);
  const last = (await files.list(taskFolder)).filter((name) => ATTEMPT.test(name)).at(-1);
  if (last === undefined)
    throw new UserError("checkpoint", `Task ${taskId} of run ${manifest.runId} has no attempt, so no checkpoint.`);
  const attempt = { folder: join(taskFolder, last), number: Number(last.slice(1)) };
  const git = new Git(session.world.processes, manifest.cwd, GIT_MS);
  const spec = specOf(manifest, taskId);
  const apart = worksApart(manifest, spec, inheritedCommits(manifest, spec, state));
  const task = taskOf(state, taskId);
  if (task && attemptUnderWay(task)) throw underWay(manifest.runId, taskId);
  if (!apart) {
    await requireQuietTree(session);
    return { taskFolder, attempt, workFolder: manifest.cwd, git };
  }
  const { crewRoot } = (await session.runs()).store;
  const workFolder = join(crewRoot, "worktrees", manifest.runId, taskId);
  const own = await realWorktree(session, git, crewRoot, manifest.runId, workFolder);
  if (own) return { taskFolder, attempt, workFolder, git: own };
  throw new UserError(
    "worktree",
    `The worktree of task ${taskId}, ${workFolder}, is there no more: a run's worktrees go at its end when all is committed. ` +
      `/team-redrive ${manifest.runId} ${taskId} --checkpoint <n> begins the task anew from a checkpoint; ` +
      `git apply takes over the patch itself, from ${join(taskFolder, "*", "checkpoints")}.`,
  );
}

async function realWorktree({ world }: Session, git: Git, crewRoot: string, runId: string, folder: string) {
  const { files } = world;
  const above = [join(crewRoot, "worktrees"), join(crewRoot, "worktrees", runId), folder];
  return above.every((path) => files.factsNow(path)?.kind === "directory") ? gitInWorktree(git, files, folder) : null;
}

/** Throws a UserError while somebody who may write is at work in the project's own tree. */
async function requireQuietTree(session: Session): Promise<void> {
  const views = await (await session.runs()).views(RUNS_LOOKED_AT_MAX);
  for (const { manifest, state } of views.filter((view) => !isTerminal(view.state.status)))
    for (const spec of manifest.tasks) {
      const task = taskOf(state, spec.taskId);
      const apart = worksApart(manifest, spec, inheritedCommits(manifest, spec, state));
      if (task && attemptUnderWay(task) && writes(spec) && !apart) throw underWay(manifest.runId, spec.taskId);
    }
}

function underWay(runId: string, taskId: string): UserError {
  return new UserError(
    "at-work",
    `Nothing is restored: task ${taskId} of run ${runId} is at work in that folder. Wait for its end, or /team-cancel ${runId}.`,
  );
}
