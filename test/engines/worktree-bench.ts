import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { reportOfResult, requestOf } from "../../src/engines/attempt-report.ts";
import { endWorktrees } from "../../src/engines/worktree-sweep.ts";
import { Worktrees } from "../../src/engines/worktrees.ts";
import type { AttemptOrder, TaskEngine } from "../../src/runs/execute.ts";
import type { TaskSpec } from "../../src/runs/manifest.ts";
import { attemptId } from "../../src/runs/run-state.ts";
import { runStep } from "../../src/workers/run-step.ts";
import { createShellKind } from "../../src/workers/shell-kind.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { tempFolder } from "../store/temp-store.ts";
import { git, makeRepo } from "../support/git-repo.ts";
import { quietWorld } from "./engine-bench.ts";

const hooks = {
  spawned: () => undefined,
  progress: () => undefined,
  used: () => undefined,
  checkpoint: () => undefined,
};
const never = new AbortController().signal;

/** Steps of kind shell, done by the real worker within this process. */
function shellEngine(died: (order: AttemptOrder) => boolean): TaskEngine {
  const world = quietWorld();
  return {
    prepare: () => undefined,
    dispose: async () => undefined,
    execute: async (order, workerId) => {
      mkdirSync(order.folder, { recursive: true });
      const result = await runStep(world, requestOf(order, "2026-01-01T00:00:00.000Z"), {
        workerId,
        kinds: { shell: createShellKind(world) },
      });
      if (!died(order)) return reportOfResult(result);
      // a worker that is killed at its work leaves its changes and nothing else
      rmSync(order.folder, { recursive: true });
      mkdirSync(order.folder);
      return { ...reportOfResult(result), outcome: "lost", failureKind: "lost" };
    },
  };
}

/** A project in a real repository, and tasks of a run with worktrees, each a command. */
export async function openBench(below = "", world = quietWorld()) {
  const root = await tempFolder();
  const repo = makeRepo(join(root, "repo"), { [join(below, "a.txt")]: { text: "one\n" } });
  const project = join(repo, below);
  const crewRoot = join(project, ".crew");
  const baseCommit = git(repo, "rev-parse", "HEAD");
  const runId = `wt-${process.pid}-${root.slice(-6).toLowerCase()}`;
  const specs: TaskSpec[] = [];
  const manifest = manifestOf(specs, { runId, cwd: project, worktrees: { baseCommit } });
  let killed = "";
  const kill = (id: string) => {
    killed = id;
  };
  const engine = new Worktrees(world, crewRoot).around(
    shellEngine(({ task, attempt }) => killed === `${task.taskId}${attempt}`),
  );
  const run = (
    taskId: string,
    command: string,
    more: Partial<Omit<AttemptOrder, "task">> & { task?: Partial<TaskSpec> } = {},
  ) => {
    const { attempt = 1, task: fields, ...rest } = more;
    const task = { ...taskSpec(taskId), kind: "shell" as const, agent: null, command, ...fields };
    const order: AttemptOrder = {
      ...{ manifest, task, attempt, prompt: "", values: {}, traceparent: "", workFolder: project },
      ...{ commits: [], files: [], resumeFromSeq: null },
      folder: join(crewRoot, "state/runs", runId, "tasks", taskId, attemptId(attempt)),
      ...rest,
    };
    return engine.execute(order, `w-${process.pid}-${taskId}${attempt}`, hooks, never);
  };
  const end = (ids: string[]) =>
    endWorktrees(quietWorld(), { ...manifest, tasks: ids.map((id) => taskSpec(id)) }, crewRoot);
  const tree = (taskId: string) => join(crewRoot, "worktrees", runId, taskId);
  return { repo, project, crewRoot, runId, baseCommit, run, end, tree, kill };
}
