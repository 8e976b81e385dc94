import type { ArtifactRecord, EventError } from "../events/crew-event.ts";
import type { TaskSpec } from "../runs/manifest.ts";
import type { AttemptRecord, TaskState } from "../runs/run-state.ts";
import { usedBy, usedInRun } from "../runs/usage.ts";
import type { RunView } from "../store/run-store.ts";
import { cutText, safeText } from "../system/safe-text.ts";

/** Runs as others read them: money in US dollars, times in ISO 8601 (UTC), text without secrets and escapes. */

const NAME_CHARS_MAX = 120;
const GOAL_CHARS_MAX = 300;
const ERROR_CHARS_MAX = 2000;
const ARTIFACTS_MAX = 100;

/** Masks what is secret in a text. */
export type Redact = (text: string) => string;

/** What does not change unless the run's log does. */
export type RunRow = ReturnType<typeof runRow>;

export function runRow({ manifest, state, health, degraded }: RunView, redact: Redact) {
  const tasks: Partial<Record<TaskState["status"], number>> = {};
  for (const { status } of state.tasks) tasks[status] = (tasks[status] ?? 0) + 1;
  return {
    id: manifest.runId,
    status: state.status,
    goal: said(state.goal, redact, GOAL_CHARS_MAX),
    team: said(state.team, redact, NAME_CHARS_MAX),
    workflow: said(state.workflow, redact, NAME_CHARS_MAX),
    background: manifest.background,
    createdAt: iso(state.createdAt),
    startedAt: iso(state.startedAt),
    endedAt: iso(state.endedAt),
    reason: state.reason === null ? null : said(state.reason, redact),
    tasksByStatus: tasks,
    ...usedInRun(state),
    degraded,
    logHealth: health,
  };
}

export function taskJson(task: TaskState, spec: TaskSpec | undefined, now: number, redact: Redact) {
  const startedAt = "startedAt" in task ? iso(task.startedAt) : null;
  const endedAt = "endedAt" in task ? iso(task.endedAt) : null;
  return {
    id: task.taskId,
    role: said(spec?.role ?? "", redact, NAME_CHARS_MAX),
    kind: spec?.kind ?? "",
    dependsOn: spec?.dependsOn ?? [],
    status: task.status,
    startedAt,
    endedAt,
    durationMs: lasted(startedAt, endedAt, now),
    ...usedBy(task),
    error: errorJson("error" in task ? task.error : null, redact),
    deadLetters: task.deadLetters,
    artifacts: artifactsJson("artifacts" in task ? task.artifacts : [], redact),
    attempts: task.attempts.map((attempt) => attemptJson(attempt, now, redact)),
  };
}

function attemptJson(attempt: AttemptRecord, now: number, redact: Redact) {
  const { startedAt, status, workerKind } = attempt;
  const head = { attempt: attempt.attempt, workerKind, startedAt: iso(startedAt) };
  if (status === "running") return { ...head, outcome: "running", durationMs: Math.max(0, now - startedAt) };
  const { outcome, endedAt, durationMs, model, tokens, costUsd, failureKind, error, artifacts } = attempt;
  return {
    ...head,
    outcome,
    endedAt: iso(endedAt),
    durationMs,
    model: model === null ? null : said(model, redact, NAME_CHARS_MAX),
    tokens,
    costUsd,
    failureKind,
    error: errorJson(error, redact),
    artifacts: artifactsJson(artifacts, redact),
  };
}

function artifactsJson(artifacts: readonly ArtifactRecord[], redact: Redact) {
  return artifacts
    .slice(0, ARTIFACTS_MAX)
    .map(({ name, bytes, artifact_hash }) => ({ name: said(name, redact, NAME_CHARS_MAX), bytes, artifact_hash }));
}

export function errorJson(error: EventError | null, redact: Redact) {
  return error && { kind: said(error.kind, redact, NAME_CHARS_MAX), message: said(error.message, redact) };
}

/** Masked while it is whole: neither an escape nor the cut hides half of a secret. */
export function said(text: string, redact: Redact, charsMax = ERROR_CHARS_MAX): string {
  return cutText(redact(safeText(text, { multiline: true })), charsMax);
}

function iso(at: number | null): string | null {
  return at === null || Number.isNaN(at) ? null : new Date(at).toISOString();
}

/** Until now when there is no end; null before the begin. Milliseconds. */
export function lasted(startedAt: string | null, endedAt: string | null, now: number): number | null {
  if (startedAt === null) return null;
  return Math.max(0, (endedAt === null ? now : Date.parse(endedAt)) - Date.parse(startedAt));
}
