import { join } from "node:path";
import { versionOf } from "../system/file-version.ts";
import { parseObject } from "../system/json.ts";
import type { Files } from "../system/world.ts";

/** How whoever wants a checkpoint of an attempt at work asks its worker, and reads what came of it. */

/** `seq` is null when nothing has changed since the attempt's begin, or for the reason that `problem` tells. */
export interface DemandAnswer {
  seq: number | null;
  problem: string | null;
}

const ANSWER_BYTES_MAX = 8192;

/** The worker takes it within moments. */
export async function demandCheckpoint(files: Files, attemptFolder: string): Promise<void> {
  await files.writeAtomic(wantedFile(attemptFolder), "");
}

/** Tells a demand from one that comes while it is met; empty when nobody has asked. */
export function demandedNow(files: Files, attemptFolder: string): string {
  return versionOf(files.factsNow(wantedFile(attemptFolder)));
}

/** The worker's: what came of a demand, which is then no more unless another has taken its place. */
export async function answerDemand(
  files: Files,
  attemptFolder: string,
  demand: string,
  answer: DemandAnswer,
): Promise<void> {
  await files.replace(answerFile(attemptFolder), JSON.stringify(answer));
  if (demandedNow(files, attemptFolder) === demand) await files.remove(wantedFile(attemptFolder));
}

/** Tells one answer from the next; empty before the first. */
export function answerVersion(files: Files, attemptFolder: string): string {
  return versionOf(files.factsNow(answerFile(attemptFolder)));
}

export async function readAnswer(files: Files, attemptFolder: string): Promise<DemandAnswer | null> {
  const { seq, problem } = parseObject(await files.readText(answerFile(attemptFolder), ANSWER_BYTES_MAX)) ?? {};
  const told = typeof problem === "string" ? problem : null;
  return Number.isSafeInteger(seq) ? { seq: Number(seq), problem: told } : { seq: null, problem: told };
}

const wantedFile = (attemptFolder: string) => join(attemptFolder, "checkpoint.wanted");
const answerFile = (attemptFolder: string) => join(attemptFolder, "checkpoint.answer.json");
