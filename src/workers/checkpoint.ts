import { dirname, join } from "node:path";
import type { TreeChanges } from "../events/crew-event.ts";
import { UserError } from "../system/errors.ts";
import { isObject, parseObject } from "../system/json.ts";
import { makeRealFolder } from "../system/real-folder.ts";
import type { Clock, Files } from "../system/world.ts";
import { type Git, readable } from "./git.ts";
import { Snapshots } from "./snapshot.ts";
import type { Checkpoint, LifecycleEventType } from "./step-contract.ts";

/** What an attempt changed in its work tree, kept as numbered patches that can be put back. */

const patchBytesMax = 32 * 1024 * 1024;
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

interface Found {
  checkpoint: Checkpoint;
  patch: string;
}

export class Checkpoints {
  readonly #files: Files;
  readonly #clock: Pick<Clock, "now">;
  readonly #attempt: { folder: string; number: number; hint?: string };
  readonly #tell: (event: LifecycleEventType, detail: string) => void;
  #open: { snapshots: Snapshots; base: string } | null = null;
  #seq = 0;
  readonly taken: Checkpoint[] = [];

  constructor(
    world: { files: Files; clock: Pick<Clock, "now"> },
    attempt: { folder: string; number: number; hint?: string },
    tell: (event: LifecycleEventType, detail: string) => void,
  ) {
    this.#files = world.files;
    this.#clock = world.clock;
    this.#attempt = attempt;
    this.#tell = tell;
  }

  /**
   * Remembers the tree as it is; with `resumeFromSeq` it first becomes as it was at that checkpoint of the task, and
   * what nobody has kept of it is kept as a checkpoint before. Throws a UserError where no checkpoint can be.
   */
  async begin(git: Git, resumeFromSeq: number | null = null): Promise<void> {
    const files = this.#files;
    const folder = await makeRealFolder(files, this.#attempt.folder, "checkpoints");
    const siblings = await this.#siblings();
    const alternates = siblings.filter((path) => path !== folder).map((path) => join(path, "objects"));
    this.#seq = Math.max(0, ...(await Promise.all(siblings.map((path) => lastSeq(files, path)))));
    const snapshots = await Snapshots.open(files, git, folder, alternates);
    this.#open = { snapshots, base: await snapshots.take() };
    if (resumeFromSeq !== null) await this.#restore(snapshots, await this.#find(siblings, resumeFromSeq));
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
    const name = String(this.#seq).padStart(4, "0");
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

  async #restore(snapshots: Snapshots, { checkpoint, patch }: Found): Promise<void> {
    const { baseTree, tree, seq } = checkpoint;
    const { git } = snapshots;
    const now = this.#open?.base ?? "";
    if ((await git.try(["cat-file", "-e", `${baseTree}^{tree}`])).code !== 0)
      throw new UserError("checkpoint", `Checkpoint ${seq} can't be restored: the tree it began with is gone.`);
    const made = await this.#applied(git, baseTree, patch);
    if (made !== tree)
      throw new UserError("checkpoint", `Checkpoint ${seq} can't be restored: ${patch} is not what was written.`);
    if (now !== baseTree && now !== tree) {
      const { filesChanged } = await changesBetween(git, baseTree, now);
      await this.#write(git, { why: "backup", baseTree, tree: now }, filesChanged);
    }
    await this.#spareIgnored(snapshots, now, tree);
    await git.ask(["read-tree", "-m", "-u", now, tree]);
    this.#open = { snapshots, base: baseTree };
  }

  /** No checkpoint has them, and git would replace them. */
  async #spareIgnored({ git, tree: { top } }: Snapshots, now: string, wanted: string): Promise<void> {
    const added = await git.paths(["diff-tree", "-r", "-z", "--name-only", "--diff-filter=A", now, wanted]);
    const ignored = await git.paths(["ls-files", "-z", "-o", "-i", "--exclude-standard", "--directory"]);
    for (const path of ignored.map((it) => it.replace(/\/$/, ""))) {
      const inTheWay = added.find((it) => it === path || path.startsWith(`${it}/`) || it.startsWith(`${path}/`));
      if (inTheWay === undefined || this.#files.factsNow(join(top, readable(inTheWay))) === null) continue;
      const message = `No checkpoint is restored over ${join(top, readable(inTheWay))}, which git ignores: move it away first.`;
      throw new UserError("checkpoint", message);
    }
  }

  /** The tree that the patch makes of another, in an index of its own. */
  async #applied(git: Git, tree: string, patch: string): Promise<string> {
    const index = join(this.#attempt.folder, "checkpoints", "restored");
    const own = git.with({ GIT_INDEX_FILE: index });
    const bytes = await this.#files.read(patch, patchBytesMax);
    await own.ask(["read-tree", tree]);
    const input = Buffer.from(bytes ?? []).toString("latin1");
    await own.ask(["-c", "apply.ignoreWhitespace=no", "apply", "--cached", "--whitespace=nowarn", "-"], { input });
    const made = await own.line(["write-tree", "--missing-ok"]);
    await this.#files.remove(index);
    return made;
  }

  async #find(folders: readonly string[], seq: number): Promise<Found> {
    const name = String(seq).padStart(4, "0");
    for (const folder of folders) {
      const checkpoint = parseCheckpoint(await this.#files.readText(join(folder, `${name}.json`)));
      if (checkpoint && checkpoint.bytes !== null) return { checkpoint, patch: join(folder, `${name}.patch`) };
    }
    throw new UserError(
      "checkpoint",
      `Checkpoint ${seq} can't be restored: the task has none of that number with a patch.`,
    );
  }

  /** The folders with checkpoints of all attempts of the task, this one's included. */
  async #siblings(): Promise<string[]> {
    const task = dirname(this.#attempt.folder);
    const found: string[] = [];
    for (const name of await this.#files.list(task)) {
      const folder = join(task, name, "checkpoints");
      const real = (await this.#files.facts(join(task, name)))?.kind === "directory";
      if (real && (await this.#files.facts(folder))?.kind === "directory") found.push(folder);
    }
    return found;
  }
}

/** Lines as git counts them: none of a binary file. */
async function changesBetween(git: Git, before: string, after: string): Promise<TreeChanges> {
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

async function lastSeq(files: Files, folder: string): Promise<number> {
  const numbers = (await files.list(folder)).map((name) => Number(/^(\d{4,9})\.(?:json|patch)$/.exec(name)?.[1] ?? 0));
  return Math.max(0, ...numbers);
}

function parseCheckpoint(text: string | null): Checkpoint | null {
  const value = parseObject(text);
  const trees = [value?.["baseTree"], value?.["tree"]];
  const usable = isObject(value) && trees.every((tree) => /^[0-9a-f]{40,64}$/.test(String(tree)));
  return usable ? (value as unknown as Checkpoint) : null;
}
