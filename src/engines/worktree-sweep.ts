import { join, sep } from "node:path";
import type { RunManifest } from "../runs/manifest.ts";
import { branchOf } from "../runs/work-trees.ts";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import { Git, readable } from "../workers/git.ts";
import { OURS } from "../workers/snapshot.ts";
import { gitInWorktree } from "./worktree-git.ts";

const gitMs = 60_000;

/** What of an ended run's work is still to be taken over, or looked at. */
export interface WorktreeRest {
  /** Branches with work that neither a branch of the user's, a tag, nor another branch of the run has. */
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
    const kept = await removeClean(git, files, folder).catch(messageOf);
    if (kept !== null) log.warn("a worktree was not removed", { folder, why: kept });
    if (kept !== null) folders.push(folder);
  }
  if (real && folders.length === 0) await files.remove(root);
  await forgetRemoved(git, files, join(await files.realPath(crewRoot), "worktrees", runId));
  const branches = tasks.map(({ taskId }) => branchOf(runId, taskId));
  return { branches: await removeMerged(git, branches), folders };
}

/** Of the run only: pruning would also forget worktrees of the user's on a disk that is away. */
async function forgetRemoved(git: Git, files: World["files"], root: string): Promise<void> {
  const { stdout } = await git.try(["worktree", "list", "--porcelain"]);
  const prefix = `worktree ${root}${sep}`;
  for (const line of readable(stdout).split("\n")) {
    const folder = line.slice("worktree ".length);
    if (line.startsWith(prefix) && files.factsNow(folder) === null)
      await git.try(["worktree", "remove", "--force", "--force", folder]);
  }
}

/** Null when it is gone, else why it stays. */
async function removeClean(git: Git, files: World["files"], folder: string): Promise<string | null> {
  if (files.factsNow(folder)?.kind !== "directory") return "it is no real folder";
  const own = await gitInWorktree(git, files, folder);
  if (!own && (await files.list(folder)).length > 0) return "it is no worktree";
  if (!own) {
    await files.remove(folder);
    return null;
  }
  // whatever the user has set for his own eyes
  const all = ["--untracked-files=normal", "--ignore-submodules=none"];
  const told = await own.paths(["status", "-z", "--porcelain", "--no-renames", ...all]);
  const changed = told.filter((it) => !OURS.test(it.slice(3)));
  if (changed.length > 0) return `${changed.length} unsaved changes`;
  const inner = await innerRepositories(own, files, folder);
  if (inner.length > 0) return `what lies in ${inner.join(", ")} is in no commit of this repository`;
  await git.ask(["worktree", "remove", "--force", folder]);
  return null;
}

/** Repositories within a worktree, submodules too: its own commits hold no more of them than a number. */
async function innerRepositories(git: Git, files: World["files"], folder: string): Promise<string[]> {
  const entries = await git.paths(["ls-tree", "-r", "-z", "HEAD"]);
  const paths = entries.filter((it) => it.startsWith("160000 ")).map((it) => readable(it.slice(it.indexOf("\t") + 1)));
  const lists = await Promise.all(paths.map((path) => files.list(join(folder, path))));
  return paths.filter((_, at) => (lists[at]?.length ?? 0) > 0);
}

/** The names of those that stay. Of two with the same work it is the earlier task's, which did it. */
async function removeMerged(git: Git, branches: readonly string[]): Promise<string[]> {
  const there = await refs(git, branches.map(fullName));
  let left = branches.filter((branch) => there.includes(fullName(branch)));
  for (const branch of left.toReversed()) {
    const others = left.filter((it) => it !== branch);
    // HEAD alone does not count: it may be at a commit without a name, which is lost when it moves on
    const holders = await refs(git, [`--contains=${fullName(branch)}`, "refs/heads", "refs/remotes", "refs/tags"]);
    // a branch of another run may be removed for this one's sake at this moment
    if (!holders.some((ref) => !ref.startsWith(fullName("foreman/")) || others.map(fullName).includes(ref))) continue;
    // one that a worktree still has stays, which git sees to
    await git.try(["branch", "-D", branch]);
    left = others;
  }
  return left;
}

const fullName = (branch: string) => `refs/heads/${branch}`;

async function refs(git: Git, which: readonly string[]): Promise<string[]> {
  if (which.length === 0) return [];
  const { code, stdout } = await git.try(["for-each-ref", "--format=%(refname)", ...which]);
  return code === 0 ? readable(stdout).split("\n").filter(Boolean) : [];
}
