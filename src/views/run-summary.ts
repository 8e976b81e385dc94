import { DECLINED_REASON } from "../events/crew-event.ts";
import type { RunManifest } from "../runs/manifest.ts";
import {
  type AttemptRecord,
  attemptUnderWay,
  isTerminal,
  type RunState,
  type TaskState,
  type WorkerLevel,
} from "../runs/run-state.ts";
import { usedBy, usedInRun } from "../runs/usage.ts";
import { isDegraded, type LogHealth } from "../store/run-log-reader.ts";
import { safeText } from "../system/safe-text.ts";
import { logNote } from "./log-note.ts";
import { foldUnder } from "./paint.ts";
import { isFollowed, type Standstill, standstillWords, statusWord } from "./standstill.ts";
import { clip, columns, pad, padBefore } from "./text-width.ts";
import { formatDuration, formatTokens, formatUsd } from "./units.ts";

const DECLINED = "which is: its process was gone, and nobody went on with it";

/** What a reader of a run needs; the host fills it from the store or from a live run. */
export interface RunPicture {
  manifest: RunManifest;
  state: RunState;
  /** Of its log. */
  health: LogHealth;
  /** Why it does not go on at the moment; null when it does, or has ended. */
  standstill: Standstill | null;
  /** As the user would write it. */
  folder: string;
}

export const SIGNS: Readonly<Record<TaskState["status"], string>> = {
  waiting: "○",
  ready: "○",
  running: "●",
  completed: "✓",
  failed: "✗",
  cancelled: "–",
  skipped: "–",
};

const LEVELS: Readonly<Record<WorkerLevel, string>> = {
  healthy: "",
  warn: "silent",
  stale: "stale",
  dead: "dead",
  stuck: "stuck",
};

const STATUS_COLUMNS = 9;
const RUN_STATUS_COLUMNS = "unattended".length;
const ONE_LINE = { multiline: false };
/** Of one text of a run, which may be as long as it likes. */
const TEXT_LINES_MAX = 6;
/** Before an error: however long the tasks' names are, it has room. */
const ERROR_INDENT_MAX = 12;
/** The line with which an agent says that it is blocked: what it asks stands elsewhere. */
const VERDICT = /^[^\w\n]*(?:verdict|result|plan)\s*:.*$/gim;

/** One line a run, newest first as given. */
export function renderRunList(runs: readonly RunPicture[], now: number, width: number): string[] {
  if (runs.length === 0) return ['No runs yet. Start one with /team-run <team> "<goal>".'];
  const counts = runs.map(({ state }) => taskCount(state));
  const countWidth = Math.max(...counts.map(columns));
  const costs = runs.map(({ state }) => formatUsd(usedInRun(state).costUsd));
  const costWidth = Math.max(...costs.map(columns));
  return runs.map(({ state, health, standstill }, at) => {
    const count = pad(counts[at] ?? "", countWidth);
    const facts = `${pad(statusWord(state, standstill), RUN_STATUS_COLUMNS)} ${count}  ${padBefore(runTime(state, now), 7)}  ${padBefore(costs[at] ?? "", costWidth)}`;
    const text = safeText(`${state.runId}  ${facts}  ${state.team}: ${state.goal}`, { multiline: false });
    const mark = isDegraded(health) ? "  (degraded)" : "";
    return clip(`${clip(text, Math.max(1, width - columns(mark)))}${mark}`, width);
  });
}

export function taskCount(state: RunState): string {
  return `${state.tasks.filter((task) => task.status === "completed").length}/${state.tasks.length}`;
}

/** What is told of a run, a line or more: what does not fit goes on `indent` columns in, unless it is to be `cut`. */
interface Told {
  text: string;
  indent: number;
  cut?: boolean;
}

/** The whole of a run: head, a line for each task, why it failed, the sums, where it lies. */
export function renderRun(picture: RunPicture, now: number, width: number): string[] {
  const { manifest, state, health, standstill, folder } = picture;
  const title = `${state.team}${state.workflow === state.team ? "" : ` / ${state.workflow}`}`;
  const head = `${title} · ${state.runId} · ${statusWord(state, standstill)} · ${runTime(state, now)}`;
  const told: Told[] = [{ text: head, indent: 2 }];
  if (standstill) told.push({ text: standstillWords(standstill, state.runId), indent: 2 });
  if (state.reason)
    told.push(labelled("reason", state.reason === DECLINED_REASON ? `${state.reason}, ${DECLINED}` : state.reason));
  if (state.cancelAsked !== null && !isTerminal(state.status))
    told.push(labelled("asked", `to be cancelled: ${state.cancelAsked}`));
  if (isDegraded(health))
    told.push(labelled("degraded", `this run's log ${logNote(health)}; what is shown is what could be read`));
  told.push(labelled("goal", state.goal), { text: "", indent: 0 });
  const column = Math.max(...manifest.tasks.map((task) => columns(task.taskId)));
  state.tasks.forEach((task, at) => {
    const after = manifest.tasks[at]?.dependsOn ?? [];
    told.push(...taskLines(task, standstill, after, column, now));
  });
  return [
    ...told.flatMap(({ text, indent, cut }) => {
      const safe = safeText(text, ONE_LINE);
      return cut ? clip(safe, width) : foldUnder(safe, indent, width, TEXT_LINES_MAX);
    }),
    "",
    ...sumsAndPlace(state, safeText(folder, ONE_LINE), width),
  ];
}

/** The place is never cut: a path is of no use without its end. */
function sumsAndPlace(state: RunState, place: string, width: number): string[] {
  const { tokens, costUsd } = usedInRun(state);
  const sums = `tokens ${formatTokens(tokens)} · cost ${formatUsd(costUsd)}`;
  const line = `${sums} · ${place}`;
  return columns(line) <= width ? [line] : [...foldUnder(sums, 2, width), ...foldUnder(place, 2, width)];
}

function labelled(label: string, text: string): Told {
  return { text: `${label}: ${text}`, indent: label.length + 2 };
}

export function runTime(state: RunState, now: number): string {
  return formatDuration(Math.max(0, (state.endedAt ?? now) - (state.startedAt ?? state.createdAt)));
}

function taskLines(
  task: TaskState,
  standstill: Standstill | null,
  after: readonly string[],
  column: number,
  now: number,
): Told[] {
  const head = `${SIGNS[task.status]} ${pad(task.taskId, column)}  ${pad(task.status, STATUS_COLUMNS)}`;
  const indent = columns(head) + 2;
  const time = timeOf(task, now);
  if (time === null) return [{ text: notBegun(head, task, after), indent }];
  const parts = [padBefore(formatDuration(time), 7)];
  const { tokens, costUsd } = usedBy(task);
  if (tokens > 0) parts.push(`${formatTokens(tokens)} tokens`, formatUsd(costUsd));
  if (task.attempts.length > 1) parts.push(`${task.attempts.length} attempts`);
  const model = lastModel(task.attempts);
  if (model) parts.push(model);
  parts.push(...doingOf(task, standstill, now));
  // what a task does at the moment is soon another thing; what it asks is not
  const cut = task.status === "running" && !task.question;
  const told: Told[] = [{ text: `${head}  ${parts.filter(Boolean).join("  ")}`, indent, cut }];
  if ("error" in task && task.error && task.status !== "cancelled") {
    const before = Math.min(2 + column, ERROR_INDENT_MAX);
    told.push({ text: `${" ".repeat(before)}${task.error.kind}: ${oneLine(task.error.message)}`, indent: before });
  }
  if (task.redrivenAs.length > 0)
    told.push({ text: `${" ".repeat(2 + column)}done again by run ${task.redrivenAs.join(", ")}`, indent: 2 + column });
  return told;
}

function notBegun(head: string, task: TaskState, after: readonly string[]): string {
  if ("error" in task && task.error) return `${head}  ${oneLine(task.error.message)}`;
  return after.length > 0 && !("endedAt" in task) ? `${head}  after ${after.join(", ")}` : head.trimEnd();
}

/** Milliseconds; null when it has not begun. */
export function timeOf(task: TaskState, now: number): number | null {
  if (task.status === "running") return Math.max(0, now - task.startedAt);
  return "durationMs" in task && task.startedAt !== null ? task.durationMs : null;
}

export function lastModel(attempts: readonly AttemptRecord[]): string | null {
  const last = attempts.at(-1);
  return last?.status === "ended" ? last.model : null;
}

type RunningTask = Extract<TaskState, { status: "running" }>;

/** Of a task under way in a run that nobody drives the worker may be at work, or gone. */
export function doingOf(task: TaskState, standstill: Standstill | null, now: number): string[] {
  if (task.status !== "running") return [];
  return isFollowed(standstill) ? [silenceOf(task), activityOf(task, now)].filter(Boolean) : ["nobody follows it"];
}

/** Of its worker; empty where it is not silent, and between two attempts, when there is none. */
function silenceOf(task: RunningTask): string {
  return attemptUnderWay(task) === null ? "" : LEVELS[task.level];
}

export function activityOf(task: RunningTask, now: number): string {
  if (task.question) return `waits for your answer: ${oneLine(task.question.text.replaceAll(VERDICT, ""))}`;
  const attempt = attemptUnderWay(task);
  if (attempt === null && task.retry) return betweenAttempts(task, task.retry, now);
  if (!task.activity) return attempt?.pid == null ? "starting" : "waits for its first reply";
  return task.activity.tool ? `tool ${task.activity.tool}` : oneLine(task.activity.text) || "waits for its next reply";
}

function betweenAttempts({ attempts }: RunningTask, retry: NonNullable<RunningTask["retry"]>, now: number): string {
  const leftMs = retry.toldAt + retry.delayMs - now;
  const last = attempts.at(-1);
  const why = last?.status === "ended" && last.error ? `: ${oneLine(last.error.message)}` : "";
  return `attempt ${retry.nextAttempt} ${leftMs > 0 ? `begins in ${formatDuration(leftMs)}` : "begins"}${why}`;
}

function oneLine(text: string): string {
  return (
    text
      .split("\n")
      .find((line) => line.trim() !== "")
      ?.trim() ?? ""
  );
}
