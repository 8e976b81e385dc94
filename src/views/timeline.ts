import type { AttemptRecord, RunState, TaskState } from "../runs/run-state.ts";
import { spanOf } from "./critical-path.ts";
import { clip, columns, pad } from "./text-width.ts";
import { formatDuration } from "./units.ts";

const BAR_CELLS_MIN = 10;
/** Two blanks before the bar; one after it, and `cancelled`, the longest that stands there. */
const AROUND_BAR = 12;
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const STEPS_MS = [
  ...[10, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 20, 30].map((seconds) => seconds * SECOND_MS),
  ...[1, 2, 5, 10, 20, 30].map((minutes) => minutes * MINUTE_MS),
  ...[1, 2, 5, 10, 24, 48, 120, 240].map((hours) => hours * HOUR_MS),
];
/** Between two times on the axis. */
const TICK_CELLS_MIN = 12;

/** What the marks of a bar say. */
export const MARKS = { completed: "█", running: "▒", failed: "▓", other: "░", waiting: "·" } as const;

/** Part of a bar: milliseconds of the wall clock. */
export interface BarPart {
  from: number;
  to: number;
  mark: string;
}

/** The run's whole time, so far, on so many cells. */
export interface TimeScale {
  start: number;
  end: number;
  cells: number;
}

export function scaleOf(state: RunState, now: number, cells: number): TimeScale {
  const start = state.startedAt ?? now;
  return { start, end: Math.max(state.endedAt ?? now, start + 1), cells };
}

/** A bar a task over the run's time, so that one sees what waited for what and what ran side by side. */
export function renderTimeline(state: RunState, now: number, width: number): string[] {
  if (state.startedAt === null) return ["not started yet"];
  const column = Math.max(...state.tasks.map((task) => columns(task.taskId)));
  const scale = scaleOf(state, now, Math.max(BAR_CELLS_MIN, width - column - AROUND_BAR));
  return state.tasks.map((task) => clip(`${pad(task.taskId, column)}  ${taskBar(task, scale)}`, width));
}

/** When a task's attempts ran, and how long it took with the waits between them; else its status. */
export function taskBar(task: TaskState, scale: TimeScale): string {
  const span = spanOf(task, scale.end);
  if (span === null) return `${" ".repeat(scale.cells)} ${task.status}`;
  const attempts = task.attempts.map((attempt, at): BarPart => {
    const { from, to, mark } = attemptPart(attempt, scale);
    const isLast = at === task.attempts.length - 1;
    // what is done before the first one and after the last is theirs: only what is between them is a wait
    return { mark, from: at === 0 ? span.from : from, to: isLast && "endedAt" in task ? span.to : to };
  });
  const whole = task.attempts.length > 0 ? MARKS.waiting : markOf(task.status);
  return `${drawBar([{ ...span, mark: whole }, ...attempts], scale)} ${formatDuration(span.to - span.from)}`;
}

export function attemptPart(attempt: AttemptRecord, { end }: TimeScale): BarPart {
  const ended = attempt.status === "ended";
  const to = ended ? attempt.endedAt : end;
  return { from: attempt.startedAt, to, mark: markOf(ended ? attempt.outcome : "running") };
}

function markOf(status: string): string {
  if (status === "completed" || status === "running") return MARKS[status];
  return status === "cancelled" || status === "skipped" ? MARKS.other : MARKS.failed;
}

/** Each part takes one cell at least, and lies over those before it. */
export function drawBar(parts: readonly BarPart[], { start, end, cells }: TimeScale): string {
  const toCell = (at: number) => Math.min(cells, Math.max(0, Math.round(((at - start) / (end - start)) * cells)));
  const drawn = Array.from({ length: cells }, () => " ");
  for (const { from, to, mark } of parts) {
    const first = Math.min(toCell(from), cells - 1);
    drawn.fill(mark, first, Math.max(first + 1, toCell(to)));
  }
  return drawn.join("");
}

/** Times since the run's start, each above its place: `┊` is where. */
export function drawAxis({ start, end, cells }: TimeScale): string {
  const wholeMs = end - start;
  const stepMs = STEPS_MS.find((step) => (step / wholeMs) * cells >= TICK_CELLS_MIN) ?? wholeMs;
  let line = "";
  for (let at = 0; at < wholeMs; at += stepMs) {
    const label = `┊${at === 0 ? "0" : formatDuration(at)}`;
    const cell = Math.round((at / wholeMs) * cells);
    if (cell + columns(label) > cells) break;
    line = pad(line, cell) + label;
  }
  return pad(line, cells);
}
