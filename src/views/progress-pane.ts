import { isTerminal } from "../runs/run-state.ts";
import { criticalPath } from "./critical-path.ts";
import { chosenRun, type DashboardRun, type DashboardView, STATUS_TONES } from "./dashboard-view.ts";
import { drawLine, drawTable, firstShown, type Row } from "./paint.ts";
import { SIGNS } from "./run-summary.ts";
import { columns } from "./text-width.ts";
import { taskBar } from "./timeline.ts";
import { formatDuration } from "./units.ts";

const NAME_COLUMNS_MAX = 32;
const AFTER_COLUMNS_MAX = 18;
/** Below this the bar needs the room of what a task comes after. */
const WIDE = 100;
const DEPTH_MAX = 8;
/** The marks, blanks between the columns, and a bar's own time behind it. */
const AROUND_BAR = 18;
const BAR_CELLS_MIN = 8;

/** The task graph, deeper tasks further in, beside a bar for the time each took; `◆` is on the critical path. */
export function renderProgress(view: DashboardView, width: number): string[] {
  const { paint, now, height } = view;
  const run = chosenRun(view);
  if (!run) return [];
  const { state, manifest } = run;
  const path = criticalPath(manifest, state, now);
  const critical = new Set(path.taskIds);
  const depths = depthsOf(run);
  const rows = Math.max(1, height - 2);
  const first = firstShown(state.tasks.length, view.task, rows);
  const shown = state.tasks.slice(first, first + rows);
  const names = shown.map((task, at) => {
    const depth = Math.min(DEPTH_MAX, depths[first + at] ?? 0);
    return `${SIGNS[task.status]} ${"  ".repeat(Math.max(0, depth - 1))}${depth > 0 ? "└ " : ""}${task.taskId}`;
  });
  const nameColumns = Math.min(NAME_COLUMNS_MAX, Math.max(0, ...names.map(columns)));
  const cells = Math.max(BAR_CELLS_MIN, width - nameColumns - (width >= WIDE ? AFTER_COLUMNS_MAX + 2 : 0) - AROUND_BAR);
  const table = shown.map((task, at): Row => {
    const index = first + at;
    const after = manifest.tasks[index]?.dependsOn.join(", ") ?? "";
    const onPath = critical.has(task.taskId);
    return {
      chosen: index === view.task,
      cells: [
        { text: names[at] ?? "", tone: task.status === "waiting" ? "muted" : "text" },
        ...(width >= WIDE ? [{ text: after === "" ? "" : `← ${after}`, tone: "dim" as const }] : []),
        { text: onPath ? "◆" : " ", tone: "warning" },
        { text: taskBar(task, state, now, cells), tone: STATUS_TONES[task.status] ?? "muted", bold: onPath },
      ],
    };
  });
  const limits = width >= WIDE ? [NAME_COLUMNS_MAX, AFTER_COLUMNS_MAX] : [NAME_COLUMNS_MAX];
  return [...drawTable(table, width, paint, { limits }), ...pathLines(view, run, path, width)];
}

function pathLines(
  { now, paint }: DashboardView,
  { state }: DashboardRun,
  path: ReturnType<typeof criticalPath>,
  width: number,
): string[] {
  if (state.startedAt === null || path.taskIds.length === 0)
    return ["", drawLine([{ text: "no task has begun", tone: "muted" }], width, paint)];
  const whole = Math.max(0, (isTerminal(state.status) ? (state.endedAt ?? now) : now) - state.startedAt);
  const text = `${formatDuration(path.busyMs)} of ${formatDuration(whole)}: ${path.taskIds.join(" → ")}`;
  return [
    "",
    drawLine([{ text: "◆ ", tone: "warning" }, { text: "critical path  ", tone: "muted" }, text], width, paint),
  ];
}

/** How many tasks are before each at most, along its dependencies; those a manifest names out of order count as none. */
function depthsOf({ manifest }: DashboardRun): number[] {
  const depths = new Map<string, number>();
  return manifest.tasks.map(({ taskId, dependsOn }) => {
    const depth = Math.max(0, ...dependsOn.map((id) => (depths.get(id) ?? -1) + 1));
    depths.set(taskId, depth);
    return depth;
  });
}
