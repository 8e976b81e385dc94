import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { ArtifactRecord, EventOf } from "../events/crew-event.ts";
import type { RunManifest } from "../runs/manifest.ts";
import { type AttemptRecord, type RunState, taskOf } from "../runs/run-state.ts";
import { changesOfTask } from "../runs/work-trees.ts";

const TEXT_MAX = 200;
/** What ends a process from outside, or says "try again": timeout, kill, termination, lost connection. */
const RETRYABLE_EXITS: ReadonlySet<number> = new Set([124, 137, 143, 255]);
const ISO_START = /^\d{4}-\d\d-\d\dT\d\d:\d\d/;

/** One task that was completed or has failed. */
export interface TaskRecord {
  v: 1;
  /**
   * When the task's end was told, ISO 8601 in UTC with milliseconds. Its work may have ended long before, unwatched; but
   * a day that is closed takes no record any more.
   */
  created_at: string;
  status: "completed" | "failed";
  duration_seconds: number;
  /** Of all attempts. */
  tokens: number;
  cost_usd: number;
  /** Of the attempts that came to nothing. */
  wasted_cost_usd: number;
  task_type: string;
  /** `none` for kinds without one. */
  model: string;
  project: string;
  role: string;
  team: string;
  workflow: string;
  run_id: string;
  task_id: string;
  /** The machine. */
  node: string;
  /** Of the last attempt; null when it ended without one. */
  exit_code: number | null;
  attempts: number;
  worker_kind: string;
  /** Null when they were not measured. */
  loc_added: number | null;
  loc_removed: number | null;
  files_changed: number | null;
  /** SHA-256, hex: of the only artifact, or over all names and hashes; null without one. */
  artifact_hash: string | null;
  error: string | null;
  retryable: boolean;
}

export type TaskEndEvent = EventOf<"crew.task.completed"> | EventOf<"crew.task.failed">;

/** What the log of a run does not tell. */
export interface TaskFacts {
  node: string;
  redact: (text: string) => string;
  exitCode: number | null;
}

/** `state` is the run's after the event. */
export function taskRecordOf(
  event: TaskEndEvent,
  manifest: RunManifest,
  state: RunState,
  { node, redact, exitCode }: TaskFacts,
): TaskRecord {
  const taskId = event.taskId ?? "";
  const changes = changesOfTask(manifest, taskId, state);
  const text = (value: string) => cut(redact(value));
  return {
    v: 1,
    created_at: new Date(event.ts).toISOString(),
    status: event.status,
    duration_seconds: event.durationMs / 1000,
    tokens: event.tokens,
    cost_usd: event.costUsd,
    wasted_cost_usd: wastedOf(event, taskOf(state, taskId)?.attempts ?? []),
    task_type: text(event.taskType),
    model: text(event.model ?? "none"),
    project: text(basename(manifest.cwd)),
    role: text(event.role),
    team: text(event.team),
    workflow: text(manifest.workflow),
    run_id: event.runId,
    task_id: taskId,
    node: text(node),
    exit_code: exitCode,
    attempts: event.attempts,
    worker_kind: manifest.tasks.find((spec) => spec.taskId === taskId)?.kind ?? "unknown",
    loc_added: changes?.locAdded ?? null,
    loc_removed: changes?.locRemoved ?? null,
    files_changed: changes?.filesChanged ?? null,
    artifact_hash: hashOf(event.artifacts ?? []),
    error: event.error ? text(event.error.message) : null,
    retryable: exitCode !== null && RETRYABLE_EXITS.has(exitCode),
  };
}

/**
 * A record from a line's text, in whatever order its fields stand; null when it is none. The first six fields a reader
 * needs must be there; the others are completed.
 */
export function parseTaskRecord(line: string): TaskRecord | null {
  let found: Partial<Record<keyof TaskRecord, unknown>> | null;
  try {
    found = JSON.parse(line) as typeof found;
  } catch {
    return null;
  }
  if (typeof found !== "object" || found === null) return null;
  const { created_at, status, duration_seconds, task_type, run_id, task_id } = found;
  const at = typeof created_at === "string" && ISO_START.test(created_at) ? Date.parse(created_at) : Number.NaN;
  const usable = status === "completed" || status === "failed";
  if (Number.isNaN(at) || !usable || !isAmount(duration_seconds) || typeof task_type !== "string") return null;
  return {
    v: 1,
    created_at: new Date(at).toISOString(),
    status,
    duration_seconds,
    tokens: amount(found.tokens) ?? 0,
    cost_usd: amount(found.cost_usd) ?? 0,
    wasted_cost_usd: amount(found.wasted_cost_usd) ?? 0,
    task_type: cut(task_type),
    model: word(found.model, "none"),
    project: word(found.project, ""),
    role: word(found.role, ""),
    team: word(found.team, ""),
    workflow: word(found.workflow, ""),
    run_id: word(run_id, ""),
    task_id: word(task_id, ""),
    node: word(found.node, ""),
    exit_code: Number.isSafeInteger(found.exit_code) ? (found.exit_code as number) : null,
    attempts: amount(found.attempts) ?? 1,
    worker_kind: word(found.worker_kind, "unknown"),
    loc_added: amount(found.loc_added),
    loc_removed: amount(found.loc_removed),
    files_changed: amount(found.files_changed),
    artifact_hash: typeof found.artifact_hash === "string" ? cut(found.artifact_hash) : null,
    error: typeof found.error === "string" ? cut(found.error) : null,
    retryable: found.retryable === true,
  };
}

function isAmount(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value < Number.POSITIVE_INFINITY;
}

function amount(value: unknown): number | null {
  return isAmount(value) ? value : null;
}

function word(value: unknown, otherwise: string): string {
  return typeof value === "string" && value !== "" ? cut(value) : otherwise;
}

/** By characters, never within a surrogate pair. */
function cut(text: string): string {
  return text.length <= TEXT_MAX ? text : [...text.slice(0, 2 * TEXT_MAX)].slice(0, TEXT_MAX).join("");
}

function hashOf(artifacts: readonly ArtifactRecord[]): string | null {
  if (artifacts.length <= 1) return artifacts[0]?.artifact_hash ?? null;
  const lines = artifacts.map(({ name, artifact_hash }) => `${name}:${artifact_hash}\n`).sort();
  return createHash("sha256").update(lines.join("")).digest("hex");
}

function wastedOf(event: TaskEndEvent, attempts: readonly AttemptRecord[]): number {
  if (event.status === "failed") return event.costUsd;
  const last = attempts.at(-1);
  return last?.status === "ended" ? Math.max(0, event.costUsd - last.costUsd) : 0;
}
