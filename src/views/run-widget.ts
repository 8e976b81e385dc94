import { isTerminal, type RunState } from "../runs/run-state.ts";
import { usedInRun } from "../runs/usage.ts";
import { type Cell, drawLine, type Paint } from "./paint.ts";
import { activityOf, runTime, taskCount } from "./run-summary.ts";
import { clip } from "./text-width.ts";
import { MARKS } from "./timeline.ts";
import { counted, formatUsd } from "./units.ts";

export interface WidgetRun {
  state: RunState;
  paused: string | null;
  unattended: boolean;
}

const LINES_MAX = 3;
const BAR_CELLS = 12;
const NAME_COLUMNS_MAX = 24;

/** One to three lines for the runs under way: how far each is, for how much, and what it does now. */
export function renderWidget(runs: readonly WidgetRun[], now: number, width: number, paint: Paint): string[] {
  const [only] = runs;
  if (!only) return [];
  if (runs.length === 1) {
    const doing = doingNow(only, now);
    const head = drawLine(headOf(only, now), width, paint);
    return doing === "" ? [head] : [head, drawLine([{ text: `  ${doing}`, tone: "muted" }], width, paint)];
  }
  const shown = runs.slice(0, runs.length > LINES_MAX ? LINES_MAX - 1 : LINES_MAX);
  const lines = shown.map((run) =>
    drawLine([...headOf(run, now), { text: `  ${doingNow(run, now)}`, tone: "muted" }], width, paint),
  );
  if (runs.length === shown.length) return lines;
  const more = `  and ${counted(runs.length - shown.length, "more run")}: /team-dashboard shows all`;
  return [...lines, drawLine([{ text: more, tone: "dim" }], width, paint)];
}

/** For the footer; empty when no run is under way. */
export function renderRunsBrief(runs: readonly WidgetRun[]): string {
  if (runs.length === 0) return "";
  const attended = runs.filter((run) => !run.unattended);
  const atWork = attended.flatMap(({ state }) => state.tasks).filter(({ status }) => status === "running").length;
  const paused = runs.filter((run) => run.paused !== null).length;
  const parts = [counted(runs.length, "run")];
  // whether the workers of a run that nobody drives are still at it is unknown here
  if (attended.length > 0) parts.push(`${atWork} at work`);
  if (paused > 0) parts.push(`${paused} paused`);
  if (attended.length < runs.length) parts.push(`${runs.length - attended.length} unattended`);
  return `team: ${parts.join(" · ")}`;
}

/** Of the bar, as many parts are full as the count says; what ended otherwise is another part, and is told after it. */
function headOf({ state, paused, unattended }: WidgetRun, now: number): Cell[] {
  const { tasks } = state;
  const completed = tasks.filter(({ status }) => status === "completed").length;
  const ended = tasks.filter(({ status }) => isTerminal(status)).length;
  const toCells = (count: number) => Math.round((count / Math.max(1, tasks.length)) * BAR_CELLS);
  const [full, used] = [toCells(completed), toCells(ended)];
  const lost = lostIn(state);
  const standstill = unattended ? "unattended" : paused !== null && "paused";
  return [
    { text: `${state.team} `, tone: "accent", bold: true },
    { text: MARKS.completed.repeat(full), tone: "success" },
    { text: MARKS.failed.repeat(used - full), tone: "error" },
    { text: "░".repeat(BAR_CELLS - used), tone: "dim" },
    { text: ` ${taskCount(state)}` },
    { text: lost === "" ? "" : `  ${lost}`, tone: "error" },
    { text: `  ${runTime(state, now)}  ${formatUsd(usedInRun(state).costUsd)}` },
    { text: standstill ? `  ${standstill}` : "", tone: "warning" },
  ];
}

/** What ended without being completed: the one task that failed by its name, all others by their number. */
function lostIn({ tasks }: RunState): string {
  const named = (status: string) => tasks.filter((task) => task.status === status);
  const [failed, ...others] = named("failed");
  const first =
    others.length > 0 ? `${others.length + 1} failed` : failed && `${clip(failed.taskId, NAME_COLUMNS_MAX)} failed`;
  const rest = ["cancelled", "skipped"].map((status) => {
    const count = named(status).length;
    return count === 0 ? "" : `${count} ${status}`;
  });
  return [first, ...rest].filter(Boolean).join(", ");
}

function doingNow({ state, paused, unattended }: WidgetRun, now: number): string {
  if (unattended) return `nobody drives it: /team-resume ${state.runId} goes on with it`;
  if (paused !== null) return paused;
  return state.tasks
    .flatMap((task) => (task.status === "running" ? `${task.taskId}: ${activityOf(task, now)}` : []))
    .join("   ");
}
