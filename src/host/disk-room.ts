import type { World } from "../system/world.ts";

/** Bytes. To begin: what a run of some size writes. To go on: what the log and the records of its workers need. */
const FREE_BYTES_MIN = { begin: 1024 * 1024, goOn: 64 * 1024 };

/** Whether the disk of the folder has room for a run, also where the system does not tell. */
export async function hasRoom(
  files: World["files"],
  folder: string,
  to: keyof typeof FREE_BYTES_MIN,
): Promise<boolean> {
  const free = await files.freeBytes(folder).catch(() => Number.POSITIVE_INFINITY);
  return free >= FREE_BYTES_MIN[to];
}
