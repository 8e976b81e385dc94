import type { AttemptOutcome, EventError, FailureKind, TokenCounts, WorkerKind } from "../events/crew-event.ts";
import type { ModelUsage } from "../runs/execute.ts";
import type { TaskAgent } from "../runs/manifest.ts";
import type { ProcessIdentity } from "../system/world.ts";

/** One attempt as a serialisable contract, the same here and on another machine. */

export interface StepRequest {
  taskId: string;
  stepId: string;
  runId: string;
  /** Numbered from 1. */
  attempt: number;
  stepName: string;
  stepKind: "planner" | "review" | "finalize" | WorkerKind;
  workerKind: WorkerKind;
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
  /** For kind `pi`; null otherwise. */
  pi: { prompt: string; agent: TaskAgent } | null;
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
  workerKind: WorkerKind;
  /** ISO 8601, UTC. */
  startedAt: string;
  finishedAt: string;
  durationMs: number;
  metadata: { workerId: string; pid: number; model: string | null; exitCode: number | null };
  error: EventError | null;
  failureKind: FailureKind | null;
  logPaths: { worker: string; stdout: string; stderr: string };
  lifecycleEvents: readonly LifecycleEvent[];
  artifacts: readonly { name: string; path: string; bytes: number; artifact_hash: string }[];
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
