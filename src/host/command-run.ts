import { UserError } from "../system/errors.ts";
import { counted } from "../views/units.ts";
import type { Command, CommandCall } from "./commands.ts";
import { followUpRequest } from "./follow-ups.ts";
import { modeOf } from "./output.ts";
import { announceEnd, reportEnd } from "./run-report.ts";
import type { Session } from "./session.ts";
import type { ShownRun } from "./shown-run.ts";
import { startRun } from "./start-run.ts";
import { showProgress } from "./widget.ts";

/**
 * `/team-run [--background] [team] goal` or `--follow-up run [task]`: starts and returns in the TUI and over RPC; waits in print and JSON mode,
 * which end after, unless the run goes on in the background.
 */
export const runCommand: Command = async (call) => {
  const { session, args } = call;
  const request = await parseRequest(session, args);
  const shown = await startRun(session, request, false);
  const { runId, tasks } = shown.run.manifest;
  const where = request.background ? "in the background, also when Pi exits" : "";
  const said = `Team ${request.team} is at work${where && ` ${where}`}: run ${runId}, ${counted(tasks.length, "task")}. /team-status ${runId} shows it, /team-cancel ends it.`;
  return followToEnd(call, shown, said);
};

/** Shows a run that a command has started, and gives what the command says: `said`, or the run's end in a mode that ends with it. */
export async function followToEnd(call: CommandCall, active: ShownRun, said: string): Promise<string> {
  const { ctx, session, width } = call;
  showProgress(session, active);
  const mode = modeOf(ctx);
  if ((mode === "print" || mode === "json") && !active.run.manifest.background)
    return reportEnd(session, active, await active.done, width);
  announceEnd(session, active);
  return said;
}

async function parseRequest(session: Session, given: string) {
  const { teams, problems } = await session.catalog();
  // before the goal, that is first or behind the team: within a goal it is the goal's
  const [, before = "", flag] = /^\s*([\w-]+\s+)??(--background(?:\s+--background)*(?:\s|$))/.exec(given) ?? [];
  const background = flag !== undefined;
  const args = background ? `${before}${given.slice(given.indexOf(flag) + flag.length)}`.trim() : given;
  const [, earlier, taskId] = /^--follow-up\s+(\S+)(?:\s+((?!--)\S+))?\s*$/.exec(args) ?? [];
  if (earlier !== undefined) {
    const runs = await session.runs();
    return followUpRequest(await runs.view(await runs.store.find(earlier)), taskId, background);
  }
  const [first = "", rest = ""] = split(args);
  if (first === "")
    throw new UserError(
      "no-goal",
      `Usage: /team-run [--background] <team> "<goal>". Teams: ${[...teams.keys()].join(", ")}.`,
    );
  // before the goal a word like this was meant as an option; in quotes it is the goal's own
  const [stray] = /^--\S*/.exec(teams.has(first) ? rest : first) ?? [];
  if (stray !== undefined && /^--follow-up(=|$)/.test(stray))
    throw new UserError(
      "usage",
      "--follow-up takes a run, or a run and one of its tasks, and no team or goal: /team-run [--background] --follow-up <run> [task]. /team-status lists the runs.",
    );
  if (stray !== undefined)
    throw new UserError(
      "unknown-option",
      `There is no option ${stray.slice(0, 40)} here, only --background, and --follow-up <run> instead of a team and a goal.`,
    );
  if (teams.has(first)) return { team: first, workflow: null, goal: unquote(rest), background };
  // a team that could not be loaded is no goal's first word
  if (problems.some(({ file }) => file.endsWith(`/${first}.team.md`)))
    return { team: first, workflow: null, goal: unquote(rest), background };
  // one bare word, alone or with a quoted goal, was meant as a team
  if (/^[\w-]+$/.test(first) && /^(["'“][^"'“”]*["'”])?$/.test(rest))
    return { team: first, workflow: null, goal: unquote(rest), background };
  const near = [...teams.keys()].find((name) => isSlipOf(first, name));
  if (near !== undefined)
    throw new UserError(
      "unknown-team",
      `There is no team ${first}. Did you mean ${near}? If it begins the goal: /team-run default "${first} …".`,
    );
  return { team: "default", workflow: null, goal: unquote(args), background };
}

/** Whether a word was meant as the name: without its hyphens, or with one letter too much, too few or another. */
function isSlipOf(word: string, name: string): boolean {
  if (word.replace(/[-_]/g, "") === name.replaceAll("-", "")) return true;
  let same = 0;
  while (same < word.length && word[same] === name[same]) same++;
  const [rest, wanted] = [word.slice(same), name.slice(same)];
  const oneLetterOff = [rest.slice(1) === wanted, rest === wanted.slice(1), rest.slice(1) === wanted.slice(1)];
  return name.length >= 6 && oneLetterOff.includes(true);
}

function split(args: string): [string, string] {
  const at = args.search(/\s/);
  return at < 0 ? [args, ""] : [args.slice(0, at), args.slice(at).trim()];
}

function unquote(text: string): string {
  return text.replace(/^(["'“])([\s\S]*)["'”]$/, "$2").trim();
}
