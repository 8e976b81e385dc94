import { isTerminal } from "../runs/run-state.ts";
import { codeOf, messageOf } from "../system/errors.ts";
import { safeText } from "../system/safe-text.ts";
import type { Clock } from "../system/world.ts";
import { renderRun, renderRunList } from "../views/run-summary.ts";
import { renderTimeline } from "../views/timeline.ts";
import type { Command } from "./commands.ts";
import { modeOf } from "./output.ts";
import { endNote, outputsOf, pictureOf } from "./run-report.ts";
import type { Session } from "./session.ts";
import type { DriveEnd, ShownRun } from "./shown-run.ts";

const LISTED_RUNS_MAX = 30;
const GOAL_CHARS_MAX = 200;
/** What the process of a background run takes for ending it is some seconds; when it is stopped, it never answers. */
const ASKED_MS_MAX = 15_000;

/** `/team-status [run]`: the list of runs, or all about one. */
export const statusCommand: Command = async ({ session, args, width }) => {
  const runs = await session.runs();
  const now = session.world.clock.now();
  if (args === "") return (await listRuns(session, LISTED_RUNS_MAX, width)).join("\n");
  const view = await runs.view(await runs.store.find(args));
  const lines = renderRun(pictureOf(view, session.cwd, session.world.processes), now, width);
  const shown = await session.shownRuns();
  const paused = shown.find(({ run }) => run.manifest.runId === view.manifest.runId)?.paused;
  const pause = paused ? ["", `paused: ${paused}`] : [];
  return [...lines, ...pause, "", ...renderTimeline(view.state, now, width), ...outputsOf(view)].join("\n");
};

/** The newest runs, and those of them that can't be read. */
export async function listRuns(session: Session, max: number, width: number): Promise<string[]> {
  const unreadable: string[] = [];
  const views = await (await session.runs()).views(max, (runId, error) => {
    // one that is just being made has no manifest yet
    if (codeOf(error) !== "unknown-run") unreadable.push(`${runId}  unreadable: ${messageOf(error)}`);
  });
  const pictures = views.map((view) => pictureOf(view, session.cwd, session.world.processes));
  const isListed = pictures.length > 0 || unreadable.length === 0;
  return [...(isListed ? renderRunList(pictures, session.world.clock.now(), width) : []), ...unreadable];
}

/** `/team-cancel [run]`: the one run under way when none is named. */
export const cancelCommand: Command = async ({ session, ctx, args }) => {
  const shown = await session.shownRuns();
  const only = shown.length === 1 ? shown[0]?.run.manifest.runId : undefined;
  const runs = await session.runs();
  const runId = args === "" && only ? only : await runs.store.find(args);
  const { state } = await runs.view(runId);
  // over RPC the command itself is a program's, or its user's, word
  if (!isTerminal(state.status) && modeOf(ctx) === "tui") {
    const goal = safeText(state.goal, { multiline: false }).slice(0, GOAL_CHARS_MAX);
    if (!(await ctx.ui.confirm(`Cancel run ${runId}?`, `${state.team}: ${goal}`)))
      return `Run ${runId} is not cancelled.`;
  }
  return cancelRun(session, runId);
};

/** Ends a run, whoever drives it. Gives what the user is told. */
export async function cancelRun(session: Session, runId: string): Promise<string> {
  const runs = await session.runs();
  const shown = await session.shownRuns();
  const how = await runs.cancel(runId, "cancelled by the user");
  const followed = shown.find(({ run }) => run.manifest.runId === runId);
  const end = how === "asked" ? await endSoon(followed, session.world.clock) : how;
  if (!end)
    return `Another process drives run ${runId}; it was asked to cancel it. /team-status ${runId} shows when it has.`;
  const note = endNote(end);
  if (note.length > 0) return [`Run ${runId} did not end here.`, ...note].join(" ");
  const { state } = await runs.view(runId);
  return `Run ${runId} is ${state.status}; none of its processes is left. /team-status ${runId} shows it.`;
}

/** The end of a run that another process was asked for; null when it does not come within seconds. */
export async function endSoon(run: ShownRun | undefined, clock: Clock): Promise<DriveEnd | null> {
  if (!run) return null;
  const waited = new AbortController();
  const end = await Promise.race([run.done, clock.sleep(ASKED_MS_MAX, waited.signal).then(() => null)]);
  waited.abort();
  return end;
}
