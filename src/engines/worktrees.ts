import { basename, dirname, join, normalize, relative, sep } from "node:path";
import type { AttemptOrder, AttemptReport, TaskEngine } from "../runs/execute.ts";
import { attemptId } from "../runs/run-state.ts";
import { branchOf, worksApart } from "../runs/work-trees.ts";
import { messageOf, UserError } from "../system/errors.ts";
import { makeRealFolder } from "../system/real-folder.ts";
import type { World } from "../system/world.ts";
import { readArtifact } from "../workers/artifacts.ts";
import { readAttemptState } from "../workers/attempt-folder.ts";
import { Checkpoints } from "../workers/checkpoint.ts";
import { Git, readable } from "../workers/git.ts";
import { findWorkTree, stageTree } from "../workers/snapshot.ts";
import { unstartedReport } from "./attempt-report.ts";
import { gitInWorktree } from "./worktree-git.ts";

/** A checkout of a large repository takes that long. */
const gitMs = 300_000;
const REMOVE = ["worktree", "remove", "--force", "--force"];
/** Processes that make worktrees of one repository at the same time fail now and then. */
const addTries = 4;
const addAgainMs = 250;
const FALLBACK_NAME = "pi-foreman";
const FALLBACK_MAIL = "pi-foreman@localhost";

/** Where an attempt works, and what it goes on with. */
type Place = Pick<AttemptOrder, "workFolder" | "resumeFromSeq" | "values">;

/** Gives each task of a team with worktrees its own, and hands over what it did as a commit on its branch. */
export class Worktrees {
  readonly #world: World;
  readonly #crewRoot: string;
  #making: Promise<unknown> = Promise.resolve();

  constructor(world: World, crewRoot: string) {
    this.#world = world;
    this.#crewRoot = crewRoot;
  }

  /** An engine whose attempts work in worktrees where the run wants that. */
  around(engine: TaskEngine): TaskEngine {
    return {
      prepare: (count) => engine.prepare(count),
      dispose: () => engine.dispose(),
      execute: async (order, workerId, hooks, signal) => {
        if (order.manifest.worktrees === null) return engine.execute(order, workerId, hooks, signal);
        // one that is only to be ended may turn out to have completed while nobody saw it
        const place: Partial<Place> | AttemptReport = signal.aborted ? {} : await this.#place(order).catch(refusal);
        if ("outcome" in place) return place;
        const report = await engine.execute({ ...order, ...place }, workerId, hooks, signal);
        return report.outcome === "completed" ? await this.#handOver(order, report) : report;
      },
    };
  }

  /** Makes the task's tree as it begins; leaves it as it is for an attempt that has begun. */
  async #place(order: AttemptOrder): Promise<Place> {
    const { manifest, task, commits, attempt, values } = order;
    const nothing: Place = { workFolder: manifest.cwd, resumeFromSeq: order.resumeFromSeq, values };
    if (!worksApart(manifest, task, commits)) return nothing;
    const { files } = this.#world;
    const git = new Git(this.#world.processes, manifest.cwd, gitMs);
    const { prefix } = await findWorkTree(git);
    const root = await this.#makeRoot(manifest.runId);
    const folder = join(root, task.taskId);
    // in a worktree without its `.git`, an agent's git must not find the user's repository around it either
    const place = {
      ...nothing,
      workFolder: join(folder, prefix),
      values: { ...values, GIT_CEILING_DIRECTORIES: root },
    };
    if (await readAttemptState(files, order.folder)) return place;
    const made = this.#making.then(() => this.#make(git, order, folder));
    this.#making = made.catch(() => undefined);
    await made;
    await merge(await requireWorktree(git, files, folder), order);
    await this.#bringFiles(order, place.workFolder);
    return { ...place, resumeFromSeq: (await this.#goesOnWith(this.#before(order, attempt))) ?? order.resumeFromSeq };
  }

  /** Never seen by the user's git, whatever the `.gitignore` above says. */
  async #makeRoot(runId: string): Promise<string> {
    const { files } = this.#world;
    const all = await makeRealFolder(files, this.#crewRoot, "worktrees");
    const ignore = join(all, ".gitignore");
    const facts = await files.facts(ignore);
    if (facts?.kind !== "file" || (await files.readText(ignore)) !== "*\n") await files.writeAtomic(ignore, "*\n");
    return makeRealFolder(files, all, runId);
  }

  async #make(git: Git, order: AttemptOrder, folder: string): Promise<void> {
    const { files, clock } = this.#world;
    const { manifest, task, commits } = order;
    const start = commits[0] ?? manifest.worktrees?.baseCommit ?? "";
    const facts = await files.facts(folder);
    if (facts && facts.kind !== "directory")
      throw new UserError(
        "planted",
        `${folder} is a ${facts.kind}, but must be a real folder. Remove it and try again.`,
      );
    if (facts) await this.#clear(git, order, folder, start);
    const add = ["worktree", "add", "--force", "-B", branchOf(manifest.runId, task.taskId), folder, start];
    for (let tries = 1; ; tries += 1) {
      // of one whose folder was removed git still knows; pruning would forget worktrees of the user's, too
      await git.try([...REMOVE, folder]);
      if (tries === addTries) return void (await git.ask(add));
      if ((await git.try(add)).code === 0) return;
      await clock.sleep(addAgainMs);
    }
  }

  #folderOf(runId: string): string {
    return join(this.#crewRoot, "worktrees", runId);
  }

  #before({ folder }: AttemptOrder, attempt: number): string {
    return join(dirname(folder), attemptId(attempt - 1));
  }

  /** What a killed worker left is kept beside its attempt; then nothing of the tree stays. */
  async #clear(git: Git, order: AttemptOrder, folder: string, start: string): Promise<void> {
    const { files, log } = this.#world;
    const before = this.#before(order, order.attempt);
    const state = await readAttemptState(files, before);
    const isKept = state?.status === "ended" && state.result.changes !== null;
    if (!isKept && (await files.facts(before))?.kind === "directory" && (await files.list(folder)).length > 0) {
      const own = await requireWorktree(git, files, folder);
      const checkpoints = new Checkpoints(this.#world, { folder: before, number: order.attempt - 1 }, () => undefined);
      await checkpoints.begin(own);
      const kept = await checkpoints.backUp(start);
      await checkpoints.close();
      if (kept) log.warn("a killed worker's changes were kept as a checkpoint", { folder: before, seq: kept.seq });
    }
    const { code } = await git.try([...REMOVE, folder]);
    if (code !== 0) await files.remove(folder);
  }

  /** An attempt that did its work and was refused, or waits for a word, is gone on with; any other begins anew. */
  async #goesOnWith(before: string): Promise<number | null> {
    const state = await readAttemptState(this.#world.files, before);
    if (state?.status !== "ended" || state.result.checkpoint?.bytes == null) return null;
    const { error, needsHuman, checkpoint } = state.result;
    return error?.kind === "verify" || needsHuman ? checkpoint.seq : null;
  }

  /** Files of the run's folder lie at the same place below each work folder. */
  async #bringFiles({ manifest, files: artifacts }: AttemptOrder, workFolder: string): Promise<void> {
    const { files } = this.#world;
    const ours = artifacts.filter(({ path }) => normalize(path).startsWith(manifest.cwd + sep));
    if (ours.length === 0) return;
    const crew = await makeRealFolder(files, workFolder, ".crew");
    const ignore = join(crew, ".gitignore");
    if ((await files.facts(ignore)) === null) await files.writeAtomic(ignore, ".gitignore\nstate/\n");
    for (const artifact of ours) {
      const below = relative(manifest.cwd, artifact.path);
      const bytes = await readArtifact(files, artifact);
      if (bytes === null)
        throw new UserError("artifact", `${artifact.path}, which the task reads, is gone, or was changed since.`);
      await makeRealFolder(files, workFolder, ...dirname(below).split(sep));
      await files.writeAtomic(join(workFolder, below), bytes);
    }
  }

  /** Repeating it changes nothing. */
  async #handOver({ manifest, task, commits }: AttemptOrder, report: AttemptReport) {
    try {
      const git = new Git(this.#world.processes, manifest.cwd, gitMs);
      if (!worksApart(manifest, task, commits)) {
        const moved = task.kind === "git";
        return moved ? { ...report, commit: await git.line(["rev-parse", "HEAD"]) } : report;
      }
      const folder = join(this.#folderOf(manifest.runId), task.taskId);
      const own = await requireWorktree(git, this.#world.files, folder);
      const commit = await commitAll(own, branchOf(manifest.runId, task.taskId), titleOf(task.taskId, report.summary));
      return { ...report, commit };
    } catch (error) {
      const told = { kind: "worktree", message: `What the task did can't be handed over: ${messageOf(error)}` };
      return { ...report, outcome: "failed" as const, failureKind: "transient" as const, error: told };
    }
  }
}

/** Throws a UserError where it is gone, or no worktree any more. */
async function requireWorktree(git: Git, files: World["files"], folder: string): Promise<Git> {
  const own = await gitInWorktree(git, files, folder);
  if (own) return own;
  const name = `The worktree of task ${basename(folder)}`;
  const gone = `${name} is gone: ${folder} is not there. Try the task again.`;
  const changed =
    `${name} is no git worktree any more: its .git was removed or replaced. What is left of its files is in ${folder}: ` +
    "take over by hand what you need of it, remove it, and try again.";
  throw new UserError("worktree", (await files.facts(folder)) === null ? gone : changed);
}

function refusal(error: unknown): AttemptReport {
  const known = error instanceof UserError;
  return unstartedReport(known ? "blocked" : "failed", known ? error.code : "worktree", messageOf(error));
}

/** The work of the other tasks before this one. Throws a UserError that names the files in conflict. */
async function merge(git: Git, { manifest, task, commits }: AttemptOrder): Promise<void> {
  const named = await withIdentity(git);
  for (const commit of commits.slice(1)) {
    const { code, stderr } = await named.try(["merge", "--ff", "-m", `Merge what ${task.taskId} depends on`, commit]);
    if (code === 0) continue;
    const paths = await git.paths(["diff", "-z", "--name-only", "--diff-filter=U"]);
    await git.try(["merge", "--abort"]);
    if (paths.length === 0) throw new Error(`git merge failed: ${readable(stderr).trim().slice(-300)}`);
    const branches = task.dependsOn.map((id) => branchOf(manifest.runId, id)).join(", ");
    throw new UserError(
      "merge-conflict",
      `Task ${task.taskId} can't begin: what it depends on conflicts in ${paths.slice(0, 20).map(readable).join(", ")}. ` +
        `Nothing is lost: the work is on ${branches}. Let one of these tasks depend on the other, or merge them by hand.`,
    );
  }
}

/** A commit of all that is there, at the branch's head, whatever the agent did with branches itself. */
async function commitAll(git: Git, branch: string, title: string): Promise<string> {
  const unmerged = await git.paths(["diff", "-z", "--name-only", "--diff-filter=U"]);
  if (unmerged.length > 0)
    throw new UserError("merge-conflict", `a merge was left unresolved in ${unmerged.map(readable).join(", ")}`);
  const tree = await stageTree(git);
  const head = await git.line(["rev-parse", "HEAD"]);
  const same = (await git.line(["rev-parse", "HEAD^{tree}"])) === tree;
  const named = await withIdentity(git);
  const commit = same ? head : await named.line(["commit-tree", tree, "-p", head, "-m", title]);
  await git.ask(["update-ref", `refs/heads/${branch}`, commit]);
  await git.ask(["symbolic-ref", "HEAD", `refs/heads/${branch}`]);
  return commit;
}

/** The user's own name where git knows one. */
async function withIdentity(git: Git): Promise<Git> {
  if ((await git.try(["-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT"])).code === 0) return git;
  const author = { GIT_AUTHOR_NAME: FALLBACK_NAME, GIT_AUTHOR_EMAIL: FALLBACK_MAIL };
  return git.with({ ...author, GIT_COMMITTER_NAME: FALLBACK_NAME, GIT_COMMITTER_EMAIL: FALLBACK_MAIL });
}

function titleOf(taskId: string, summary: string): string {
  const line = summary.trim().split("\n")[0] ?? "";
  return line === "" ? taskId : `${taskId}: ${line.slice(0, 100)}`;
}
