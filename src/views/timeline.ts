import type { RunState, TaskState } from "../runs/run-state.ts";
import { spanOf } from "./critical-path.ts";
import { clip, columns, pad } from "./text-width.ts";
import { formatDuration } from "./units.ts";

const BAR_CELLS_MIN = 10;
/** Two blanks before the bar; one after it, and `cancelled`, the longest that stands there. */
const AROUND_BAR = 12;

/** A bar a task over the run's time, so that one sees what waited for what and what ran side by side. */
export function renderTimeline(state: RunState, now: number, width: number): string[] {
  if (state.startedAt === null) return ["not started yet"];
  const column = Math.max(...state.tasks.map((task) => columns(task.taskId)));
  const cells = Math.max(BAR_CELLS_MIN, width - column - AROUND_BAR);
  return state.tasks.map((task) => clip(`${pad(task.taskId, column)}  ${taskBar(task, state, now, cells)}`, width));
}

/** When a task ran, `cells` columns wide for the run's whole time, and how long; else its status. */
export function taskBar(task: TaskState, state: RunState, now: number, cells: number): string {
  const start = state.startedAt ?? now;
  const end = Math.max(state.endedAt ?? now, start + 1);
  const toCell = (at: number) => Math.min(cells, Math.max(0, Math.round(((at - start) / (end - start)) * cells)));
  const span = spanOf(task, end);
  if (span === null) return `${" ".repeat(cells)} ${task.status}`;
  const from = Math.min(toCell(span.from), cells - 1);
  const length = Math.max(1, toCell(span.to) - from);
  const mark = { completed: "█", running: "▒", failed: "▓" }[task.status as string] ?? "░";
  return `${" ".repeat(from)}${mark.repeat(length)}${" ".repeat(cells - from - length)} ${formatDuration(span.to - span.from)}`;
}
