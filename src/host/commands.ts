import type { ExtensionAPI, ExtensionCommandContext } from "@mariozechner/pi-coding-agent";
import { isTerminal } from "../runs/run-state.ts";
import { messageOf, UserError } from "../system/errors.ts";
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
  completes?: (session: Session, prefix: string) => Promise<string[]>;
}

const COMMANDS: readonly CommandEntry[] = [
  {
    name: "team-run",
    description: 'Run a team on a goal: /team-run fast-fix "make the tests pass"',
    run: ({ runCommand }) => runCommand,
    completes: async (session, prefix) =>
      prefix.includes(" ") ? [] : [...(await session.catalog()).teams.keys()].map((team) => `${team} `),
  },
  {
    name: "team-status",
    description: "Show the runs of this project, or one of them: /team-status [run|latest]",
    run: ({ statusCommand }) => statusCommand,
    completes: runIds,
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
    completes: runIds,
  },
  {
    name: "team-message",
    description: 'Tell a worker something while it works: /team-message <run> <task> "use pnpm"',
    run: ({ messageCommand }) => messageCommand,
    completes: async (session, prefix) => {
      const [run = "", ...rest] = prefix.split(" ");
      if (rest.length === 0) return (await runIds(session)).map((id) => `${id} `);
      return rest.length === 1 ? (await taskIds(session, run)).map((id) => `${run} ${id} `) : [];
    },
  },
  {
    name: "team-checkpoint",
    description:
      "List, take and restore what attempts changed: /team-checkpoint <run> [task] [--take | --restore <number>]",
    run: ({ checkpointCommand }) => checkpointCommand,
    completes: checkpointWords,
  },
  {
    name: "team-resume",
    description: "Go on with a run that failed or was cancelled, as a new run: /team-resume [run|latest]",
    run: ({ resumeCommand }) => resumeCommand,
    completes: runIds,
  },
  {
    name: "team-deadletters",
    description: "List tasks that were given up: /team-deadletters [id | discard <id> | add <run> <task>]",
    run: ({ deadLettersCommand }) => deadLettersCommand,
    completes: async (session, prefix) =>
      prefix.startsWith("add ")
        ? (await runIds(session)).map((id) => `add ${id} `)
        : ["add ", "discard ", ...(await deadLetterIds(session)).flatMap((id) => [id, `discard ${id}`])],
  },
  {
    name: "team-redrive",
    description:
      'Run a given-up task again: /team-redrive <id | run task> [--model provider/id] [--prompt "…"] [--checkpoint n]',
    run: ({ redriveCommand }) => redriveCommand,
    completes: async (session) => [...(await deadLetterIds(session)), ...(await runIds(session)).map((id) => `${id} `)],
  },
  {
    name: "team-prune",
    description: "Remove old ended runs, after a preview: /team-prune [--days 30] [--keep 20]",
    run: ({ pruneCommand }) => pruneCommand,
  },
  {
    name: "team-metrics",
    description:
      "Show this session's metrics, or serve them: /team-metrics [crew.task.*] [--json] [--serve --port 9091]",
    run: ({ metricsCommand }) => metricsCommand,
    completes: async (session) => [
      "--json",
      "--serve",
      "--stop",
      ...(await session.telemetry()).registry.snapshot().map(({ name }) => name),
    ],
  },
  {
    name: "team-export",
    description: "Write all about a run into two files, without secrets, to be handed on: /team-export [run|latest]",
    run: ({ exportCommand }) => exportCommand,
    completes: runIds,
  },
  {
    name: "team-init",
    description: "Copy a team with its workflow and agents into the project, to be changed there: /team-init fast-fix",
    run: ({ initCommand }) => initCommand,
    completes: async (session) => [...(await session.catalog()).teams.keys()],
  },
  {
    name: "team-settings",
    description: "Show or change settings: /team-settings [setting] [value | --default] [--project]",
    run: ({ settingsCommand }) => settingsCommand,
    completes: async (session, prefix) => {
      const [name = "", ...rest] = prefix.split(" ");
      const { SETTINGS } = await session.late();
      if (rest.length === 0) return SETTINGS.map(({ path }) => `${path} `);
      const choices = SETTINGS.find(({ path }) => path === name)?.choices ?? [];
      return [...choices, "--default"].map((choice) => `${name} ${choice}`);
    },
  },
  {
    name: "team-doctor",
    description: "Check the installation, the definitions and the folders",
    run: ({ doctorCommand }) => doctorCommand,
  },
];

export function registerCommands(pi: ExtensionAPI, session: () => Session | null): void {
  for (const entry of COMMANDS) {
    pi.registerCommand(entry.name, {
      description: entry.description,
      handler: (args, ctx) => handle(pi, ctx, session(), entry, args),
      getArgumentCompletions: async (prefix) => complete(session(), entry, prefix),
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

async function complete(session: Session | null, entry: CommandEntry, prefix: string) {
  if (!session || !entry.completes) return null;
  const values = await entry.completes(session, prefix).catch(() => []);
  // a completion that adds nothing would only swallow the Enter that sends the command
  const fitting = values.filter((value) => value.startsWith(prefix) && value !== prefix);
  return fitting.length === 0 ? null : fitting.map((value) => ({ value, label: value.trim() }));
}

async function runIds(session: Session): Promise<string[]> {
  return ["latest", ...(await (await session.runs()).store.ids()).slice(0, 20)];
}

/** Of a run's tasks that are not over. */
async function taskIds(session: Session, run: string): Promise<string[]> {
  const runs = await session.runs();
  const { state } = await runs.view(await runs.store.find(run));
  return state.tasks.filter(({ status }) => !isTerminal(status)).map(({ taskId }) => taskId);
}

/** Run, task, and what may be done there; the numbers of what can be restored. */
async function checkpointWords(session: Session, prefix: string): Promise<string[]> {
  const [run = "", task = "", ...rest] = prefix.split(" ");
  if (!prefix.includes(" ")) return (await runIds(session)).map((id) => `${id} `);
  const runs = await session.runs();
  const { manifest } = await runs.view(await runs.store.find(run));
  if (rest.length === 0) return manifest.tasks.map(({ taskId }) => `${run} ${taskId} `);
  if (rest.length === 1) return [`${run} ${task} --take`, `${run} ${task} --restore `];
  const { checkpointNumbers } = await session.late();
  return (await checkpointNumbers(session, run, task)).map((number) => `${run} ${task} --restore ${number}`);
}

async function deadLetterIds(session: Session): Promise<string[]> {
  const { letters } = await (await session.runs()).deadLetters.list({ limit: 20, openOnly: true });
  return letters.map(({ id }) => id);
}

export type { Command, CommandCall };
