import type {
  ArtifactRecord,
  AttemptOutcome,
  EventError,
  FailureKind,
  TokenCounts,
  TreeChanges,
  WorkerKind,
} from "../events/crew-event.ts";
import type { ModelUsage } from "../runs/execute.ts";
import type { TaskAgent } from "../runs/manifest.ts";
import type { ProcessIdentity } from "../system/world.ts";

/** One attempt as a serialisable contract, the same here and on another machine. */

/** One of ours, or the name of an executor that was plugged in. */
export type StepWorkerKind = WorkerKind | (string & {});

export interface StepRequest {
  taskId: string;
  stepId: string;
  runId: string;
  /** Numbered from 1. */
  attempt: number;
  stepName: string;
  stepKind: "planner" | "review" | "finalize" | StepWorkerKind;
  workerKind: StepWorkerKind;
  /** Seconds; null means no limit. */
  timeoutSec: number | null;
  runtime: {
    /** The folder the work is done in. */
    repoRoot: string;
    worktreePath: string;
    /** The attempt's own folder, absolute. */
    attemptFolder: string;
    /** Set for the attempt's processes, beside the wrapper's own environment. */
    env: Readonly<Record<string, string>>;
  };
  /** ISO 8601, UTC. */
  createdAt: string;
  promptSummary: string;
  /** For kinds without a model; empty otherwise. */
  command: string;
  /** For kinds with a model; null otherwise. */
  assignment: { prompt: string; agent: TaskAgent } | null;
  /** Shell command that must exit 0 in the work folder for the attempt to count; empty when there is none. */
  verify: string;
  /** Files of the work folder that are handed over when the attempt completes: paths below it. */
  output?: readonly string[];
  /** For work that may change files; without it no checkpoint is taken. */
  checkpoint?: {
    /** At the end of the attempt, whatever that is. */
    mode: "end";
    /** The number of a checkpoint of the same task: the work tree becomes as it was then, before the work begins. */
    resumeFromSeq?: number | null;
    /** Stands in the checkpoints taken, for people. */
    summaryHint?: string;
  } | null;
}

/** `checkpoints/0001.json`; numbers grow over all attempts of a task. */
export interface Checkpoint {
  seq: number;
  attempt: number;
  /** ISO 8601, UTC. */
  createdAt: string;
  /** The request's `summaryHint`. */
  hint: string;
  /** `backup`: of what a restore or a new attempt would have overwritten. */
  why: "end" | "demand" | "backup";
  /** Tree objects: before the attempt and at this moment. */
  baseTree: string;
  tree: string;
  files: number;
  /** Of the patch beside this file; null when it would have been larger than is kept. */
  bytes: number | null;
}

export type LifecycleEventType =
  | "run_prepared"
  | "checkpoint_slot_reserved"
  | "worker_started"
  | "worker_exited"
  | "checkpoint_created"
  | "step_prepared"
  | "step_completed"
  | "step_failed"
  | "step_blocked";

/** A line of `worker.log`. */
export interface LifecycleEvent {
  seq: number;
  /** `<attemptId>:event:0001` */
  eventId: string;
  type: LifecycleEventType;
  /** ISO 8601, UTC. */
  at: string;
  detail?: string;
}

export type StepOutcome = "prepared" | "completed" | "failed" | "blocked";

/** Of what was printed; beyond the limit of a log it is not kept, and `cut` says so. */
export interface LogSummary {
  stdoutBytes: number;
  stderrBytes: number;
  cut: boolean;
  /** Refused by the disk, of all logs. */
  droppedWrites: number;
}

export interface StepResult {
  ok: boolean;
  outcome: StepOutcome;
  /** The run's view of the same end: tells lost and cancelled from failed. */
  attemptOutcome: AttemptOutcome;
  summary: string;
  needsHuman: boolean;
  blocked: boolean;
  taskId: string;
  stepId: string;
  runId: string;
  attempt: number;
  workerKind: StepWorkerKind;
  /** ISO 8601, UTC. */
  startedAt: string;
  finishedAt: string;
  durationMs: number;
  metadata: { workerId: string; pid: number; model: string | null; exitCode: number | null };
  error: EventError | null;
  failureKind: FailureKind | null;
  /** As in `state.json`. */
  state: { status: "prepared" | "ended"; lastEventSeq: number; checkpointSeq: number };
  logPaths: { worker: string; stdout: string; stderr: string };
  logSummary: LogSummary;
  lifecycleEvents: readonly LifecycleEvent[];
  artifacts: readonly ArtifactRecord[];
  /** What the attempt changed in its git work tree; null when that could not be measured. */
  changes: TreeChanges | null;
  /** In the order they were taken, and the last of them; null when there is none. */
  checkpoints: readonly Checkpoint[];
  checkpoint: Checkpoint | null;
  suggestedFollowup: string | null;
  metrics: {
    durationMs: number;
    lifecycleEventCount: number;
    stdoutChunkCount: number;
    stderrChunkCount: number;
    checkpointCount: number;
    tokens: TokenCounts;
    costUsd: number;
    usage: readonly ModelUsage[];
    hostRetries: number;
  };
}

/** `meta.json`: what was asked, never changed. */
export interface AttemptMeta {
  attemptId: string;
  request: StepRequest;
}

/** `state.json`: where the attempt stands; replaced as a whole. `running` names the wrapper's process. */
export type AttemptState =
  | ({ status: "running"; workerId: string; startedAt: string; lastEventSeq: number } & ProcessIdentity)
  | { status: "ended"; lastEventSeq: number; checkpointSeq: number; exitCode: number | null; result: StepResult };
