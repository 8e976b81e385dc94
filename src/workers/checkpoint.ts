import { dirname, join } from "node:path";
import type { TreeChanges } from "../events/crew-event.ts";
import { invariant, UserError } from "../system/errors.ts";
import { makeRealFolder } from "../system/real-folder.ts";
import type { Clock, Files } from "../system/world.ts";
import {
  checkpointFolders,
  type FoundCheckpoint,
  findCheckpoint,
  lastNumber,
  nameOf,
  patchBytesMax,
} from "./checkpoint-files.ts";
import type { Git } from "./git.ts";
import { spareIgnored, treeOfPatch, withOursOf } from "./restored-tree.ts";
import { changesBetween, Snapshots } from "./snapshot.ts";
import type { Checkpoint, LifecycleEventType } from "./step-contract.ts";

/** What an attempt changed in its work tree, kept as numbered patches that can be put back. */

const PATCH = [
  "diff-tree",
  "-r",
  "-p",
  "-M",
  "--binary",
  "--full-index",
  "--no-ext-diff",
  "--no-textconv",
  "--no-color",
];

interface Place {
  /** Of an attempt. */
  folder: string;
  number: number;
  hint?: string;
  /** Another task's folder, whose checkpoints are there to be restored too. */
  from?: string;
}

/** What a restore did to the tree. */
export interface Restored {
  /** That changed. */
  files: number;
  /** What the tree held before; null when that is kept already, or nothing changed. */
  backup: Checkpoint | null;
}

export class Checkpoints {
  readonly #files: Files;
  readonly #clock: Pick<Clock, "now">;
  readonly #attempt: Place;
  readonly #tell: (event: LifecycleEventType, detail: string) => void;
  #open: { snapshots: Snapshots; base: string } | null = null;
  #seq = 0;
  /** In which checkpoints are looked for. */
  #folders: readonly string[] = [];
  readonly taken: Checkpoint[] = [];

  constructor(
    world: { files: Files; clock: Pick<Clock, "now"> },
    attempt: Place,
    tell: (event: LifecycleEventType, detail: string) => void,
  ) {
    this.#files = world.files;
    this.#clock = world.clock;
    this.#attempt = attempt;
    this.#tell = tell;
  }

  /** Remembers the tree as it is. Throws a UserError where no checkpoint can be. */
  async begin(git: Git): Promise<void> {
    const snapshots = await this.#openSnapshots(git);
    this.#open = { snapshots, base: await snapshots.take() };
  }

  /** The paths that a restore would change, one character for each byte. Throws a UserError when it can't be restored. */
  async differences(seq: number): Promise<string[]> {
    const { snapshots, base } = this.#begun();
    const tree = await this.#restorable(snapshots, base, await this.#find(seq));
    return await changedPaths(snapshots, base, tree);
  }

  /**
   * Makes the tree what it was at that checkpoint of the task; what nobody has kept of it is kept as a checkpoint before:
   * of `all`, also what that checkpoint began with. Throws a UserError when it can't be restored, or what is there can't
   * be kept.
   */
  async restore(seq: number, keep: "unkept" | "all"): Promise<Restored> {
    const { snapshots, base } = this.#begun();
    const found = await this.#find(seq);
    const { baseTree } = found.checkpoint;
    const tree = await this.#restorable(snapshots, base, found);
    const isKept = base === tree || (base === baseTree && keep === "unkept");
    const backup = isKept ? null : await this.#keepBefore(snapshots.git, baseTree, base);
    const changed = await changedPaths(snapshots, base, tree);
    await snapshots.git.ask(["read-tree", "-m", "-u", base, tree]);
    this.#open = { snapshots, base: baseTree };
    return { files: changed.length, backup };
  }

  /**
   * Keeps a checkpoint of the task `from` as one of this task's own, as a change of what is committed: it needs nothing of
   * that task any more. Throws a UserError when it can't be restored, or can't be kept.
   */
  async carry(git: Git, seq: number): Promise<Checkpoint> {
    const snapshots = await this.#openSnapshots(git);
    try {
      const found = await this.#find(seq);
      const tree = await treeOfPatch(this.#files, snapshots, found);
      const baseTree = await snapshots.git.line(["rev-parse", "HEAD^{tree}"]);
      const { filesChanged } = await changesBetween(snapshots.git, baseTree, tree);
      const kept = await this.#write(snapshots.git, { why: found.checkpoint.why, baseTree, tree }, filesChanged);
      if (kept.bytes !== null) return kept;
    } finally {
      await snapshots.close();
    }
    throw new UserError(
      "checkpoint",
      `Checkpoint ${seq} is too large to be handed on: ${patchBytesMax} bytes is the most.`,
    );
  }

  async #openSnapshots(git: Git): Promise<Snapshots> {
    const files = this.#files;
    const folder = await makeRealFolder(files, this.#attempt.folder, "checkpoints");
    await makeRealFolder(files, folder, "objects");
    const own = await checkpointFolders(files, dirname(this.#attempt.folder));
    const { from } = this.#attempt;
    this.#folders = from === undefined ? own : await checkpointFolders(files, from);
    this.#seq = await lastNumber(files, own);
    const others = new Set([...own, ...this.#folders].filter((path) => path !== folder));
    return await Snapshots.open(files, git, folder, await this.#objectsIn([...others]));
  }

  /** Real folders only: what a planted link leads to is nobody's checkpoint. */
  async #objectsIn(folders: readonly string[]): Promise<string[]> {
    const found: string[] = [];
    for (const path of folders.map((folder) => join(folder, "objects")))
      if ((await this.#files.facts(path))?.kind === "directory") found.push(path);
    return found;
  }

  #find(seq: number): Promise<FoundCheckpoint> {
    return findCheckpoint(this.#files, this.#folders, seq);
  }

  /**
   * The checkpoint is null when nothing has changed since the beginning; all is null without a beginning. Throws what git
   * says, also when a call of it takes longer than `gitMs`.
   */
  async take(
    why: Checkpoint["why"],
    gitMs: number,
  ): Promise<{ changes: TreeChanges; checkpoint: Checkpoint | null } | null> {
    if (!this.#open) return null;
    const { base } = this.#open;
    const snapshots = this.#open.snapshots.within(gitMs);
    const tree = await snapshots.take();
    const changes = await changesBetween(snapshots.git, base, tree);
    const last = this.taken.at(-1);
    if (tree === base || last?.tree === tree) return { changes, checkpoint: last ?? null };
    return {
      changes,
      checkpoint: await this.#write(snapshots.git, { why, baseTree: base, tree }, changes.filesChanged),
    };
  }

  /** Keeps what the tree was at the beginning, as a change of the commit `before`; null when it was no other. */
  async backUp(before: string): Promise<Checkpoint | null> {
    if (!this.#open) return null;
    const { snapshots, base } = this.#open;
    const baseTree = await snapshots.git.line(["rev-parse", `${before}^{tree}`]);
    if (base === baseTree) return null;
    const { filesChanged } = await changesBetween(snapshots.git, baseTree, base);
    return await this.#write(snapshots.git, { why: "backup", baseTree, tree: base }, filesChanged);
  }

  async close(): Promise<void> {
    await this.#open?.snapshots.close();
  }

  async #write(
    git: Git,
    what: Pick<Checkpoint, "why" | "baseTree" | "tree">,
    filesChanged: number,
  ): Promise<Checkpoint> {
    this.#seq += 1;
    const name = nameOf(this.#seq);
    this.#tell("checkpoint_slot_reserved", name);
    const { code, stdout } = await git.try([...PATCH, what.baseTree, what.tree]);
    const fits = code === 0 && stdout.length <= patchBytesMax;
    const checkpoint: Checkpoint = {
      seq: this.#seq,
      attempt: this.#attempt.number,
      createdAt: new Date(this.#clock.now()).toISOString(),
      hint: this.#attempt.hint ?? "",
      ...what,
      files: filesChanged,
      bytes: fits ? stdout.length : null,
    };
    const folder = join(this.#attempt.folder, "checkpoints");
    if (fits) await this.#files.writeAtomic(join(folder, `${name}.patch`), Buffer.from(stdout, "latin1"));
    await this.#files.writeAtomic(join(folder, `${name}.json`), JSON.stringify(checkpoint));
    this.taken.push(checkpoint);
    const size = fits ? `${stdout.length} bytes` : `no patch, as it would have more than ${patchBytesMax} bytes`;
    this.#tell("checkpoint_created", `${name}: ${what.why}, ${filesChanged} files, ${size}`);
    return checkpoint;
  }

  #begun(): { snapshots: Snapshots; base: string } {
    invariant(this.#open !== null, "a tree is remembered before anything is done to it");
    return this.#open;
  }

  /** The tree that a restore makes of `now`. */
  async #restorable(snapshots: Snapshots, now: string, found: FoundCheckpoint): Promise<string> {
    const wanted = await treeOfPatch(this.#files, snapshots, found);
    const tree = await withOursOf(this.#files, snapshots, now, wanted);
    await spareIgnored(this.#files, snapshots, now, tree);
    return tree;
  }

  /** Throws a UserError when it could not be brought back: then nothing may be changed. */
  async #keepBefore(git: Git, baseTree: string, now: string): Promise<Checkpoint> {
    const { filesChanged } = await changesBetween(git, baseTree, now);
    const backup = await this.#write(git, { why: "backup", baseTree, tree: now }, filesChanged);
    if (backup.bytes !== null) return backup;
    const message = `No checkpoint is restored: what the folder holds now is too large to be kept (${patchBytesMax} bytes is the most).`;
    throw new UserError("checkpoint", message);
  }
}

/** One character for each byte. */
function changedPaths({ git }: Snapshots, before: string, after: string): Promise<string[]> {
  return git.paths(["diff-tree", "-r", "-z", "--name-only", before, after]);
}
