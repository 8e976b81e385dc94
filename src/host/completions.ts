import { isTerminal, type TaskState } from "../runs/run-state.ts";
import { messageOf } from "../system/errors.ts";
import { cutText, safeText } from "../system/safe-text.ts";
import { statusWord } from "../views/standstill.ts";
import { formatDuration } from "../views/units.ts";
import { checkpointNumbers } from "./command-checkpoint.ts";
import { pictureOf } from "./run-report.ts";
import type { Session } from "./session.ts";
import { SETTINGS } from "./settings.ts";

/** What can be typed behind a command. `value` is the whole line behind its name. */
export interface Completion {
  value: string;
  description: string;
}

/** Of runs that have ended, what never changes: they are read once. */
export type KnownRuns = Map<string, { word: string; hasEnded: boolean; at: number; goal: string }>;

export interface Completing {
  session: Session;
  /** What stands there already. */
  prefix: string;
  known: KnownRuns;
}

export type Completes = (completing: Completing) => Promise<Completion[]>;

const LISTED_MAX = 20;
const DESCRIPTION_CHARS_MAX = 80;

const teams: Completes = async ({ session }) =>
  [...(await session.catalog()).teams.values()].map(({ name, description }) => told(name, description));

/** `latest`, and the newest runs, each with its state, its age and its goal. */
const runs: Completes = async (completing) => {
  const ids = await (await completing.session.runs()).store.ids();
  const shown = ids.slice(0, LISTED_MAX).filter((id) => id.startsWith(completing.prefix));
  const described = await Promise.all(shown.map(async (id) => told(id, await describeRun(completing, id))));
  return ids.length === 0 ? [] : [told("latest", "the newest run"), ...described];
};

async function describeRun({ session, known }: Completing, runId: string): Promise<string> {
  const now = session.world.clock.now();
  const service = await session.runs();
  let facts = known.get(runId);
  if (!facts) {
    try {
      const { cwd, world } = session;
      const picture = pictureOf(await service.view(runId), cwd, world.processes, await session.shownRuns());
      const { status, endedAt, startedAt, createdAt, team, goal } = picture.state;
      const at = endedAt ?? startedAt ?? createdAt;
      const word = statusWord(picture.state, picture.standstill);
      facts = { word, hasEnded: isTerminal(status), at, goal: `${team}: ${goal}` };
    } catch (error) {
      return messageOf(error);
    }
    if (facts.hasEnded) known.set(runId, facts);
  }
  const age = formatDuration(Math.max(0, now - facts.at));
  return `${facts.word} ${facts.hasEnded ? `${age} ago` : `for ${age}`} · ${facts.goal}`;
}

/** `<run> <task>`: the tasks that fit, once the run is there. `more` is to be typed behind them. */
function runThenTask(fits: (task: TaskState) => boolean, more: boolean): Completes {
  return async (completing) => {
    const [run = "", ...rest] = completing.prefix.split(" ");
    if (rest.length === 0) return (await runs(completing)).map((one) => ({ ...one, value: `${one.value} ` }));
    if (rest.length > 1) return [];
    const service = await completing.session.runs();
    const { manifest, state } = await service.view(await service.store.find(run));
    return state.tasks.filter(fits).map((task) => {
      const spec = manifest.tasks.find(({ taskId }) => taskId === task.taskId);
      const error = "error" in task && task.error ? ` · ${task.error.message}` : "";
      return told(
        `${run} ${task.taskId}${more ? " " : ""}`,
        `${task.status} · ${spec?.agent?.name ?? spec?.kind ?? ""}${error}`,
      );
    });
  };
}

/** Run, task, and what may be done there; the numbers of what can be restored. */
const checkpoint: Completes = async (completing) => {
  const [run = "", task = "", ...rest] = completing.prefix.split(" ");
  if (rest.length === 0) return runThenTask(() => true, true)(completing);
  const numbers = rest.length > 1 ? await checkpointNumbers(completing.session, run, task) : [];
  return [
    told(`${run} ${task} --take`, "what the attempt under way has changed by now"),
    told(`${run} ${task} --restore `, "one of those listed"),
    ...numbers.map((number) => told(`${run} ${task} --restore ${number}`, "")),
  ];
};

const isOpen = (task: TaskState) => !isTerminal(task.status);
const hasFailed = (task: TaskState) => task.status === "failed";

async function letters({ session }: Completing): Promise<Completion[]> {
  const list = await (await session.runs()).deadLetters.list({ limit: LISTED_MAX, openOnly: true });
  const now = session.world.clock.now();
  return list.letters.map(({ id, taskId, reason, timestamp, lastError }) => {
    const age = formatDuration(Math.max(0, now - Date.parse(timestamp)));
    return told(id, `${taskId} · ${reason} ${age} ago${lastError ? ` · ${lastError.message}` : ""}`);
  });
}

const deadLetters: Completes = async (completing) => {
  const { prefix } = completing;
  if (prefix.startsWith("add ")) {
    const rest = { ...completing, prefix: prefix.slice(4) };
    return (await runThenTask(hasFailed, false)(rest)).map((one) => ({ ...one, value: `add ${one.value}` }));
  }
  const open = await letters(completing);
  return [
    told("add ", "give up a failed task by hand"),
    told("discard ", "a dead letter that nobody needs any more"),
    ...open.flatMap((one) => [one, { ...one, value: `discard ${one.value}` }]),
  ];
};

const redrive: Completes = async (completing) => [
  ...(await letters(completing)),
  ...(await runThenTask(hasFailed, false)(completing)),
];

const metrics: Completes = async ({ session }) => [
  told("--json", "all of it as JSON"),
  told("--serve", "for Prometheus and a browser, over HTTP"),
  told("--stop", "serve no more"),
  ...(await session.telemetry()).registry.snapshot().map(({ name, help }) => told(name, help)),
];

const settings: Completes = async ({ prefix }) => {
  const [name = "", ...rest] = prefix.split(" ");
  if (rest.length === 0) return SETTINGS.map(({ path, description }) => told(`${path} `, description));
  // Enter takes the first of the list: who only wants to see a value must not be led to remove it
  if (rest[0]?.startsWith("-")) return [told(`${name} --default`, "what it is unless set")];
  const choices = SETTINGS.find(({ path }) => path === name)?.choices ?? [];
  return choices.map((choice) => told(`${name} ${choice}`, ""));
};

/** For the host's list: one line, without what would steer the terminal. */
function told(value: string, description: string): Completion {
  return { value, description: cutText(safeText(description, { multiline: false }).trim(), DESCRIPTION_CHARS_MAX) };
}

export const completions = {
  teams,
  teamThenGoal: async (completing: Completing) =>
    completing.prefix.includes(" ") ? [] : (await teams(completing)).map((one) => ({ ...one, value: `${one.value} ` })),
  runs,
  message: runThenTask(isOpen, true),
  checkpoint,
  deadLetters,
  redrive,
  metrics,
  settings,
};
