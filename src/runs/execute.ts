import type {
  ArtifactRecord,
  AttemptOutcome,
  CrewEventFields,
  EventError,
  FailureKind,
  TokenCounts,
  TreeChanges,
} from "../events/crew-event.ts";
import type { RunManifest, TaskSpec } from "./manifest.ts";

/** The port through which a run has its attempts executed; `engines/` implements it. */

export interface AttemptOrder {
  manifest: RunManifest;
  task: TaskSpec;
  /** Numbered from 1. */
  attempt: number;
  /** The task's template with goal and outputs filled in. */
  prompt: string;
  /** Goal and outputs for the task's commands, as variables of their environment. */
  values: Readonly<Record<string, string>>;
  /** `tasks/<taskId>/<attemptId>` of the run, absolute. */
  folder: string;
  /** The folder the work is done in. */
  workFolder: string;
  /** What the task begins with: commits of the tasks before it, and files they handed over. */
  commits: readonly string[];
  files: readonly ArtifactRecord[];
  /** A checkpoint of an earlier attempt, to be put back first. */
  resumeFromSeq: number | null;
  /** W3C trace context of the attempt. */
  traceparent: string;
}

/** What one model was used for within an attempt, failed replies included. */
export interface ModelUsage {
  /** `provider/id` */
  model: string;
  tokens: TokenCounts;
  /** US dollars. */
  costUsd: number;
}

/** How an attempt went, from the worker's own records. */
export interface AttemptReport {
  outcome: AttemptOutcome;
  durationMs: number;
  /**
   * When the work ended, wall clock, milliseconds: by the worker's record, or its last sign of life where it died and
   * nobody saw that. Null where it ended under its owner's eyes without a record: it ends as that is told.
   */
  finishedAt: number | null;
  /** The worker's closing words. */
  summary: string;
  /** `provider/id` of the model that answered last; null when none did. */
  model: string | null;
  tokens: TokenCounts;
  costUsd: number;
  /** By model, in the order of first use; the sums are `tokens` and `costUsd`. */
  usage: readonly ModelUsage[];
  /** Tries of a model request beyond the first, by the host itself. */
  hostRetries: number;
  exitCode: number | null;
  /** Null when the outcome is completed. */
  failureKind: FailureKind | null;
  error: EventError | null;
  artifacts: readonly ArtifactRecord[];
  /** Null when they could not be measured, or the task changes nothing. */
  changes: TreeChanges | null;
  /** In the order they were taken. */
  checkpoints: readonly KeptCheckpoint[];
  /** What its dependants begin with; null outside of worktrees. */
  commit: string | null;
}

/** By its number among the task's; 0 bytes where its patch is too large to be kept. */
export type KeptCheckpoint = CrewEventFields["crew.task.checkpoint"];

export interface AttemptProgress {
  text?: string;
  tool?: string;
  toolStatus?: "running" | "ok" | "error";
  /** Milliseconds. */
  toolDurationMs?: number;
}

export interface AttemptHooks {
  /** The worker has taken the attempt, on disk; told once, and never of an attempt that no worker took. */
  spawned(worker: { workerId: string; pid: number; adopted: boolean }): void;
  progress(progress: AttemptProgress): void;
  /** What the attempt has used up so far, from its begin on; told again whenever that has grown. US dollars. */
  used(tokens: TokenCounts, costUsd: number): void;
  /** Kept while the worker is at it, in order; its report has all of them once more. */
  checkpoint(checkpoint: KeptCheckpoint): void;
}

/** Why an attempt's signal aborts when its run can't be driven on for now. */
export const LET_GO = "let-go";

/** The error kind of an attempt that no worker began because the machine had no room for it: it is no try. */
export const NO_ROOM = "no-room";

export interface TaskEngine {
  /** Starts up to `count` workers ahead of need. Never throws; a worker that can't start shows at `execute`. */
  prepare(count: number): void;
  /**
   * Runs one attempt to its end, or follows it when its folder shows that it was started before. Never rejects for
   * what happens to the worker: that is an outcome. Abort cancels, or with the reason `lost` ends a worker that shows no
   * life: resolves when no process of the attempt is left. Abort with LET_GO rejects: the worker goes on, and the next
   * `execute` of the attempt follows it.
   */
  execute(order: AttemptOrder, workerId: string, hooks: AttemptHooks, signal: AbortSignal): Promise<AttemptReport>;
  /** Ends idle workers and lets go of busy ones, which finish on their own. */
  dispose(): Promise<void>;
}
