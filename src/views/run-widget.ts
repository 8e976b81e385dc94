import { isTerminal, type RunState } from "../runs/run-state.ts";
import { usedInRun } from "../runs/usage.ts";
import { safeText } from "../system/safe-text.ts";
import { type Cell, drawLine, foldUnder, type Paint } from "./paint.ts";
import { activityOf, runTime, taskCount } from "./run-summary.ts";
import { isFollowed, type Standstill, standstillWords, statusWord } from "./standstill.ts";
import { clip } from "./text-width.ts";
import { MARKS } from "./timeline.ts";
import { counted, formatUsd } from "./units.ts";

export interface WidgetRun {
  state: RunState;
  standstill: Standstill | null;
}

const LINES_MAX = 3;
/** Why the only run does not go on, with the path it may name, is what its user has to read. */
const STANDSTILL_LINES_MAX = 4;
const BAR_CELLS = 12;
const NAME_COLUMNS_MAX = 24;

/**
 * One to three lines for the runs under way: how far each is, for how much, and what it does now. Some more where the
 * only one does not go on.
 */
export function renderWidget(runs: readonly WidgetRun[], now: number, width: number, paint: Paint): string[] {
  const [only] = runs;
  if (!only) return [];
  if (runs.length === 1) {
    const doing = safeText(doingNow(only, now), { multiline: false });
    const below = only.standstill ? foldUnder(`  ${doing}`, 2, width, STANDSTILL_LINES_MAX) : doing && [`  ${doing}`];
    const lines = [headOf(only, now), ...[...below].map((text): Cell[] => [{ text, tone: "muted" }])];
    return lines.map((cells) => drawLine(cells, width, paint));
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
  // whether the workers of a run that nobody drives are still at it is unknown here
  const followed = runs.filter(({ standstill }) => isFollowed(standstill));
  const atWork = followed.flatMap(({ state }) => state.tasks).filter(({ status }) => status === "running").length;
  const parts = [counted(runs.length, "run")];
  if (followed.length > 0) parts.push(`${atWork} at work`);
  for (const kind of ["paused", "stopped", "unattended"] satisfies Standstill["kind"][]) {
    const count = runs.filter(({ standstill }) => standstill?.kind === kind).length;
    if (count > 0) parts.push(`${count} ${kind}`);
  }
  return `team: ${parts.join(" · ")}`;
}

/** Of the bar, as many parts are full as the count says; what ended otherwise is another part, and is told after it. */
function headOf({ state, standstill }: WidgetRun, now: number): Cell[] {
  const { tasks } = state;
  const completed = tasks.filter(({ status }) => status === "completed").length;
  const ended = tasks.filter(({ status }) => isTerminal(status)).length;
  const toCells = (count: number) => Math.round((count / Math.max(1, tasks.length)) * BAR_CELLS);
  const [full, used] = [toCells(completed), toCells(ended)];
  const lost = lostIn(state);
  return [
    { text: `${state.team} `, tone: "accent", bold: true },
    { text: MARKS.completed.repeat(full), tone: "success" },
    { text: MARKS.failed.repeat(used - full), tone: "error" },
    { text: "░".repeat(BAR_CELLS - used), tone: "dim" },
    { text: ` ${taskCount(state)}` },
    { text: lost === "" ? "" : `  ${lost}`, tone: "error" },
    { text: `  ${runTime(state, now)}  ${formatUsd(usedInRun(state).costUsd)}` },
    { text: standstill ? `  ${statusWord(state, standstill)}` : "", tone: "warning" },
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

function doingNow({ state, standstill }: WidgetRun, now: number): string {
  if (standstill) return standstillWords(standstill, state.runId);
  return state.tasks
    .flatMap((task) => (task.status === "running" ? `${task.taskId}: ${activityOf(task, now)}` : []))
    .join("   ");
}
