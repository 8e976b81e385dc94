import type { ArtifactRecord, WorkerKind } from "../events/crew-event.ts";
import { UserError } from "../system/errors.ts";
import type { RunConfig } from "./run-config.ts";

/** What the agent of a task brings along, resolved when the run was made. */
export interface TaskAgent {
  name: string;
  prompt: string;
  /** Models to try in order, as the definitions name them; empty means the host's default model. */
  models: readonly string[];
  thinking: string | null;
  tools: readonly string[] | null;
  disallowedTools: readonly string[];
  skills: readonly string[] | null;
  maxTurns: number | null;
}

/** One step made concrete: all it needs to run, whatever happens to the definition files later. */
export interface TaskSpec {
  taskId: string;
  role: string;
  taskType: string;
  kind: WorkerKind;
  /** Template with `{goal}` and `{outputs.<step>}`. */
  task: string;
  command: string;
  dependsOn: readonly string[];
  optional: boolean;
  /** Seconds; null follows the run's configuration. */
  timeoutSec: number | null;
  /** Null follows the run's configuration. */
  retry: { maxAttempts: number } | null;
  reads: readonly string[];
  output: readonly string[];
  verify: string;
  /** A checkpoint of the task, put into its folder before its first attempt: what the task begins with. */
  resumeFromSeq?: number;
  /** Null for kinds without a model. */
  agent: TaskAgent | null;
}

/** What a task handed over in an earlier run, which this one goes on with instead of running the task. */
export interface KeptResult {
  summary: string;
  artifacts: readonly ArtifactRecord[];
  /** What its dependants begin with; null outside of worktrees. */
  commit: string | null;
  /** Which model answered last; null when none did. */
  model: string | null;
  /** The run that did the work: its log holds the attempts, and the money is counted there. */
  fromRunId: string;
}

/** What was asked, written once when a run is made (`manifest.json`). */
export interface RunManifest {
  schemaVersion: 1;
  runId: string;
  /** ISO 8601, UTC. */
  createdAt: string;
  goal: string;
  team: string;
  workflow: string;
  background: boolean;
  sessionId: string;
  /** The run this one continues, or takes a failed task up from. */
  resumedFrom: string | null;
  /** The folder the work is done in. */
  cwd: string;
  /** Set when tasks that write have a git worktree each: the commit they begin with. */
  worktrees: { baseCommit: string } | null;
  maxConcurrency: number;
  config: RunConfig;
  tasks: readonly TaskSpec[];
  /** By task id; empty unless the run continues another. These tasks are completed from the start. */
  kept: Readonly<Record<string, KeptResult>>;
  /** SHA-256 of each definition file used, by its name. */
  definitionHashes: Readonly<Record<string, string>>;
}

/** Ids of the tasks that the run itself is to do. */
export function tasksToDo({ tasks, kept }: Pick<RunManifest, "tasks" | "kept">): string[] {
  return tasks.map(({ taskId }) => taskId).filter((taskId) => !Object.hasOwn(kept, taskId));
}

/** Throws a UserError for a task that the run has not. */
export function specOf({ runId, tasks }: RunManifest, taskId: string): TaskSpec {
  const spec = tasks.find((task) => task.taskId === taskId);
  if (spec) return spec;
  const known = tasks.map((task) => task.taskId).join(", ");
  throw new UserError(
    "unknown-task",
    `Run ${runId} has no task ${JSON.stringify(taskId.slice(0, 80))}. It has ${known}.`,
  );
}

/** Seconds an attempt of the task may take. */
export function timeoutSecOf({ config }: RunManifest, { timeoutSec }: TaskSpec): number {
  return timeoutSec ?? config.limits.attemptTimeoutSec;
}
