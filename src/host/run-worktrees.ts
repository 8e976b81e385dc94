import { join } from "node:path";
import { endWorktrees } from "../engines/worktree-sweep.ts";
import type { CrewEvent, CrewEventType } from "../events/crew-event.ts";
import type { EventBus } from "../events/publisher.ts";
import type { RunManifest } from "../runs/manifest.ts";
import type { EndedRun } from "../runs/resume.ts";
import { isTerminal } from "../runs/run-state.ts";
import { branchOf, isCommitId } from "../runs/work-trees.ts";
import { isSafeSegment } from "../store/layout.ts";
import { messageOf, UserError } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import { Git } from "../workers/git.ts";
import { findWorkTree, OURS } from "../workers/snapshot.ts";
import { withOwnFiles } from "./kept-files.ts";
import type { Notify } from "./record-dead-letter.ts";
import type { RunService } from "./run-service.ts";
import type { Session } from "./session.ts";
import type { ActiveRun } from "./shown-run.ts";

const gitMs = 30_000;
const ENDS: readonly CrewEventType[] = ["crew.run.completed", "crew.run.failed", "crew.run.cancelled"];

/** The manifest with the commit its worktrees begin with. Throws a UserError where there can be none. */
export async function withBaseCommit(session: Session, manifest: RunManifest): Promise<RunManifest> {
  if (manifest.worktrees === null) return manifest;
  const git = new Git(session.world.processes, manifest.cwd, gitMs);
  const { head } = await findWorkTree(git).catch((error: unknown) => {
    const remedy =
      "Make a first commit there, or remove worktree from the team: its tasks then work in the project's folder.";
    throw new UserError(
      "no-work-tree",
      `Team ${manifest.team} wants a git worktree for each task: ${messageOf(error)} ${remedy}`,
    );
  });
  if ((await git.try(["show-ref", "--verify", "--quiet", "refs/heads/foreman"])).code === 0)
    throw new UserError(
      "branch-name",
      `Team ${manifest.team} wants a git worktree for each task, on branches foreman/<run>/<task>: git allows none ` +
        "beside your branch foreman. Rename it (git branch -m foreman <name>), or remove worktree from the team.",
    );
  const changed = await git.paths(["status", "-z", "--porcelain", "--no-renames", "--untracked-files=all"]);
  const count = changed.filter((line) => !OURS.test(line.slice(3))).length;
  if (count > 0) {
    const fact = `The run begins with your last commit, ${head.slice(0, 10)}: ${count} uncommitted ${count === 1 ? "file is" : "files are"} not in it.`;
    session.show(`${fact} Cancel the run and commit first if its tasks need them.`, "warning");
  }
  return { ...manifest, worktrees: { baseCommit: head } };
}

/** The run with only those commits that are there still: branches may have been removed since, and what they had. */
export async function withCommitsThere<T extends EndedRun>({ world }: Session, old: T): Promise<T> {
  const git = new Git(world.processes, old.manifest.cwd, gitMs);
  const tasks = old.state.tasks.map(async (task) => {
    if (task.status !== "completed" || task.commit === null) return task;
    if (!isCommitId(task.commit)) return { ...task, commit: null };
    if (old.manifest.worktrees === null) return task;
    const { code } = await git.try(["cat-file", "-e", `${task.commit}^{commit}`]);
    // null: git itself could not be asked
    return code === 0 || code === null ? task : { ...task, commit: null };
  });
  return { ...old, state: { ...old.state, tasks: await Promise.all(tasks) } };
}

/** Starts a run that goes on with another one. What it keeps is its own before it begins: files, and commits on branches. */
export async function startKeeping({ world }: Session, runs: RunService, asked: RunManifest): Promise<ActiveRun> {
  const git = new Git(world.processes, asked.cwd, gitMs);
  const manifest = await withOwnFiles(world.files, runs.store.crewRoot, asked);
  for (const { ref, commit } of keptCommits(asked)) await git.ask(["update-ref", ref, commit]);
  return await runs.start(manifest);
}

/** Of a run that could not be made: removes the branches of what it was to keep. */
export async function forgetCommits({ world }: Session, manifest: RunManifest): Promise<void> {
  const git = new Git(world.processes, manifest.cwd, gitMs);
  for (const { ref, commit } of keptCommits(manifest)) await git.try(["update-ref", "-d", ref, commit]);
}

function keptCommits({ runId, kept }: RunManifest): { ref: string; commit: string }[] {
  return Object.entries(kept).flatMap(([taskId, { commit }]) =>
    commit === null ? [] : [{ ref: `refs/heads/${branchOf(runId, taskId)}`, commit }],
  );
}

/**
 * Removes the worktrees of runs as they end, and now those of runs that ended unseen; what is left is told. Returns what
 * ends it, when all that was begun is done.
 */
export function tidyWorktrees(
  { world, crewRoot, notify }: { world: World; crewRoot: string; notify: Notify },
  bus: Pick<EventBus, "on">,
  runs: RunService,
): () => Promise<void> {
  const work = new Set<Promise<void>>();
  const tidy = (tidied: Promise<void>) => {
    const done = tidied
      .catch((error: unknown) => world.log.warn("worktrees were not tidied", { error: messageOf(error) }))
      .finally(() => work.delete(done));
    work.add(done);
  };
  const end = async (manifest: Pick<RunManifest, "runId" | "cwd" | "tasks">, again: boolean) => {
    const { runId } = manifest;
    const { branches, folders } = await endWorktrees(world, manifest, crewRoot);
    // what stays each time is told once
    if (branches.length + folders.length === 0 || (again && folders.length > 0)) return;
    const onBranches = `The work of run ${runId} is on ${branches.join(", ")}: git merge takes it over.`;
    const inFolders = `Changes that no commit has are in ${folders.join(", ")}.`;
    const message = [branches.length > 0 ? onBranches : "", folders.length > 0 ? inFolders : ""].join(" ").trim();
    notify({ id: `worktrees_${runId}`, severity: "info", source: "worktrees", message, runId });
  };
  const heard = (data: unknown) => {
    const active = runs.active.find(({ run }) => run.manifest.runId === (data as CrewEvent).runId);
    if (active?.run.manifest.worktrees) tidy(end(active.run.manifest, false));
  };
  const stops = ENDS.map((type) => bus.on(type, heard));
  tidy(sweep(world, crewRoot, runs, end));
  return async () => {
    for (const stop of stops) stop();
    await Promise.all(work);
  };
}

/** A killed process leaves worktrees behind; only those of runs that have ended are looked at. */
async function sweep(
  { files }: World,
  crewRoot: string,
  runs: RunService,
  end: (manifest: Pick<RunManifest, "runId" | "cwd" | "tasks">, again: boolean) => Promise<void>,
): Promise<void> {
  const folder = join(crewRoot, "worktrees");
  if (files.factsNow(folder)?.kind !== "directory") return;
  for (const runId of (await files.list(folder)).filter(isSafeSegment)) {
    const view = await runs.view(runId).catch(() => null);
    if (view && isTerminal(view.state.status)) await end(view.manifest, true);
  }
}
