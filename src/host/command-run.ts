import { UserError } from "../system/errors.ts";
import { announceEnd } from "./announce-end.ts";
import type { Command, CommandCall } from "./commands.ts";
import { modeOf } from "./output.ts";
import { showProgress } from "./run-display.ts";
import { reportEnd } from "./run-report.ts";
import type { ActiveRun } from "./run-service.ts";
import type { Session } from "./session.ts";
import { startRun } from "./start-run.ts";

/** `/team-run [team] goal`: starts and returns in the TUI and over RPC; waits in print and JSON mode, which end after. */
export const runCommand: Command = async (call) => {
  const { pi, session, args } = call;
  const request = await parseRequest(session, args);
  const active = await startRun(pi, session, request);
  const { runId, tasks } = active.run.manifest;
  const said = `Team ${request.team} is at work: run ${runId}, ${tasks.length} tasks. /team-status ${runId} shows it, /team-cancel ends it.`;
  return followToEnd(call, active, said);
};

/** Shows a run that a command has started, and gives what the command says: `said`, or the run's end in a mode that ends with it. */
export async function followToEnd(call: CommandCall, active: ActiveRun, said: string): Promise<string> {
  const { pi, ctx, session, width } = call;
  showProgress(session, active);
  const mode = modeOf(ctx);
  if (mode === "print" || mode === "json") return reportEnd(session, active, await active.done, width);
  announceEnd(pi, session, active);
  return said;
}

async function parseRequest(session: Session, args: string) {
  const { teams } = await session.catalog();
  const [first = "", rest = ""] = split(args);
  if (first === "")
    throw new UserError("no-goal", `Usage: /team-run <team> "<goal>". Teams: ${[...teams.keys()].join(", ")}.`);
  if (teams.has(first)) return { team: first, workflow: null, goal: unquote(rest) };
  // one bare word and a quoted goal: the word was meant as a team
  if (/^[\w-]+$/.test(first) && /^(["'“])[^"'“”]*["'”]$/.test(rest))
    return { team: first, workflow: null, goal: unquote(rest) };
  return { team: "default", workflow: null, goal: unquote(args) };
}

function split(args: string): [string, string] {
  const at = args.search(/\s/);
  return at < 0 ? [args, ""] : [args.slice(0, at), args.slice(at).trim()];
}

function unquote(text: string): string {
  return text.replace(/^(["'“])([\s\S]*)["'”]$/, "$2").trim();
}
