import type { ExtensionAPI, ExtensionCommandContext } from "@mariozechner/pi-coding-agent";
import { messageOf, UserError } from "../system/errors.ts";
import type { Completes, KnownRuns } from "./completions.ts";
import { outputWidth, say } from "./output.ts";
import type { Late, Session } from "./session.ts";

/** What a command is given: words already split, and a session that is open. */
interface CommandCall {
  pi: ExtensionAPI;
  ctx: ExtensionCommandContext;
  session: Session;
  args: string;
  width: number;
}

type Command = (call: CommandCall) => Promise<string | null>;

interface CommandEntry {
  name: string;
  description: string;
  /** Its code comes with all that is loaded at the first use. */
  run: (late: Late) => Command;
  completes?: (late: Late) => Completes;
}

const COMMANDS: readonly CommandEntry[] = [
  {
    name: "team-run",
    description: 'Run a team on a goal: /team-run fast-fix "make the tests pass"',
    run: ({ runCommand }) => runCommand,
    completes: ({ completions }) => completions.teamThenGoal,
  },
  {
    name: "team-status",
    description: "Show the runs of this project, or one of them: /team-status [run|latest]",
    run: ({ statusCommand }) => statusCommand,
    completes: ({ completions }) => completions.runs,
  },
  {
    name: "team-dashboard",
    description: "Watch and steer the runs of this project, their agents, output, health and metrics",
    run: ({ dashboardCommand }) => dashboardCommand,
  },
  {
    name: "team-cancel",
    description: "Cancel a run and end its workers: /team-cancel [run|latest]",
    run: ({ cancelCommand }) => cancelCommand,
    completes: ({ completions }) => completions.runs,
  },
  {
    name: "team-message",
    description: 'Tell a worker something while it works: /team-message <run> <task> "use pnpm"',
    run: ({ messageCommand }) => messageCommand,
    completes: ({ completions }) => completions.message,
  },
  {
    name: "team-checkpoint",
    description:
      "List, take and restore what attempts changed: /team-checkpoint <run> [task] [--take | --restore <number>]",
    run: ({ checkpointCommand }) => checkpointCommand,
    completes: ({ completions }) => completions.checkpoint,
  },
  {
    name: "team-resume",
    description: "Go on with a run that failed or was cancelled, as a new run: /team-resume [run|latest]",
    run: ({ resumeCommand }) => resumeCommand,
    completes: ({ completions }) => completions.runs,
  },
  {
    name: "team-deadletters",
    description: "List tasks that were given up: /team-deadletters [id | discard <id> | add <run> <task>]",
    run: ({ deadLettersCommand }) => deadLettersCommand,
    completes: ({ completions }) => completions.deadLetters,
  },
  {
    name: "team-redrive",
    description:
      'Run a given-up task again: /team-redrive <id | run task> [--model provider/id] [--prompt "…"] [--checkpoint n]',
    run: ({ redriveCommand }) => redriveCommand,
    completes: ({ completions }) => completions.redrive,
  },
  {
    name: "team-prune",
    description: "Remove old ended runs and exports, after a preview: /team-prune [--days 30] [--keep 20]",
    run: ({ pruneCommand }) => pruneCommand,
  },
  {
    name: "team-metrics",
    description:
      "Show this session's metrics, or serve them: /team-metrics [crew.task.*] [--json] [--serve --port 9091]",
    run: ({ metricsCommand }) => metricsCommand,
    completes: ({ completions }) => completions.metrics,
  },
  {
    name: "team-export",
    description: "Write all about a run into two files, without secrets, to be handed on: /team-export [run|latest]",
    run: ({ exportCommand }) => exportCommand,
    completes: ({ completions }) => completions.runs,
  },
  {
    name: "team-init",
    description: "Copy a team with its workflow and agents into the project, to be changed there: /team-init fast-fix",
    run: ({ initCommand }) => initCommand,
    completes: ({ completions }) => completions.teams,
  },
  {
    name: "team-settings",
    description: "Show or change settings: /team-settings [setting] [value | --default] [--project]",
    run: ({ settingsCommand }) => settingsCommand,
    completes: ({ completions }) => completions.settings,
  },
  {
    name: "team-doctor",
    description: "Check the installation, the definitions and the folders",
    run: ({ doctorCommand }) => doctorCommand,
  },
];

export function registerCommands(pi: ExtensionAPI, session: () => Session | null): void {
  const known: KnownRuns = new Map();
  for (const entry of COMMANDS) {
    pi.registerCommand(entry.name, {
      description: entry.description,
      handler: (args, ctx) => handle(pi, ctx, session(), entry, args),
      getArgumentCompletions: async (prefix) => complete(session(), entry, prefix, known),
    });
  }
}

/** A command never throws into the host: what the user can mend is said in a sentence. */
async function handle(
  pi: ExtensionAPI,
  ctx: ExtensionCommandContext,
  session: Session | null,
  entry: CommandEntry,
  args: string,
): Promise<void> {
  try {
    if (!session) throw new UserError("no-session", "The session is not open yet; try again.");
    const command = entry.run(await session.late());
    const call = { pi, ctx, session, args: args.trim(), width: outputWidth() };
    const text = await session.dialogs.during(() => command(call));
    if (text !== null) await say(pi, ctx, text);
  } catch (error) {
    // what the user can mend is no fault of ours
    if (!(error instanceof UserError)) session?.world.log.error(`/${entry.name} failed`, { error: messageOf(error) });
    await say(pi, ctx, messageOf(error), "error");
  }
}

async function complete(session: Session | null, entry: CommandEntry, prefix: string, known: KnownRuns) {
  if (!session || !entry.completes) return null;
  const { completes } = entry;
  const found = await session
    .late()
    .then((late) => completes(late)({ session, prefix, known }))
    .catch(() => []);
  // a completion that adds nothing would only swallow the Enter that sends the command
  const fitting = found.filter(({ value }) => value.startsWith(prefix) && value !== prefix);
  if (fitting.length === 0) return null;
  // of a line of several words the last is what is chosen
  return fitting.map(({ value, description }) => {
    const label = value.slice(prefix.lastIndexOf(" ") + 1).trim();
    return { value, label, ...(description === "" ? {} : { description }) };
  });
}

export type { Command, CommandCall };
