import { isTerminal } from "../runs/run-state.ts";
import { codeOf, messageOf } from "../system/errors.ts";
import { safeText } from "../system/safe-text.ts";
import type { Clock } from "../system/world.ts";
import { renderRun, renderRunList } from "../views/run-summary.ts";
import { stoppedWords } from "../views/standstill.ts";
import { renderTimeline } from "../views/timeline.ts";
import type { Command } from "./commands.ts";
import { modeOf } from "./output.ts";
import { driverStandstill, withAskedCancel } from "./run-facts.ts";
import { endNote, outputsOf, pictureOf } from "./run-report.ts";
import type { Session } from "./session.ts";
import type { DriveEnd, ShownRun } from "./shown-run.ts";

const LISTED_RUNS_MAX = 30;
const GOAL_CHARS_MAX = 200;
/** What the process of a background run takes for ending it is some seconds. */
const ASKED_MS_MAX = 15_000;

/** `/team-status [run]`: the list of runs, or all about one. */
export const statusCommand: Command = async ({ session, args, width }) => {
  const runs = await session.runs();
  const now = session.world.clock.now();
  if (args === "") return (await listRuns(session, LISTED_RUNS_MAX, width)).join("\n");
  const view = await withAskedCancel(session.world, await runs.view(await runs.store.find(args)));
  const picture = pictureOf(view, session.cwd, session.world.processes, await session.shownRuns());
  return [...renderRun(picture, now, width), "", ...renderTimeline(view.state, now, width), ...outputsOf(view)].join(
    "\n",
  );
};

/** The newest runs, and those of them that can't be read. */
export async function listRuns(session: Session, max: number, width: number): Promise<string[]> {
  const unreadable: string[] = [];
  const views = await (await session.runs()).views(max, (runId, error) => {
    // one that is just being made has no manifest yet
    if (codeOf(error) !== "unknown-run") unreadable.push(`${runId}  unreadable: ${messageOf(error)}`);
  });
  const shown = await session.shownRuns();
  const pictures = views.map((view) => pictureOf(view, session.cwd, session.world.processes, shown));
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
  const end = await endOrAsk(session, runId, "cancelled by the user");
  if (typeof end === "string") return end;
  const note = endNote(end);
  if (note.length > 0) return [`Run ${runId} did not end here.`, ...note].join(" ");
  const { state } = await runs.view(runId);
  return `Run ${runId} is ${state.status}; none of its processes is left. /team-status ${runId} shows it.`;
}

/** The end of a run, whoever drives it; a sentence when that is another process, from which it does not come within seconds. */
export async function endOrAsk(session: Session, runId: string, reason: string): Promise<DriveEnd | string> {
  const { clock, processes } = session.world;
  const runs = await session.runs();
  const shown = (await session.shownRuns()).find(({ run }) => run.manifest.runId === runId);
  const how = await runs.cancel(runId, reason);
  if (how !== "asked") return how;
  const asked = `Another process drives run ${runId}; it was asked to cancel it`;
  const whyNot = async () => {
    const standstill = driverStandstill((await runs.view(runId)).state, processes);
    return standstill?.kind === "stopped" ? `${asked}, but ${stoppedWords(standstill.pid)}.` : null;
  };
  const end = (await whyNot()) === null ? await endSoon(shown, clock) : null;
  return end ?? (await whyNot()) ?? `${asked}. /team-status ${runId} shows when it has.`;
}

/** Null when it does not come. */
async function endSoon(run: ShownRun | undefined, clock: Clock): Promise<DriveEnd | null> {
  if (!run) return null;
  const waited = new AbortController();
  const end = await Promise.race([run.done, clock.sleep(ASKED_MS_MAX, waited.signal).then(() => null)]);
  waited.abort();
  return end;
}
