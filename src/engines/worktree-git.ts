import { basename, dirname, join, resolve } from "node:path";
import type { Files } from "../system/world.ts";
import type { Git } from "../workers/git.ts";

const linkBytesMax = 16_384;

/**
 * git in a worktree of `git`'s repository, told where that is: looking for it, git would find the user's own tree
 * around a worktree that has lost its `.git`, and change that. Null where the folder and the repository's record of it
 * do not name each other: it is no worktree (any more), whatever an agent put there.
 */
export async function gitInWorktree(git: Git, files: Files, folder: string): Promise<Git | null> {
  if (files.factsNow(folder)?.kind !== "directory") return null;
  const top = await files.realPath(folder);
  const link = join(top, ".git");
  const toRecord = /^gitdir: (.+)/.exec(await firstLine(files, link))?.[1];
  if (toRecord === undefined) return null;
  const record = await files.realPath(resolve(top, toRecord));
  const common = resolve(git.folder, await git.line(["rev-parse", "--git-common-dir"]));
  if (dirname(record) !== join(await files.realPath(common), "worktrees")) return null;
  const back = resolve(record, await firstLine(files, join(record, "gitdir")));
  if (basename(back) !== ".git" || (await files.realPath(dirname(back))) !== top) return null;
  return git.in(top).with({ GIT_DIR: record, GIT_WORK_TREE: top });
}

/** Empty for what is no regular file. */
async function firstLine(files: Files, path: string): Promise<string> {
  if (files.factsNow(path)?.kind !== "file") return "";
  const text = await files.readText(path, linkBytesMax).catch(() => null);
  return text?.split("\n", 1)[0] ?? "";
}
