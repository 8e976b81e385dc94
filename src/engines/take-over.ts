import type { AttemptOrder, AttemptReport } from "../runs/execute.ts";
import { messageOf } from "../system/errors.ts";
import { parseObject } from "../system/json.ts";
import type { World } from "../system/world.ts";
import { readBeats, readLastSign } from "../workers/attempt-facts.ts";
import { attemptPaths, attemptTags, giveUpAttempt, heartbeatMs, readAttemptState } from "../workers/attempt-folder.ts";
import type { SeenWorker } from "../workers/attempt-follower.ts";
import { endTagged } from "../workers/attempt-processes.ts";
import { emptyTally } from "../workers/pi-events.ts";
import type { AttemptState } from "../workers/step-contract.ts";
import { reportOfRemains } from "./attempt-report.ts";

const readTries = 4;
const readPauseMs = 150;
const sweepMaxMs = 1000;

/** The state of an attempt that a former owner may have started. A disk or a descriptor may be missing for a moment. */
export async function readPatiently(
  { files, clock }: World,
  folder: string,
): Promise<{ state: AttemptState | null } | { error: unknown }> {
  for (let tries = 1; ; tries += 1) {
    try {
      return { state: await readAttemptState(files, folder) };
    } catch (error) {
      if (tries === readTries) return { error };
      await clock.sleep(readPauseMs);
    }
  }
}

/** Nobody can tell whether a worker is at it: what shows itself as one is ended before the attempt is given up. */
export async function endUnreadable(
  world: World,
  order: AttemptOrder,
  workerId: string,
  error: unknown,
): Promise<AttemptReport> {
  const { manifest, task, attempt, folder } = order;
  await tryToGiveUp(world, folder);
  await endByHeartbeat(world, folder);
  await endTagged(world, attemptTags({ runId: manifest.runId, taskId: task.taskId, attempt }, workerId), sweepMaxMs);
  const message = `The attempt's state can't be read: ${messageOf(error)}. What was left of it was ended.`;
  return reportOfRemains("attempt-unreadable", emptyTally, { durationMs: 0, finishedAt: null }, message);
}

/** The attempt of a worker that is not ours and may be at it still, on another machine or in another container. */
export async function giveUpUnproved(
  world: World,
  folder: string,
  isOurs: (state: SeenWorker) => boolean,
): Promise<void> {
  const state = await readAttemptState(world.files, folder).catch(() => null);
  if (state?.status !== "running" || isOurs(state) || world.processes.alive(state) === "dead") return;
  await tryToGiveUp(world, folder);
}

/** Where that can't be written, the attempt's end can't be told either, and its run pauses. */
async function tryToGiveUp({ files, log }: World, folder: string): Promise<void> {
  await giveUpAttempt(files, folder).catch((error: unknown) =>
    log.warn("a worker can't be told that its attempt was given up", { error: messageOf(error) }),
  );
}

/**
 * How long an attempt lasted that wrote no end and was left alone for a time. Who `died` did nothing after its last sign
 * of life, whenever that was noticed; who was ended by us was at work until now.
 */
export async function lastedUnseen(
  world: World,
  folder: string,
  startedAt: string,
  died: boolean,
): Promise<Pick<AttemptReport, "durationMs" | "finishedAt">> {
  const finishedAt = died ? await readLastSign(world, folder).catch(() => null) : null;
  return { durationMs: Math.max(0, (finishedAt ?? world.clock.now()) - Date.parse(startedAt)), finishedAt };
}

/**
 * How long an attempt has been at work while somebody else followed it, as its worker's own timers count: they stand
 * still while the machine sleeps, and don't know the wall clock. At most one beat too much.
 */
export function awakeMs(world: World, folder: string, startedAt: string): number {
  const passedMs = Math.max(0, world.clock.now() - Date.parse(startedAt)) || 0;
  const beats = readBeats(world, folder);
  return beats === null ? passedMs : Math.min(passedMs, beats * heartbeatMs);
}

/** The wrapper carries no tag of the attempt; its heartbeat names it, with the start time that proves it. */
async function endByHeartbeat({ files, processes }: World, folder: string): Promise<void> {
  try {
    const { pid, processStart } = parseObject(await files.readText(attemptPaths(folder).heartbeat)) ?? {};
    if (typeof pid !== "number" || typeof processStart !== "string") return;
    if (processes.alive({ ...processes.self(), pid, processStart }) === "alive") processes.killGroup(pid, "SIGKILL");
  } catch {
    // as unreadable as the state
  }
}
