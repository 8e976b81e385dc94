import { join } from "node:path";
import { specOf } from "../runs/manifest.ts";
import { attemptUnderWay, taskOf } from "../runs/run-state.ts";
import { writes } from "../runs/work-trees.ts";
import { attemptFolder } from "../store/layout.ts";
import type { RunView } from "../store/run-store.ts";
import { UserError } from "../system/errors.ts";
import { renderCheckpoints } from "../views/checkpoint-list.ts";
import { counted } from "../views/units.ts";
import { readAttemptState } from "../workers/attempt-folder.ts";
import { answerVersion, type DemandAnswer, readAnswer } from "../workers/checkpoint-demand.ts";
import { checkpointsOf } from "../workers/checkpoint-files.ts";
import { restorePlace, taskFolderOf } from "./checkpoint-place.ts";
import type { Command } from "./commands.ts";
import { agreeToRestore, previewRestore, restoreCheckpoint } from "./restore-checkpoint.ts";
import type { Session } from "./session.ts";
import { splitWords } from "./words.ts";

const USAGE = "Usage: /team-checkpoint <run> [task] [--take | --restore <number> [--yes]].";
const LOOK_MS = 100;
/** A large tree takes that long. */
const ANSWER_MS_MAX = 15_000;

/** `/team-checkpoint <run> [task] [--take | --restore <number> [--yes]]`: lists them unless asked for more. */
export const checkpointCommand: Command = async ({ session, args, width }) => {
  const { words, options, flags } = splitWords(args, ["restore"], ["take", "yes"]);
  const [run, taskId, ...stray] = words;
  const seq = options.has("restore") ? numberOf(options.get("restore") ?? "") : null;
  const take = flags.has("take");
  if (run === undefined || stray.length > 0 || (take && seq !== null)) throw new UserError("usage", USAGE);
  if (taskId === undefined && (take || seq !== null)) throw new UserError("usage", `Name the task. ${USAGE}`);
  const runs = await session.runs();
  const view = await runs.view(await runs.store.find(run));
  if (taskId === undefined || (!take && seq === null)) return listText(session, view, taskId ?? null, width);
  if (seq === null) return takeCheckpoint(session, view, taskId);
  const place = await restorePlace(session, view, taskId);
  const preview = await previewRestore(session, place, seq);
  if (preview.paths.length === 0) return `${place.workFolder} is as it was at checkpoint ${seq}: nothing was changed.`;
  if (!(await agreeToRestore(session, preview, flags.has("yes")))) return "Nothing was changed.";
  // while the user looked at it an attempt may have begun there
  const now = await runs.view(view.manifest.runId);
  return restoreCheckpoint(session, await restorePlace(session, now, taskId), seq);
};

/** A checkpoint's number as the user gave it. Throws a UserError for what is none. */
export function numberOf(given: string): number {
  if (/^\d{1,9}$/.test(given) && Number(given) > 0) return Number(given);
  throw new UserError(
    "usage",
    `${JSON.stringify(given.slice(0, 40))} is no number of a checkpoint: /team-checkpoint <run> lists them.`,
  );
}

/** The numbers of a task's checkpoints that can be restored, for completion. */
export async function checkpointNumbers(session: Session, run: string, taskId: string): Promise<number[]> {
  const runs = await session.runs();
  const folder = await taskFolderOf(session, await runs.view(await runs.store.find(run)), taskId);
  const found = await checkpointsOf(session.world.files, folder);
  return found.filter(({ bytes }) => bytes !== null).map(({ seq }) => seq);
}

async function listText(session: Session, view: RunView, taskId: string | null, width: number): Promise<string> {
  const { files, clock } = session.world;
  const { runId, tasks } = view.manifest;
  const rows = [];
  for (const id of taskId === null ? tasks.map((task) => task.taskId) : [taskId])
    for (const checkpoint of await checkpointsOf(files, await taskFolderOf(session, view, id)))
      rows.push({ ...checkpoint, taskId: id });
  const what = taskId === null ? `Run ${runId}` : `Task ${taskId} of run ${runId}`;
  if (rows.length === 0)
    return `${what} has no checkpoint: they are of attempts that changed files in a git work tree.`;
  const remedy = `/team-checkpoint ${runId} <task> --restore <number> puts one back.`;
  return [...renderCheckpoints(rows, clock.now(), width), remedy].join("\n");
}

async function takeCheckpoint(session: Session, view: RunView, taskId: string): Promise<string> {
  const { files } = session.world;
  const { runId } = view.manifest;
  await taskFolderOf(session, view, taskId);
  if (!writes(specOf(view.manifest, taskId)))
    throw new UserError("no-checkpoint", `Task ${taskId} only reads: it has nothing to be kept.`);
  const task = taskOf(view.state, taskId);
  const attempt = task && attemptUnderWay(task)?.attempt;
  if (attempt === undefined)
    throw new UserError(
      "not-at-work",
      `Task ${taskId} of run ${runId} is not at work (${task?.status}). /team-checkpoint ${runId} ${taskId} lists what is kept of it.`,
    );
  const runs = await session.runs();
  const folder = attemptFolder(runs.store.crewRoot, runId, taskId, attempt);
  const before = answerVersion(files, folder);
  const { answered } = await runs.ask(runId, { kind: "checkpoint", taskId });
  if (!answered)
    return `The request lies in the inbox of run ${runId} for whichever Pi drives it; none has taken it yet.`;
  const answer = await answerTo(session, folder, before);
  if (answer === null) return `Asked; /team-checkpoint ${runId} ${taskId} lists it as soon as it is taken.`;
  return saidOf(session, answer, runId, taskId, folder);
}

/** Null when the worker has not answered in time, or has ended meanwhile. */
async function answerTo({ world }: Session, folder: string, before: string): Promise<DemandAnswer | null> {
  const { clock, files } = world;
  const until = clock.monotonicMs() + ANSWER_MS_MAX;
  while (clock.monotonicMs() < until) {
    if (answerVersion(files, folder) !== before) return readAnswer(files, folder);
    if ((await readAttemptState(files, folder))?.status === "ended") return null;
    await clock.sleep(LOOK_MS);
  }
  return null;
}

async function saidOf({ world }: Session, answer: DemandAnswer, runId: string, taskId: string, folder: string) {
  const what = `task ${taskId} of run ${runId}`;
  if (answer.problem !== null) throw new UserError("no-checkpoint", `No checkpoint of ${what}: ${answer.problem}`);
  if (answer.seq === null) return `Nothing is kept of ${what}: its attempt has changed nothing yet.`;
  const all = await checkpointsOf(world.files, join(folder, ".."));
  const { files, bytes } = all.find(({ seq }) => seq === answer.seq) ?? { files: 0, bytes: 0 };
  const size = bytes === null ? "too large for a patch" : `${bytes} bytes`;
  return `Checkpoint ${answer.seq} of ${what} is kept: ${counted(files, "file")}, ${size}.`;
}
