/**
 * Everything that can happen, as a closed union. A new event compiles only after the fold
 * (runs/apply-event.ts), the metric table (metrics/crew-metrics.ts) and the durability table
 * below have decided about it.
 */

/** Why an attempt failed; decides whether another one makes sense. */
export type FailureKind = "transient" | "permanent" | "lost" | "cancelled";

/** How an attempt ended. */
export type AttemptOutcome = "completed" | "failed" | "blocked" | "lost" | "cancelled";

export type WorkerKind = "pi" | "shell" | "git" | "codex";

/** Token counts of one or more model replies. Unit: tokens. */
export interface TokenCounts {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
}

/** An error as it is kept: redacted, `message` cut at 2,000 characters. */
export interface EventError {
  kind: string;
  message: string;
}

/** Who drives a run. All fields together prove life or death of the process. */
export interface RunOwner {
  hostId: string;
  bootId: string;
  pidNs: string;
  pid: number;
  /** Start time in the system's own unit (clock ticks on Linux), as text; empty when it can't be read. */
  processStart: string;
  nonce: string;
}

/** A file a step handed over. `sha256` is hex, `bytes` its size. */
export interface ArtifactRecord {
  name: string;
  path: string;
  bytes: number;
  artifact_hash: string;
}

/** Measured in a work tree, by lines as git counts them. */
export interface TreeChanges {
  locAdded: number;
  locRemoved: number;
  filesChanged: number;
}

export type HeartbeatLevel = "healthy" | "warn" | "stale" | "dead";

interface RunEnd {
  team: string;
  workflow: string;
  taskCount: number;
  durationMs: number;
  /** All tokens of all attempts, cache reads and writes included. */
  tokens: number;
  costUsd: number;
  reason?: string;
}

interface TaskEnd {
  team: string;
  role: string;
  taskType: string;
  /** From the task's start to the end of its last attempt's work; 0 when the task never started. */
  durationMs: number;
  /** The end of its last attempt's work, wall clock, milliseconds; left out where `ts` is it. */
  finishedAt?: number;
  attempts: number;
  model?: string;
  tokens: number;
  costUsd: number;
  artifacts?: ArtifactRecord[];
  error?: EventError;
}

interface TaskPlace {
  team: string;
  role: string;
  stepName: string;
  workerKind: WorkerKind;
}

/** Each event's own fields. Durations in milliseconds, money in US dollars. */
export interface CrewEventFields {
  "crew.run.created": {
    team: string;
    workflow: string;
    goal: string;
    taskCount: number;
    background: boolean;
    sessionId: string;
    resumedFrom?: string;
  };
  "crew.run.claimed": { owner: RunOwner };
  "crew.run.released": { reason: string };
  "crew.run.started": { team: string; workflow: string };
  "crew.run.completed": RunEnd & { status: "completed" };
  "crew.run.failed": RunEnd & { status: "failed" };
  "crew.run.cancelled": RunEnd & { status: "cancelled" };
  "crew.run.interrupted": { reason: string };
  "crew.run.resumed": { recoveredFromSeq: number; resumableTasks: string[]; adoptedTasks: string[] };
  "crew.run.budget_exceeded": { limit: string; value: number; max: number };
  /** Somebody wants the run, or the task, to end; its end follows when its workers have ended. */
  "crew.run.cancel_asked": { reason: string };
  "crew.task.ready": TaskPlace;
  "crew.task.started": TaskPlace;
  /** `model`: the first that its agent names; which one answers, the attempt's end tells. */
  "crew.task.attempt_started": { workerId: string; workerKind: WorkerKind; model?: string };
  "crew.task.attempt_finished": {
    outcome: AttemptOutcome;
    durationMs: number;
    /** When the work ended, however much later that is told; wall clock, milliseconds; left out where `ts` is it. */
    finishedAt?: number;
    model?: string;
    tokens: TokenCounts;
    costUsd: number;
    /** The same by model, `provider/id`, when more than one answered. */
    usage?: { model: string; tokens: TokenCounts; costUsd: number }[];
    /** Model requests the host repeated by itself. */
    hostRetries?: number;
    exitCode?: number;
    failureKind?: FailureKind;
    error?: EventError;
    /** What the worker said at its end, cut at 16 kB; handed to the steps that depend on it. */
    summary?: string;
    artifacts?: ArtifactRecord[];
    /** Left out when they could not be measured, or not be told from another task's. */
    changes?: TreeChanges;
    /** What the task handed over as a git commit: what its dependants begin with. */
    commit?: string;
  };
  "crew.task.retry_attempt": { nextAttempt: number; delayMs: number; failureKind: FailureKind };
  "crew.task.completed": TaskEnd & { status: "completed" };
  "crew.task.failed": TaskEnd & { status: "failed" };
  "crew.task.cancelled": TaskEnd & { status: "cancelled" };
  "crew.task.skipped": TaskEnd & { status: "skipped" };
  "crew.task.progress": {
    text?: string;
    tool?: string;
    toolStatus?: "running" | "ok" | "error";
    toolDurationMs?: number;
    /** By the attempt so far, from its begin on. */
    used?: { tokens: number; costUsd: number };
  };
  "crew.task.heartbeat_level": {
    level: HeartbeatLevel;
    previousLevel: HeartbeatLevel;
    stalenessMs: number;
    /** Of the level `dead` only: whether the process is provably there. When that changes, the level is told again. */
    processAlive?: boolean;
  };
  "crew.task.heartbeat_dead": { stalenessMs: number };
  "crew.task.deadletter": {
    reason: "max-retries" | "heartbeat-dead" | "manual";
    attempts: number;
    lastError?: EventError;
  };
  "crew.task.redriven": { newRunId: string };
  "crew.task.cancel_asked": { reason: string };
  "crew.task.checkpoint": { checkpointSeq: number; files: number; bytes: number };
  "crew.subagent.spawned": { workerId: string; pid: number; workerKind: WorkerKind };
  "crew.subagent.adopted": { workerId: string; pid: number; workerKind: WorkerKind };
  "crew.subagent.completed": { workerId: string; status: AttemptOutcome; durationMs: number };
  /** `text` is redacted and cut at 4,000 characters: what the receiver reads. */
  "crew.mailbox.message": {
    messageId: string;
    direction: "to-worker" | "from-worker";
    from: string;
    to: string;
    text: string;
  };
  "crew.notification.sent": { severity: "info" | "warning" | "error"; source: string; id: string; message?: string };
}

export type CrewEventType = keyof CrewEventFields;

/** What every line of a run's log carries beside the event's own fields. */
export interface EventEnvelope {
  /** Version of the line format. */
  v: 1;
  /** 1..n without gaps within a run. */
  seq: number;
  /** The owner's fencing epoch; lines of an older epoch are ignored by the fold. */
  epoch: number;
  /** Wall clock, milliseconds since 1970. */
  ts: number;
  runId: string;
  taskId?: string;
  /** Numbered from 1. */
  attempt?: number;
  /** W3C ids, lowercase hex: 16 and 8 bytes. */
  traceId: string;
  spanId: string;
  parentSpanId?: string;
}

export type EventOf<T extends CrewEventType> = EventEnvelope & { type: T } & CrewEventFields[T];

export type CrewEvent = { [T in CrewEventType]: EventOf<T> }[CrewEventType];

/** An event before it has a place in a log: what a publisher is given. */
export type NewEvent<T extends CrewEventType = CrewEventType> = {
  [K in T]: { type: K; taskId?: string; attempt?: number } & CrewEventFields[K];
}[T];

/** The reason of a run that was interrupted and not gone on with, by the user's word or by the configuration. */
export const DECLINED_REASON = "interrupted-not-resumed";
