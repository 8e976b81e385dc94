import { join, resolve } from "node:path";
import type { TreeChanges } from "../events/crew-event.ts";
import { UserError } from "../system/errors.ts";
import type { Files } from "../system/world.ts";
import { type Git, GitFailed, readable } from "./git.ts";

/** A folder's work tree as tree objects, beside the user's repository: with an index and objects of our own. */

/** Of all files that differ from what is committed, together. */
const contentBytesMax = 256 * 1024 * 1024;
const SETTINGS = ["core.safecrlf=false", "core.looseCompression=1", "advice.addEmbeddedRepo=false"];
const EVERYTHING_BUT_OURS = [":/", ":(top,exclude,glob)**/.crew", ":(top,exclude,glob)**/.crew/**"];
/** Paths of ours, whatever is in them. */
export const OURS = /(^|\/)\.crew(\/|$)/;

export interface WorkTree {
  /** The work tree's top folder. */
  top: string;
  gitDir: string;
  /** From the top to the folder asked about, with a slash at its end; empty at the top. */
  prefix: string;
  head: string;
  index: string;
  objects: string;
}

/** Throws a UserError that says why there is none: no git, no repository, a bare one, or one without a commit. */
export async function findWorkTree(git: Git): Promise<WorkTree> {
  const names = [
    "--show-toplevel",
    "--absolute-git-dir",
    "--git-path",
    "index",
    "--git-path",
    "objects",
    "--show-prefix",
  ];
  const { code, stdout, stderr } = await git.try(["rev-parse", ...names, "HEAD^{commit}"]);
  const [top, gitDir, index, objects, prefix, head, ...rest] = readable(stdout).split("\n");
  if (code !== 0 || !top || !gitDir || !index || !objects || prefix === undefined || !head || rest.length !== 1)
    throw new UserError("no-work-tree", `${git.folder} is ${whyNot(code, stderr)}.`);
  return { top, gitDir, prefix, head, index: resolve(git.folder, index), objects: resolve(git.folder, objects) };
}

function whyNot(code: number | null, stderr: string): string {
  if (code === null) return "in no git work tree, as git could not be run (is it installed?)";
  if (/unknown revision|ambiguous argument|needed a single revision/i.test(stderr))
    return "a git work tree without a commit";
  return /must be run in a work tree/.test(stderr) ? "in a bare git repository" : "in no git work tree";
}

/** Takes pictures of a work tree; `scratch` is a real folder of ours, which keeps the objects. */
export class Snapshots {
  readonly tree: WorkTree;
  /** In the top folder, with our index and objects. */
  readonly git: Git;
  /** A folder of ours. */
  readonly scratch: string;
  readonly #files: Files;

  private constructor(files: Files, git: Git, tree: WorkTree, scratch: string) {
    this.#files = files;
    this.git = git;
    this.tree = tree;
    this.scratch = scratch;
  }

  /** `alternates`: folders with objects that are needed beside the repository's. Throws a UserError without a work tree. */
  static async open(files: Files, git: Git, scratch: string, alternates: readonly string[] = []): Promise<Snapshots> {
    const tree = await findWorkTree(git);
    const [index, objects] = [join(scratch, "index"), join(scratch, "objects")];
    await files.makeFolder(objects);
    const own = git.in(tree.top).with({
      // whatever is done to `.git` in it: git would look for a repository in the folders around it
      GIT_DIR: tree.gitDir,
      GIT_WORK_TREE: tree.top,
      GIT_INDEX_FILE: index,
      GIT_OBJECT_DIRECTORY: objects,
      GIT_ALTERNATE_OBJECT_DIRECTORIES: [tree.objects, ...alternates].map(quoted).join(":"),
    });
    // what git killed with its worker left
    for (const stale of [index, `${index}.lock`]) await files.remove(stale);
    // what it knows of the files spares reading them all again
    if (await files.facts(tree.index)) await files.copy(tree.index, index);
    else await own.ask(["read-tree", "HEAD"]);
    return new Snapshots(files, own, tree, scratch);
  }

  /** The tree object of what is in the folder now: tracked and new files, none that is ignored, nothing of ours. */
  async take(): Promise<string> {
    await this.#checkSize();
    return stageTree(this.git);
  }

  /** The same with another time limit for each call of git, in milliseconds. */
  within(gitMs: number): Snapshots {
    return new Snapshots(this.#files, this.git.with({}, gitMs), this.tree, this.scratch);
  }

  async close(): Promise<void> {
    await this.#files.remove(join(this.scratch, "index"));
  }

  async #checkSize(): Promise<void> {
    const changed = await this.git.paths(["ls-files", "-z", "-m", "-o", "--exclude-standard"]);
    let bytes = 0;
    for (const path of new Set(changed))
      if (!OURS.test(path)) bytes += this.#files.factsNow(join(this.tree.top, readable(path)))?.bytes ?? 0;
    if (bytes > contentBytesMax)
      throw new UserError(
        "tree-too-large",
        `The files changed in ${this.tree.top} have ${bytes} bytes together, and at most ${contentBytesMax} are kept: ` +
          "let .gitignore name what is made anew by a build.",
      );
  }
}

/** Puts all that is not ignored, and nothing of ours, into the index; resolves to its tree object. */
export async function stageTree(git: Git): Promise<string> {
  const settings = SETTINGS.flatMap((setting) => ["-c", setting]);
  const args = [...settings, "add", "-A", "--ignore-errors", "--", ...EVERYTHING_BUT_OURS];
  // 1: a file that can't be read, which stays as it was
  const { code, stderr } = await git.with({ GIT_LITERAL_PATHSPECS: "0" }).try(args);
  if (code !== 0 && code !== 1) throw new GitFailed(`git add failed: ${readable(stderr).trim().slice(-300)}`);
  return git.line(["write-tree", "--missing-ok"]);
}

/** Lines as git counts them: none of a binary file. */
export async function changesBetween(git: Git, before: string, after: string): Promise<TreeChanges> {
  const told = await git.ask([
    "diff-tree",
    "-r",
    "-z",
    "-M",
    "--numstat",
    "--no-ext-diff",
    "--no-textconv",
    before,
    after,
  ]);
  const changes = { locAdded: 0, locRemoved: 0, filesChanged: 0 };
  for (const [, added, removed] of told.matchAll(/(?:^|\0)(\d+|-)\t(\d+|-)\t/g)) {
    changes.locAdded += Number(added) || 0;
    changes.locRemoved += Number(removed) || 0;
    changes.filesChanged += 1;
  }
  return changes;
}

/** In the list of folders with objects, a colon would end one. */
function quoted(path: string): string {
  return `"${path.replaceAll(/["\\]/g, "\\$&")}"`;
}
