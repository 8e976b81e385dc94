import type { AgentToolResult } from "@mariozechner/pi-coding-agent";
import type { TokenCounts } from "../events/crew-event.ts";
import { isTerminal, type RunState } from "../runs/run-state.ts";
import { displayPath } from "../store/layout.ts";
import { UserError } from "../system/errors.ts";
import { renderRun } from "../views/run-summary.ts";
import { deadLetterText } from "./command-deadletters.ts";
import { exportRun } from "./command-export.ts";
import { sendMessage } from "./command-message.ts";
import { metricsText } from "./command-metrics.ts";
import { endOrAsk, listRuns } from "./command-status.ts";
import { redriveTask } from "./redrive.ts";
import { resumeRun } from "./resume-run.ts";
import { withAskedCancel } from "./run-facts.ts";
import { announceEnd, endNote, outputsOf, pictureOf } from "./run-report.ts";
import type { Session } from "./session.ts";
import type { ShownRun } from "./shown-run.ts";
import { startRun } from "./start-run.ts";
import type { TeamCall, TeamDetails } from "./team-tool.ts";
import { showProgress } from "./widget.ts";

const TEXT_COLUMNS = 110;
const LISTED_RUNS_MAX = 20;

type Result = AgentToolResult<TeamDetails>;

/** What the `team` tool does. Throws a UserError, which the host hands to the model as the tool's error. */
export async function actOnTeam(
  session: Session,
  params: TeamCall,
  signal: AbortSignal | undefined,
  update: (text: string) => void,
): Promise<Result> {
  switch (params.action) {
    case "run": {
      if (!params.team) throw new UserError("no-team", 'Name a team: {"action":"run","team":"fast-fix","goal":"…"}.');
      const { team, workflow = null, goal = "", background = false } = params;
      const shown = await startRun(session, { team, workflow, goal, background }, true);
      if (!background) return waitFor(session, shown, signal, update, "cancel");
      showProgress(session, shown);
      announceEnd(session, shown);
      return status(session, shown.run.manifest.runId, ["It goes on in the background; its end will be told to you."]);
    }
    case "status":
      return status(session, await find(session, params.runId));
    case "wait": {
      const runId = await find(session, params.runId);
      const shown = (await session.shownRuns()).find(({ run }) => run.manifest.runId === runId);
      return shown ? waitFor(session, shown, signal, update, "leave") : status(session, runId);
    }
    case "cancel": {
      const runId = await find(session, params.runId);
      const end = await endOrAsk(session, runId, "cancelled by the team tool");
      return status(session, runId, typeof end === "string" ? [end] : endNote(end));
    }
    case "message": {
      const { runId = "latest", taskId = "", text = "" } = params;
      const said = await sendMessage(session, runId, taskId, text);
      return { content: [{ type: "text", text: said }], details: {} };
    }
    case "metrics": {
      const text = await metricsText(session, params.glob, TEXT_COLUMNS);
      return { content: [{ type: "text", text }], details: {} };
    }
    case "export": {
      const { runId, said } = await exportRun(session, params.runId ?? "");
      return { content: [{ type: "text", text: said }], details: { runId } };
    }
    case "list":
      return list(session);
    case "resume": {
      const { active, said } = await resumeRun(session, params.runId ?? "latest");
      return waitFor(session, active, signal, update, "cancel", [said]);
    }
    case "redrive":
      return redrive(session, params, signal, update);
    case "deadletters":
      return { content: [{ type: "text", text: await deadLetterText(session, TEXT_COLUMNS) }], details: {} };
  }
}

async function redrive(
  session: Session,
  { deadLetterId, model, prompt }: TeamCall,
  signal: AbortSignal | undefined,
  update: (text: string) => void,
): Promise<Result> {
  if (!deadLetterId)
    throw new UserError("no-dead-letter", 'Name a dead letter: {"action":"redrive","deadLetterId":"…"}.');
  const { active, said } = await redriveTask(
    session,
    { deadLetterId },
    { model: model ?? null, prompt: prompt ?? null, begin: null },
  );
  return waitFor(session, active, signal, update, "cancel", [said]);
}

async function find(session: Session, text: string | undefined): Promise<string> {
  return (await session.runs()).store.find(text ?? "latest");
}

/** Follows a run to its end. `onAbort`: the run started by this call ends with it; one merely waited for goes on. */
async function waitFor(
  session: Session,
  active: ShownRun,
  signal: AbortSignal | undefined,
  update: (text: string) => void,
  onAbort: "cancel" | "leave",
  notes: readonly string[] = [],
): Promise<Result> {
  const { runId } = active.run.manifest;
  showProgress(session, active);
  const draw = () => {
    const { manifest, state, health, folder } = active.run;
    const { standstill } = active;
    const view = { manifest, state, health, standstill, folder: displayPath(folder, session.cwd) };
    update(renderRun(view, session.world.clock.now(), TEXT_COLUMNS).join("\n"));
  };
  const aborted = new Promise<void>((resolve) => {
    const abort = () => {
      // the host aborts what runs when the session is replaced, too: then the run is handed over, not cancelled
      if (session.closed) resolve();
      else if (onAbort === "cancel") active.cancel("cancelled by the user");
      else resolve();
    };
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
  using _following = session.feed().follow(runId, draw);
  draw();
  const end = await Promise.race([active.done, aborted]);
  const note = end ? endNote(end) : ["Still running; this call no longer waits for it."];
  const result = await status(session, runId, [...notes, ...note]);
  // one that is merely waited for may be waited for twice
  return onAbort === "cancel" && isTerminal(active.run.state.status) ? withUsage(result, active.run.state) : result;
}

/** With what the run's workers used, for hosts that add it to their session's own totals (0.87.1 does). */
function withUsage(result: Result, { tasks, costUsd, tokens }: RunState): Result {
  const ended = tasks.flatMap((task) => task.attempts).filter((it) => it.status === "ended");
  const sum = (kind: keyof TokenCounts) => ended.reduce((total, { tokenCounts }) => total + tokenCounts[kind], 0);
  const usage = {
    ...{ input: sum("input"), output: sum("output"), cacheRead: sum("cacheRead"), cacheWrite: sum("cacheWrite") },
    totalTokens: tokens,
    // only the whole is known
    cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, total: costUsd },
  };
  return { ...result, usage } as Result;
}

async function status(session: Session, runId: string, notes: string[] = []): Promise<Result> {
  const view = await withAskedCancel(session.world, await (await session.runs()).view(runId));
  const picture = pictureOf(view, session.cwd, session.world.processes, await session.shownRuns());
  const lines = [...renderRun(picture, session.world.clock.now(), TEXT_COLUMNS), ...notes, ...outputsOf(view)];
  const { status, tokens, costUsd } = view.state;
  return { content: [{ type: "text", text: lines.join("\n") }], details: { runId, status, tokens, costUsd } };
}

async function list(session: Session): Promise<Result> {
  const [catalog, runs] = await Promise.all([session.catalog(), listRuns(session, LISTED_RUNS_MAX, TEXT_COLUMNS)]);
  const teams = [...catalog.teams.values()].map((team) => `${team.name}: ${team.description}`);
  const lines = ["Teams:", ...teams, "", "Runs:", ...runs];
  return { content: [{ type: "text", text: lines.join("\n") }], details: {} };
}
