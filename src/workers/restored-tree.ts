import { join } from "node:path";
import { UserError } from "../system/errors.ts";
import type { Files } from "../system/world.ts";
import { type FoundCheckpoint, patchBytesMax } from "./checkpoint-files.ts";
import { type Git, readable } from "./git.ts";
import { OURS, type Snapshots } from "./snapshot.ts";

/** What a work tree becomes when a checkpoint is put back: worked out in an index of its own, before anything is changed. */

/** The tree of a checkpoint, made anew from its patch. Throws a UserError when that is not what was recorded. */
export async function treeOfPatch(
  files: Files,
  snapshots: Snapshots,
  { checkpoint, patch }: FoundCheckpoint,
): Promise<string> {
  const { baseTree, tree, seq } = checkpoint;
  const refused = (why: string) => new UserError("checkpoint", `Checkpoint ${seq} can't be restored: ${why}.`);
  if ((await snapshots.git.try(["cat-file", "-e", `${baseTree}^{tree}`])).code !== 0)
    throw refused("the tree it began with is gone");
  const bytes = await files.read(patch, patchBytesMax);
  const input = Buffer.from(bytes ?? []).toString("latin1");
  const made = await inOwnIndex(files, snapshots, baseTree, async (git) => {
    // of a tree that is the one it began with there is no patch
    if (input === "") return;
    const apply = ["-c", "apply.ignoreWhitespace=no", "apply", "--cached", "--whitespace=nowarn", "-"];
    const { code, stderr } = await git.try(apply, { input });
    if (code !== 0) throw refused(`git does not take ${patch}: ${readable(stderr).trim().slice(-300)}`);
  });
  if (made !== tree) throw refused(`${patch} is not what was written`);
  return tree;
}

/** A tree with what is ours as another has it: definitions may have been committed since, or been planted in the tree. */
export async function withOursOf(files: Files, snapshots: Snapshots, theirs: string, tree: string): Promise<string> {
  const { git } = snapshots;
  const changed = await git.paths(["diff-tree", "-r", "-z", "--name-only", theirs, tree]);
  const ours = changed.filter((path) => OURS.test(path));
  if (ours.length === 0) return tree;
  const gone = ours.map((path) => `0 ${"0".repeat(tree.length)}\t${path}\0`);
  const there = await git.paths(["ls-tree", "-r", "-z", "--full-tree", theirs, "--", ...ours.map(readable)]);
  return await inOwnIndex(files, snapshots, tree, async (own) => {
    const input = [...gone, ...there.map((line) => `${line}\0`)].join("");
    await own.ask(["update-index", "-z", "--index-info"], { input });
  });
}

/** No checkpoint has what is ignored, and git would replace it. Throws a UserError that names it. */
export async function spareIgnored(
  files: Files,
  { git, tree: { top } }: Snapshots,
  now: string,
  wanted: string,
): Promise<void> {
  const added = await git.paths(["diff-tree", "-r", "-z", "--name-only", "--diff-filter=A", now, wanted]);
  const ignored = await git.paths(["ls-files", "-z", "-o", "-i", "--exclude-standard", "--directory"]);
  for (const path of ignored.map((it) => it.replace(/\/$/, ""))) {
    const inTheWay = added.find((it) => it === path || path.startsWith(`${it}/`) || it.startsWith(`${path}/`));
    if (inTheWay === undefined || files.factsNow(join(top, readable(inTheWay))) === null) continue;
    const message = `No checkpoint is restored over ${join(top, readable(inTheWay))}, which git ignores: move it away first.`;
    throw new UserError("checkpoint", message);
  }
}

async function inOwnIndex(
  files: Files,
  { git, scratch }: Snapshots,
  tree: string,
  change: (own: Git) => Promise<void>,
): Promise<string> {
  const index = join(scratch, "restored");
  const own = git.with({ GIT_INDEX_FILE: index });
  // what git killed with its process left
  for (const stale of [index, `${index}.lock`]) await files.remove(stale);
  await own.ask(["read-tree", tree]);
  await change(own);
  const made = await own.line(["write-tree", "--missing-ok"]);
  await files.remove(index);
  return made;
}
