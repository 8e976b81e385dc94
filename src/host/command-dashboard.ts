import { isTerminal } from "../runs/run-state.ts";
import { renderDeadLetters } from "../views/dead-letter-list.ts";
import { renderMetricsPane } from "../views/metrics-pane.ts";
import { renderRun, renderRunList } from "../views/run-summary.ts";
import type { Command } from "./commands.ts";
import { showDashboard } from "./dashboard.ts";
import { DashboardData } from "./dashboard-data.ts";
import { DashboardTranscript } from "./dashboard-transcript.ts";
import { modeOf } from "./output.ts";

/** Of runs under way, those told of in full. */
const WHOLE_RUNS_MAX = 3;
const LETTERS_MAX = 10;

/** `/team-dashboard`: the panes where there is a terminal, else what they show as text. */
export const dashboardCommand: Command = async ({ ctx, session, width }) => {
  const data = await DashboardData.open(session);
  if (modeOf(ctx) !== "tui") return dashboardText(data, session.world.clock.now(), width);
  await showDashboard(ctx, {
    session,
    data,
    transcript: new DashboardTranscript(session.world),
  });
  return null;
};

function dashboardText(data: DashboardData, now: number, width: number): string {
  const runs = data.runs();
  const underWay = runs.filter(({ state }) => !isTerminal(state.status));
  const blocks = [
    renderRunList(runs, now, width),
    ...underWay.slice(0, WHOLE_RUNS_MAX).map((run) => renderRun(run, now, width)),
    renderDeadLetters(data.letters.slice(0, LETTERS_MAX), now, width),
    renderMetricsPane(data.metrics()?.snapshot ?? null, { width }),
  ];
  return blocks.map((lines) => lines.join("\n")).join("\n\n");
}
