import { join } from "node:path";
import { runPaths } from "../store/layout.ts";
import type { RunStore } from "../store/run-store.ts";
import type { RecoveryAnswer } from "../supervision/recovery-decision.ts";
import type { RecoveryPlan } from "../supervision/recovery-plan.ts";
import { codeOf } from "../system/errors.ts";
import { parseObject } from "../system/json.ts";
import { cutText, safeText } from "../system/safe-text.ts";
import { isSameProcess } from "../system/same-process.ts";
import type { ProcessIdentity, World } from "../system/world.ts";
import type { Session } from "./session.ts";

/** How soon a question goes away when somebody has dealt with its run. */
const LOOK_MS = 2000;
const GOAL_CHARS_MAX = 300;
const WHAT_NO_MEANS = "No cancels it, and so does Esc; /team-resume continues it also then.";

/**
 * Asks the user whether an interrupted run shall go on, and does what follows from it. One session asks, however many
 * are open: the one named in the run's folder, and no other before `answered` is done. When somebody deals with the run
 * meanwhile, the question goes away, and nothing follows from an answer.
 */
export async function askToContinue(
  session: Session,
  store: RunStore,
  plan: RecoveryPlan,
  answered: (answer: RecoveryAnswer) => Promise<void>,
): Promise<void> {
  const { context, world } = session;
  const { runId } = plan;
  const file = context && (await takeQuestion(world, runPaths(store.crewRoot, runId).folder));
  if (!context || !file) return;
  const isDealtWith = async () => (await store.view(runId).catch(() => null))?.seq !== plan.lastEventSeq;
  // a host that replaces the session takes the dialog away without an answer
  const closing = new AbortController();
  const lookAgain = () => void isDealtWith().then((dealtWith) => dealtWith && closing.abort());
  try {
    // another session may have asked and taken it over since this one looked
    if ((await isDealtWith()) || session.closed) return;
    session.defer(() => closing.abort());
    using _looking = world.clock.every(LOOK_MS, lookAgain);
    const { team, goal } = (await store.view(runId)).state;
    const yes = await session.dialogs.during(() =>
      context.ui.confirm(
        `Continue the interrupted run ${runId}?`,
        safeText([`${team}: ${cutText(goal, GOAL_CHARS_MAX)}`, ...factsOf(plan), WHAT_NO_MEANS].join("\n"), {
          multiline: true,
        }),
        { signal: closing.signal },
      ),
    );
    if (session.closed) return;
    if (await isDealtWith())
      return session.show(
        `Run ${runId} was dealt with meanwhile. /team-status ${runId} shows what became of it.`,
        "info",
      );
    await answered(yes ? "confirm" : "decline");
  } finally {
    await world.files.remove(file);
  }
}

/**
 * The file that says who asks; null when another Pi does. Behind one that died over it the next number is free, and so
 * it is behind a session of this Pi, which has been replaced since.
 */
async function takeQuestion({ files, processes }: World, folder: string): Promise<string | null> {
  const self = JSON.stringify(processes.self());
  for (let number = 1; ; number++) {
    const file = join(folder, `asking-${number}.json`);
    try {
      await files.writeNew(file, self);
      return file;
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
    const asker = parseObject(await files.readText(file)) as ProcessIdentity | null;
    const stale = asker === null || isSameProcess(asker, processes.self());
    if (!stale && processes.alive(asker) !== "dead") return null;
  }
}

function factsOf({ resumableTasks, preservedTasks, adoptableTasks, endedTasks }: RecoveryPlan): string[] {
  return [
    `kept as they are: ${list(preservedTasks)}`,
    `worker still at work: ${list(adoptableTasks.filter((task) => !endedTasks.includes(task)))}`,
    `worker has ended, its result is there: ${list(endedTasks)}`,
    `done again or still to do: ${list(resumableTasks)}`,
  ];
}

function list(tasks: readonly string[]): string {
  return tasks.length === 0 ? "none" : tasks.join(", ");
}
