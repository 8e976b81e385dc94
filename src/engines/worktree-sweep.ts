import { join } from "node:path";
import type { RunManifest } from "../runs/manifest.ts";
import { branchOf } from "../runs/work-trees.ts";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import { Git } from "../workers/git.ts";
import { OURS } from "../workers/snapshot.ts";

const gitMs = 60_000;

/** What of an ended run's work is still to be taken over, or looked at. */
export interface WorktreeRest {
  /** Branches with work that is neither in the user's HEAD nor in another branch of the run. */
  branches: readonly string[];
  /** Worktrees with changes that no commit has. */
  folders: readonly string[];
}

/**
 * Removes the worktrees of an ended run that hold no unsaved change, and its branches whose work is elsewhere too.
 * Repeating it changes nothing; what git refuses stays, and is told as what is left.
 */
export async function endWorktrees(
  { files, processes, log }: Pick<World, "files" | "processes" | "log">,
  { runId, cwd, tasks }: Pick<RunManifest, "runId" | "cwd" | "tasks">,
  crewRoot: string,
): Promise<WorktreeRest> {
  const git = new Git(processes, cwd, gitMs);
  const root = join(crewRoot, "worktrees", runId);
  const folders: string[] = [];
  const real = [join(crewRoot, "worktrees"), root].every((path) => files.factsNow(path)?.kind === "directory");
  for (const name of real ? await files.list(root) : []) {
    const folder = join(root, name);
    const kept = await removeClean(git, folder).catch(messageOf);
    if (kept !== null) log.warn("a worktree was not removed", { folder, why: kept });
    if (kept !== null) folders.push(folder);
  }
  if (real && folders.length === 0) await files.remove(root);
  await git.try(["worktree", "prune"]);
  const branches = tasks.map(({ taskId }) => branchOf(runId, taskId));
  return { branches: await removeMerged(git, branches), folders };
}

/** Null when it is gone, else why it stays. */
async function removeClean(git: Git, folder: string): Promise<string | null> {
  const own = git.in(folder);
  // within a folder that is no worktree, git would speak of the user's own
  if ((await own.line(["rev-parse", "--show-toplevel"])) !== folder) return "it is no worktree";
  const changed = (await own.paths(["status", "-z", "--porcelain", "--no-renames"])).filter(
    (it) => !OURS.test(it.slice(3)),
  );
  if (changed.length > 0) return `${changed.length} unsaved changes`;
  await git.ask(["worktree", "remove", "--force", folder]);
  return null;
}

/** The names of those that stay. Of two with the same work it is the earlier task's, which did it. */
async function removeMerged(git: Git, branches: readonly string[]): Promise<string[]> {
  const there = await Promise.all(
    branches.map((branch) => git.try(["rev-parse", "-q", "--verify", `refs/heads/${branch}`])),
  );
  let left = branches.filter((_, index) => there[index]?.code === 0);
  for (const branch of left.toReversed()) {
    const others = left.filter((it) => it !== branch);
    const held = await Promise.all(
      ["HEAD", ...others].map((it) => git.try(["merge-base", "--is-ancestor", branch, it])),
    );
    if (!held.some(({ code }) => code === 0)) continue;
    // one that a worktree still has stays, which git sees to
    await git.try(["branch", "-D", branch]);
    left = others;
  }
  return left;
}
