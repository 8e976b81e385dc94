import { usedInRun } from "../runs/usage.ts";
import { isDegraded } from "../store/run-log-reader.ts";
import { renderAgents } from "./agents-pane.ts";
import { type DashboardView, PANES, type Pane, STATUS_TONES } from "./dashboard-view.ts";
import { renderHealth } from "./health-pane.ts";
import { renderMailbox } from "./mailbox-pane.ts";
import { renderMetricsPane } from "./metrics-pane.ts";
import { renderOutput } from "./output-pane.ts";
import { type Cell, drawLine, drawTable, firstShown, fold, type Row, type Tone } from "./paint.ts";
import { renderProgress } from "./progress-pane.ts";
import { runTime, SIGNS, taskCount } from "./run-summary.ts";
import { statusWord } from "./standstill.ts";
import { formatUsd } from "./units.ts";

const RENDER: { readonly [P in Pane]: (view: DashboardView, width: number) => string[] } = {
  agents: renderAgents,
  progress: renderProgress,
  mailbox: renderMailbox,
  output: renderOutput,
  health: renderHealth,
  metrics: (view, width) => {
    const lines = metricsLines(view, width);
    return lines.slice(Math.min(view.scroll, Math.max(0, lines.length - view.height)));
  },
};

function metricsLines({ metrics, filter, paint }: DashboardView, width: number): string[] {
  return renderMetricsPane(metrics?.snapshot ?? null, { width, filter, history: metrics?.history ?? null, paint });
}

/** Lines of a pane that can be scrolled by its keys. */
export function scrollable(view: DashboardView, width: number): number {
  if (view.pane === "metrics") return metricsLines(view, width).length;
  return view.pane === "output" ? view.transcript.length : 0;
}

const RUN_LINES_MAX = 7;
/** One line in so many shows a run. */
const RUN_LINES_SHARE = 8;
const SAID_LINES_MAX = 4;

/** The whole screen: exactly `view.height` lines of at most `width` columns. */
export function renderDashboard(view: DashboardView, width: number): string[] {
  const { paint, height } = view;
  const rule = drawLine([{ text: "─".repeat(width), tone: "dim" }], width, paint);
  const head = [headLine(view, width), ...runLines(view, width), rule];
  const foot = [rule, ...promptLines(view, width)];
  const room = Math.max(0, height - head.length - foot.length);
  const body =
    view.runs.length === 0 && needsRun(view.pane)
      ? noRuns(view, width)
      : RENDER[view.pane]({ ...view, height: room }, width);
  const filled = Array.from({ length: room }, (_, at) => body[at] ?? "");
  return [...head, ...filled, ...foot].slice(0, height);
}

function needsRun(pane: Pane): boolean {
  return pane !== "metrics" && pane !== "health";
}

function noRuns({ paint }: DashboardView, width: number): string[] {
  return [drawLine([{ text: 'No runs yet. Start one with /team-run <team> "<goal>".', tone: "muted" }], width, paint)];
}

function headLine({ pane, paint }: DashboardView, width: number): string {
  const cells = PANES.flatMap((name, at): Cell[] => [
    { text: `${at + 1} `, tone: name === pane ? "accent" : "dim" },
    { text: name, tone: name === pane ? "accent" : "muted", bold: name === pane },
    "   ",
  ]);
  return drawLine(cells, width, paint);
}

function runLines({ runs, run: chosen, now, height, paint }: DashboardView, width: number): string[] {
  const rows = Math.max(1, Math.min(runs.length, RUN_LINES_MAX, Math.floor(height / RUN_LINES_SHARE)));
  const first = firstShown(runs.length, chosen, rows);
  const table = runs.slice(first, first + rows).map(({ state, standstill, health }, at): Row => {
    const isOdd = standstill !== null || isDegraded(health);
    const word = `${statusWord(state, standstill)}${isDegraded(health) ? ", degraded" : ""}`;
    const sign = state.status === "queued" ? "○" : SIGNS[state.status];
    return {
      chosen: first + at === chosen,
      cells: [
        { text: `${sign} ${state.runId.slice(-8)}`, bold: first + at === chosen },
        { text: word, tone: isOdd ? "warning" : (STATUS_TONES[state.status] ?? "muted") },
        { text: taskCount(state), right: true },
        { text: runTime(state, now), right: true },
        { text: formatUsd(usedInRun(state).costUsd), right: true },
        { text: `${state.team}: ${state.goal}`, tone: "muted" },
      ],
    };
  });
  return drawTable(table, width, paint, { shrinks: 5 });
}

function promptLines({ prompt, keys, paint }: DashboardView, width: number): string[] {
  const help = drawLine(
    keys.flatMap(([key, what]): Cell[] => [
      { text: key, tone: "accent" },
      { text: ` ${what}  `, tone: "dim" },
    ]),
    width,
    paint,
  );
  const folded = (text: string, tone: Tone) =>
    fold(text.replaceAll("\n", " "), width)
      .slice(0, SAID_LINES_MAX)
      .map((line) => drawLine([{ text: line, tone }], width, paint));
  switch (prompt.kind) {
    case "none":
      return [help];
    case "said":
      return [...folded(prompt.text, prompt.tone), help];
    case "question":
      return [...folded(prompt.text, "warning"), drawLine([{ text: prompt.answers, bold: true }], width, paint)];
    case "input":
      return [drawLine([{ text: prompt.title, tone: "accent" }], width, paint), prompt.line];
  }
}
