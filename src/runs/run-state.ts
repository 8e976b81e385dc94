import type {
  ArtifactRecord,
  AttemptOutcome,
  CrewEventFields,
  EventError,
  FailureKind,
  HeartbeatLevel,
  RunOwner,
  TokenCounts,
  TreeChanges,
  WorkerKind,
} from "../events/crew-event.ts";
import type { RunManifest, TaskSpec } from "./manifest.ts";

/** Where a run stands: what folding its events gives. Plain data, so that it can be kept as JSON. */

export type AttemptRecord =
  | {
      status: "running";
      attempt: number;
      startedAt: number;
      workerId: string;
      workerKind: WorkerKind;
      pid: number | null;
    }
  | {
      status: "ended";
      attempt: number;
      startedAt: number;
      endedAt: number;
      workerId: string;
      workerKind: WorkerKind;
      pid: number | null;
      outcome: AttemptOutcome;
      durationMs: number;
      model: string | null;
      tokens: number;
      tokenCounts: TokenCounts;
      costUsd: number;
      failureKind: FailureKind | null;
      error: EventError | null;
      summary: string;
      artifacts: readonly ArtifactRecord[];
      changes: TreeChanges | null;
      commit: string | null;
    };

interface TaskCommon {
  taskId: string;
  attempts: readonly AttemptRecord[];
  /** All attempts together. */
  tokens: number;
  costUsd: number;
  /** In the order of their ends: the longest, as many as are kept. */
  toolCalls: readonly ToolCall[];
  /** Why it became a dead letter so far: at most once for each reason. */
  deadLetters: readonly DeadLetterReason[];
  /** The runs that do it again, in the order they were told. */
  redrivenAs: readonly string[];
  /** Of the last one told; 0 before. */
  checkpointSeq: number;
  /** Why it, and not its whole run, is to end; null when nobody asked for that. */
  cancelAsked: string | null;
}

export type DeadLetterReason = CrewEventFields["crew.task.deadletter"]["reason"];

/** A tool's use by a task's worker; wall clock, milliseconds. */
export interface ToolCall {
  tool: string;
  attempt: number;
  from: number;
  to: number;
  ok: boolean;
}

/** What a running task's worker was last seen doing; not kept across processes' deaths. */
export interface TaskActivity {
  text: string;
  tool: string;
  at: number;
}

/** Of a worker's silence. `stuck`: it is as long as that of a dead one, but the process is provably there. */
export type WorkerLevel = HeartbeatLevel | "stuck";

export interface TaskQuestion {
  /** Of the attempt that ended with it. */
  attempt: number;
  text: string;
  askedAt: number;
}

interface TaskEnded extends TaskCommon {
  /** Null when it never started. */
  startedAt: number | null;
  endedAt: number;
  durationMs: number;
  error: EventError | null;
}

export type TaskState =
  | (TaskCommon & { status: "waiting" | "ready" })
  | (TaskCommon & {
      status: "running";
      startedAt: number;
      activity: TaskActivity | null;
      /** By the attempt under way, so far. */
      used: { tokens: number; costUsd: number };
      level: WorkerLevel;
      /** What its worker asked its user, until the answer is there. */
      question: TaskQuestion | null;
      /** Told, and not begun yet. */
      retry: { nextAttempt: number; toldAt: number; delayMs: number } | null;
    })
  | (TaskEnded & {
      status: "completed";
      summary: string;
      artifacts: readonly ArtifactRecord[];
      /** What its dependants begin with; null outside of worktrees. */
      commit: string | null;
    })
  | (TaskEnded & { status: "failed" | "cancelled" | "skipped" });

/** Told to whichever worker does the task, or asked by it; `from` is the sender's session, or the task. */
export interface TaskMessage {
  messageId: string;
  taskId: string;
  direction: "to-worker" | "from-worker";
  /** Wall clock, milliseconds. */
  at: number;
  from: string;
  text: string;
}

export type TaskStatus = TaskState["status"];
export type RunStatus = "queued" | "running" | "completed" | "failed" | "cancelled";

export interface RunState {
  runId: string;
  status: RunStatus;
  team: string;
  workflow: string;
  goal: string;
  createdAt: number;
  startedAt: number | null;
  endedAt: number | null;
  /** Since it started, under all owners, by the wall clock of their events; nobody's time is not in it. Milliseconds. */
  drivenMs: number;
  /** Of the last event; wall clock, 0 before the first. */
  lastEventAt: number;
  /** Why it ended so; of one that was interrupted why, until it goes on. */
  reason: string | null;
  /** Why it is to end, though its workers may not have ended yet; null when nobody asked for that. */
  cancelAsked: string | null;
  /** Null when nobody drives the run. */
  owner: RunOwner | null;
  /** Who let go of it and has not been followed by another. */
  releasedBy: RunOwner | null;
  /** In the manifest's order. */
  tasks: readonly TaskState[];
  /** What tasks' workers were told and asked, in order. */
  mail: readonly TaskMessage[];
  tokens: number;
  costUsd: number;
}

const TERMINAL: ReadonlySet<string> = new Set(["completed", "failed", "cancelled", "skipped"]);

export function isTerminal(status: RunStatus | TaskStatus): boolean {
  return TERMINAL.has(status);
}

/** The state before the first event. */
export function initialRunState(manifest: RunManifest): RunState {
  return {
    runId: manifest.runId,
    status: "queued",
    team: manifest.team,
    workflow: manifest.workflow,
    goal: manifest.goal,
    createdAt: Date.parse(manifest.createdAt),
    startedAt: null,
    endedAt: null,
    drivenMs: 0,
    lastEventAt: 0,
    reason: null,
    cancelAsked: null,
    owner: null,
    releasedBy: null,
    tasks: manifest.tasks.map((spec) => initialTask(manifest, spec)),
    mail: [],
    tokens: 0,
    costUsd: 0,
  };
}

/** A kept task is completed before the run begins: without attempts, and for nothing. */
function initialTask({ kept, createdAt }: RunManifest, { taskId }: TaskSpec): TaskState {
  const nothing = { attempts: [], tokens: 0, costUsd: 0, toolCalls: [], deadLetters: [], redrivenAs: [] };
  const common = { taskId, ...nothing, checkpointSeq: 0, cancelAsked: null };
  const result = Object.hasOwn(kept, taskId) ? kept[taskId] : undefined;
  if (!result) return { ...common, status: "waiting" };
  const { summary, artifacts, commit } = result;
  const ended = { startedAt: null, endedAt: Date.parse(createdAt), durationMs: 0, error: null };
  return { ...common, ...ended, status: "completed", summary, artifacts, commit };
}

/** What the task's worker said at its end; empty when it said nothing, or has not ended an attempt yet. */
export function closingWords(task: TaskState): string {
  if (task.status === "completed") return task.summary;
  const last = task.attempts.at(-1);
  return last?.status === "ended" ? last.summary : "";
}

/** The folder's name of attempt 1 is `a0001`. */
export function attemptId(attempt: number): string {
  return `a${String(attempt).padStart(4, "0")}`;
}

/** Null when none is. */
export function attemptUnderWay(task: TaskState): Extract<AttemptRecord, { status: "running" }> | null {
  const last = task.attempts.at(-1);
  return task.status === "running" && last?.status === "running" ? last : null;
}

/** What a task's worker waits to be told; null when it waits for nothing. */
export function openQuestion(task: TaskState): TaskQuestion | null {
  return task.status === "running" ? task.question : null;
}

export function taskOf(state: RunState, taskId: string): TaskState | undefined {
  return state.tasks.find((task) => task.taskId === taskId);
}
