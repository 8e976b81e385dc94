import type { RunState, TaskState } from "../runs/run-state.ts";
import { clip, columns, pad } from "./text-width.ts";
import { formatDuration } from "./units.ts";

const BAR_CELLS_MIN = 10;
/** Two blanks before the bar; one after it, and `cancelled`, the longest that stands there. */
const AROUND_BAR = 12;

/** A bar a task over the run's time, so that one sees what waited for what and what ran side by side. */
export function renderTimeline(state: RunState, now: number, width: number): string[] {
  const start = state.startedAt;
  if (start === null) return ["not started yet"];
  const end = Math.max(state.endedAt ?? now, start + 1);
  const column = Math.max(...state.tasks.map((task) => columns(task.taskId)));
  const cells = Math.max(BAR_CELLS_MIN, width - column - AROUND_BAR);
  const toCell = (at: number) => Math.min(cells, Math.max(0, Math.round(((at - start) / (end - start)) * cells)));
  return state.tasks.map((task) => clip(`${pad(task.taskId, column)}  ${bar(task, end, cells, toCell)}`, width));
}

function bar(task: TaskState, now: number, cells: number, toCell: (at: number) => number): string {
  const began = "startedAt" in task ? task.startedAt : null;
  if (began === null) return `${" ".repeat(cells)} ${task.status}`;
  const ended = "endedAt" in task ? task.endedAt : now;
  const from = Math.min(toCell(began), cells - 1);
  const length = Math.max(1, toCell(ended) - from);
  const mark = { completed: "█", running: "▒", failed: "▓" }[task.status as string] ?? "░";
  return `${" ".repeat(from)}${mark.repeat(length)}${" ".repeat(cells - from - length)} ${formatDuration(ended - began)}`;
}
