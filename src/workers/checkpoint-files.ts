import { join } from "node:path";
import type { KeptCheckpoint } from "../runs/execute.ts";
import { UserError } from "../system/errors.ts";
import { isObject, parseObject } from "../system/json.ts";
import type { Files } from "../system/world.ts";
import type { Checkpoint } from "./step-contract.ts";

/** The checkpoints of a task as they lie in its attempts' folders. A repository may have brought all of it along. */

/** What a patch may have; of a larger change only the record is kept. */
export const patchBytesMax = 32 * 1024 * 1024;
const NAME = /^(\d{4,9})\.(?:json|patch)$/;
const JSON_BYTES_MAX = 64 * 1024;

export interface FoundCheckpoint {
  checkpoint: Checkpoint;
  patch: string;
}

/** The folders with checkpoints of all attempts of a task: real ones only. */
export async function checkpointFolders(files: Files, taskFolder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await files.list(taskFolder)) {
    const folder = join(taskFolder, name, "checkpoints");
    const real = (await files.facts(join(taskFolder, name)))?.kind === "directory";
    if (real && (await files.facts(folder))?.kind === "directory") found.push(folder);
  }
  return found;
}

/** The highest number that was begun, 0 where there is none. */
export async function lastNumber(files: Files, folders: readonly string[]): Promise<number> {
  const names = (await Promise.all(folders.map((folder) => files.list(folder)))).flat();
  return Math.max(0, ...names.map((name) => Number(NAME.exec(name)?.[1] ?? 0)));
}

/** Those in one folder that can be understood, in order. */
export async function checkpointsIn(files: Files, folder: string): Promise<Checkpoint[]> {
  const found: Checkpoint[] = [];
  for (const name of await files.list(folder)) {
    const checkpoint = name.endsWith(".json") ? await read(files, folder, Number(NAME.exec(name)?.[1] ?? 0)) : null;
    if (checkpoint) found.push(checkpoint);
  }
  return found.sort((a, b) => a.seq - b.seq);
}

/** Of all attempts of a task, by number. */
export async function checkpointsOf(files: Files, taskFolder: string): Promise<Checkpoint[]> {
  const folders = await checkpointFolders(files, taskFolder);
  const found = await Promise.all(folders.map((folder) => checkpointsIn(files, folder)));
  return found.flat().sort((a, b) => a.seq - b.seq);
}

/** Throws a UserError when none of these has that number with a patch. */
export async function findCheckpoint(files: Files, folders: readonly string[], seq: number): Promise<FoundCheckpoint> {
  for (const folder of folders) {
    const checkpoint = await read(files, folder, seq);
    const patch = join(folder, `${nameOf(seq)}.patch`);
    if (checkpoint && checkpoint.bytes !== null && (await files.facts(patch))?.kind === "file")
      return { checkpoint, patch };
  }
  throw new UserError(
    "checkpoint",
    `Checkpoint ${seq} can't be restored: the task has none of that number with a patch.`,
  );
}

/** What its run tells of it. */
export function keptCheckpointOf({ seq, files, bytes }: Checkpoint): KeptCheckpoint {
  return { checkpointSeq: seq, files, bytes: bytes ?? 0 };
}

export function nameOf(seq: number): string {
  return String(seq).padStart(4, "0");
}

async function read(files: Files, folder: string, seq: number): Promise<Checkpoint | null> {
  const path = join(folder, `${nameOf(seq)}.json`);
  if ((await files.facts(path))?.kind !== "file") return null;
  const checkpoint = parse(await files.readText(path, JSON_BYTES_MAX));
  return checkpoint?.seq === seq ? checkpoint : null;
}

function parse(text: string | null): Checkpoint | null {
  const value = parseObject(text);
  if (!isObject(value)) return null;
  const { seq, attempt, createdAt, hint, why, baseTree, tree, files, bytes } = value;
  const trees = [baseTree, tree].every((id) => /^[0-9a-f]{40,64}$/.test(String(id)));
  const numbers = [seq, attempt, files, bytes ?? 0].every((count) => Number.isSafeInteger(count) && Number(count) >= 0);
  const texts = [createdAt, hint, why].every((word) => typeof word === "string");
  return trees && numbers && texts ? (value as unknown as Checkpoint) : null;
}
