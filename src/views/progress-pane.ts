import { isTerminal } from "../runs/run-state.ts";
import { type CriticalPath, criticalPath } from "./critical-path.ts";
import { chosenRun, chosenTask, type DashboardView, STATUS_TONES } from "./dashboard-view.ts";
import { drawLine, drawTable, firstShown, fold, type Row } from "./paint.ts";
import { type RunPicture, SIGNS } from "./run-summary.ts";
import { columns } from "./text-width.ts";
import { drawAxis, MARKS, scaleOf, type TimeScale, taskBar } from "./timeline.ts";
import { formatDuration } from "./units.ts";
import { waterfallOf } from "./waterfall.ts";

const NAME_COLUMNS_MAX = 32;
const AFTER_COLUMNS_MAX = 18;
/** Below this the bar needs the room of what a task comes after. */
const WIDE = 100;
const DEPTH_MAX = 8;
/** The marks, blanks between the columns, and a bar's own time behind it. */
const AROUND_BAR = 18;
const BAR_CELLS_MIN = 8;
/** One line in so many is for what the chosen task did. */
const DETAIL_LINES_SHARE = 3;
/** From so many lines on there is one for what the marks say. */
const TALL = 16;
const PATH_LINES_MAX = 3;

/**
 * The task graph, deeper tasks further in, beside a bar for the time each took; `◆` is on the critical path. Below the
 * chosen task its attempts and its tool calls on the same axis.
 */
export function renderProgress(view: DashboardView, width: number): string[] {
  const { paint, now, height } = view;
  const run = chosenRun(view);
  const task = chosenTask(view);
  if (!run || !task) return [];
  const { state } = run;
  const path = criticalPath(run.manifest, state, now);
  const foot = [...pathLines(view, run, path, width), ...legend(view, width)];
  const room = Math.max(1, height - foot.length - 1);
  const detail = waterfallOf(task, now).slice(0, Math.floor(room / DETAIL_LINES_SHARE));
  const rows = Math.max(1, room - detail.length);
  const first = firstShown(state.tasks.length, view.task, rows);
  const names = treeNames(run, first, rows);
  const lines = detail.map(({ name }) => name);
  const nameColumns = Math.min(NAME_COLUMNS_MAX, Math.max(0, ...[...names, ...lines].map(columns)));
  const wide = width >= WIDE;
  const cells = Math.max(BAR_CELLS_MIN, width - nameColumns - (wide ? AFTER_COLUMNS_MAX + 2 : 0) - AROUND_BAR);
  const scale = scaleOf(state, now, cells);
  const tasks = names.map((name, at) => taskRow(view, run, first + at, name, path, scale, wide));
  const parts = detail.map(({ name, draw, tone }): Row => {
    const cell = { text: draw(scale), tone };
    return { cells: [{ text: name, tone: "muted" }, ...(wide ? [""] : []), " ", cell] };
  });
  const below = view.task - first + 1;
  // a table's column is as wide as what is in it, and the bars' begin must not move with that
  const blank = [" ".repeat(nameColumns), ...(wide ? [" ".repeat(AFTER_COLUMNS_MAX)] : [])];
  const axis: Row = { cells: [...blank, " ", { text: drawAxis(scale), tone: "dim" }] };
  const all = [axis, ...tasks.slice(0, below), ...parts, ...tasks.slice(below)];
  // all rows in one table, so that all bars stand on one axis
  const limits = wide ? [nameColumns, AFTER_COLUMNS_MAX] : [nameColumns];
  return [...drawTable(all, width, paint, { limits }), ...foot];
}

function treeNames(run: RunPicture, first: number, rows: number): string[] {
  const depths = depthsOf(run);
  return run.state.tasks.slice(first, first + rows).map((task, at) => {
    const depth = Math.min(DEPTH_MAX, depths[first + at] ?? 0);
    return `${SIGNS[task.status]} ${"  ".repeat(Math.max(0, depth - 1))}${depth > 0 ? "└ " : ""}${task.taskId}`;
  });
}

function taskRow(
  view: DashboardView,
  { state, manifest }: RunPicture,
  index: number,
  name: string,
  path: CriticalPath,
  scale: TimeScale,
  wide: boolean,
): Row {
  const task = state.tasks[index];
  if (!task) return { cells: [] };
  const after = manifest.tasks[index]?.dependsOn.join(", ") ?? "";
  const onPath = path.taskIds.includes(task.taskId);
  return {
    chosen: index === view.task,
    cells: [
      { text: name, tone: task.status === "waiting" ? "muted" : "text" },
      ...(wide ? [{ text: after === "" ? "" : `← ${after}`, tone: "dim" as const }] : []),
      { text: onPath ? "◆" : " ", tone: "warning" },
      { text: taskBar(task, scale), tone: STATUS_TONES[task.status] ?? "muted", bold: onPath },
    ],
  };
}

function pathLines({ now, paint, height }: DashboardView, { state }: RunPicture, path: CriticalPath, width: number) {
  if (state.startedAt === null || path.taskIds.length === 0)
    return ["", drawLine([{ text: "no task has begun", tone: "muted" }], width, paint)];
  const whole = Math.max(0, (isTerminal(state.status) ? (state.endedAt ?? now) : now) - state.startedAt);
  const head = "◆ critical path  ";
  const text = `${formatDuration(path.busyMs)} of ${formatDuration(whole)}: ${path.taskIds.join(" → ")}`;
  const room = Math.max(1, width - columns(head));
  const most = height >= TALL ? PATH_LINES_MAX : 1;
  const folded = fold(text, room);
  const lines = folded.length > most ? [...folded.slice(0, most - 1), folded.slice(most - 1).join(" ")] : folded;
  return [
    "",
    ...lines.map((line, at) =>
      drawLine([{ text: at === 0 ? head : " ".repeat(columns(head)), tone: "warning" }, line], width, paint),
    ),
  ];
}

function legend({ height, paint }: DashboardView, width: number): string[] {
  if (height < TALL) return [];
  const { completed, running, failed, other, waiting } = MARKS;
  const words = `${completed} completed   ${running} running   ${failed} failed   ${other} cancelled   ${waiting} waits to go on`;
  return [drawLine([{ text: words, tone: "dim" }], width, paint)];
}

/** How many tasks are before each at most, along its dependencies; those a manifest names out of order count as none. */
function depthsOf({ manifest }: RunPicture): number[] {
  const depths = new Map<string, number>();
  return manifest.tasks.map(({ taskId, dependsOn }) => {
    const depth = Math.max(0, ...dependsOn.map((id) => (depths.get(id) ?? -1) + 1));
    depths.set(taskId, depth);
    return depth;
  });
}
