import { UserError } from "../system/errors.ts";
import { announceEnd } from "./announce-end.ts";
import type { Command } from "./commands.ts";
import { modeOf } from "./output.ts";
import { showProgress } from "./run-display.ts";
import { reportEnd } from "./run-report.ts";
import type { Session } from "./session.ts";
import { startRun } from "./start-run.ts";

/** `/team-run [team] goal`: starts and returns in the TUI and over RPC; waits in print and JSON mode, which end after. */
export const runCommand: Command = async (call) => {
  const { pi, ctx, session, args } = call;
  const request = await parseRequest(session, args);
  const active = await startRun(pi, session, request);
  showProgress(session, active);
  const mode = modeOf(ctx);
  if (mode === "print" || mode === "json") return reportEnd(session, active, await active.done, call.width);
  announceEnd(pi, session, active);
  const { runId, tasks } = active.run.manifest;
  return `Team ${request.team} is at work: run ${runId}, ${tasks.length} tasks. /team-status ${runId} shows it, /team-cancel ends it.`;
};

async function parseRequest(session: Session, args: string) {
  const { teams } = await session.catalog();
  const [first = "", rest = ""] = split(args);
  if (first === "")
    throw new UserError("no-goal", `Usage: /team-run <team> "<goal>". Teams: ${[...teams.keys()].join(", ")}.`);
  if (teams.has(first)) return { team: first, workflow: null, goal: unquote(rest) };
  // one bare word and a quoted goal: the word was meant as a team
  if (/^[\w-]+$/.test(first) && /^["'“]/.test(rest)) return { team: first, workflow: null, goal: unquote(rest) };
  return { team: "default", workflow: null, goal: unquote(args) };
}

function split(args: string): [string, string] {
  const at = args.search(/\s/);
  return at < 0 ? [args, ""] : [args.slice(0, at), args.slice(at).trim()];
}

function unquote(text: string): string {
  return text.replace(/^(["'“])([\s\S]*)["'”]$/, "$2").trim();
}
