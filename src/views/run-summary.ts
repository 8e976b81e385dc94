import type { RunManifest } from "../runs/manifest.ts";
import type { AttemptRecord, RunState, TaskState } from "../runs/run-state.ts";
import { cutText, safeText } from "../system/safe-text.ts";
import { formatDuration, formatTokens, formatUsd } from "./units.ts";

/** What a reader of a run needs; the host fills it from the store or from a live run. */
export interface RunPicture {
  manifest: RunManifest;
  state: RunState;
  degraded: boolean;
  /** As the user would write it. */
  folder: string;
}

const SIGNS: Readonly<Record<TaskState["status"], string>> = {
  waiting: "○",
  ready: "○",
  running: "●",
  completed: "✓",
  failed: "✗",
  cancelled: "–",
  skipped: "–",
};

/** One line a run, newest first as given. */
export function renderRunList(runs: readonly RunPicture[], now: number, width: number): string[] {
  if (runs.length === 0) return ['No runs yet. Start one with /team-run <team> "<goal>".'];
  return runs.map(({ state, degraded }) => {
    const done = state.tasks.filter((task) => task.status === "completed").length;
    const facts = `${state.status.padEnd(9)} ${done}/${state.tasks.length}  ${runTime(state, now).padStart(7)}  ${formatUsd(state.costUsd).padStart(8)}`;
    return cutText(
      `${state.runId}  ${facts}  ${state.team}: ${safeText(state.goal, { multiline: false })}${degraded ? "  (degraded)" : ""}`,
      width,
    );
  });
}

/** The whole of a run: head, a line for each task, why it failed, the sums, where it lies. */
export function renderRun(picture: RunPicture, now: number, width: number): string[] {
  const { manifest, state, degraded, folder } = picture;
  const title = `${state.team}${state.workflow === state.team ? "" : ` / ${state.workflow}`}`;
  const lines = [`${title} · ${state.runId} · ${state.status} · ${runTime(state, now)}`];
  if (state.reason) lines.push(`reason: ${state.reason}`);
  if (degraded) lines.push("degraded: part of this run's log is unreadable; what is shown is what could be read");
  lines.push(`goal: ${state.goal}`, "");
  const column = Math.max(...manifest.tasks.map((task) => task.taskId.length));
  state.tasks.forEach((task, at) => {
    const after = manifest.tasks[at]?.dependsOn ?? [];
    lines.push(...taskLines(task, after, column, now));
  });
  lines.push("", `tokens ${formatTokens(state.tokens)} · cost ${formatUsd(state.costUsd)} · ${folder}`);
  return lines.map((line) => cutText(safeText(line, { multiline: false }), width));
}

/** A short line for a footer: what goes on now. */
export function renderRunBrief(state: RunState, now: number): string {
  const done = state.tasks.filter((task) => task.status === "completed").length;
  const running = state.tasks.filter((task) => task.status === "running").map((task) => task.taskId);
  const what = running.length > 0 ? ` ${running.join(", ")}` : "";
  return safeText(
    `${state.team} ${done}/${state.tasks.length}${what} ${runTime(state, now)} ${formatUsd(state.costUsd)}`,
    {
      multiline: false,
    },
  );
}

function runTime(state: RunState, now: number): string {
  return formatDuration(Math.max(0, (state.endedAt ?? now) - (state.startedAt ?? state.createdAt)));
}

function taskLines(task: TaskState, after: readonly string[], column: number, now: number): string[] {
  const head = `${SIGNS[task.status]} ${task.taskId.padEnd(column)}  ${task.status.padEnd(9)}`;
  const time = timeOf(task, now);
  if (time === null) return [notBegun(head, task, after)];
  const parts = [formatDuration(time).padStart(7)];
  if (task.tokens > 0) parts.push(`${formatTokens(task.tokens)} tokens`, formatUsd(task.costUsd));
  if (task.attempts.length > 1) parts.push(`${task.attempts.length} attempts`);
  const model = lastModel(task.attempts);
  if (model) parts.push(model);
  if (task.status === "running") parts.push(activityOf(task));
  const lines = [`${head}  ${parts.filter(Boolean).join("  ")}`];
  if ("error" in task && task.error && task.status !== "cancelled")
    lines.push(`  ${" ".repeat(column)}${task.error.kind}: ${oneLine(task.error.message)}`);
  return lines;
}

function notBegun(head: string, task: TaskState, after: readonly string[]): string {
  if ("error" in task && task.error) return `${head}  ${oneLine(task.error.message)}`;
  return after.length > 0 && !("endedAt" in task) ? `${head}  after ${after.join(", ")}` : head.trimEnd();
}

/** Milliseconds; null when it has not begun. */
function timeOf(task: TaskState, now: number): number | null {
  if (task.status === "running") return Math.max(0, now - task.startedAt);
  return "durationMs" in task && task.startedAt !== null ? task.durationMs : null;
}

function lastModel(attempts: readonly AttemptRecord[]): string | null {
  const last = attempts.at(-1);
  return last?.status === "ended" ? last.model : null;
}

function activityOf(task: Extract<TaskState, { status: "running" }>): string {
  if (!task.activity) return "starting";
  return task.activity.tool ? `tool ${task.activity.tool}` : oneLine(task.activity.text);
}

function oneLine(text: string): string {
  return (
    text
      .split("\n")
      .find((line) => line.trim() !== "")
      ?.trim() ?? ""
  );
}
