import { randomBytes } from "node:crypto";
import { constants, promises as fs } from "node:fs";
import { basename, dirname, join } from "node:path";
import { codeOf } from "./errors.ts";

export const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);
/** What file systems say that can't sync a folder; there the rename is all there is. */
const NO_FOLDER_SYNC: readonly string[] = ["EPERM", "EISDIR", "EINVAL", "EACCES", "ENOTSUP"];

/** Of a file on its way to its name. */
export function tempBeside(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`);
}

/** Temp file, fsync, publish, fsync of the folder: the acked version survives a power cut. */
export async function writeThrough(
  path: string,
  data: string | Uint8Array,
  publish: (temp: string) => Promise<void>,
  mode = 0o600,
  synced: "all" | "data" | "nothing" = "all",
): Promise<void> {
  const temp = tempBeside(path);
  try {
    const file = await fs.open(temp, NEW_FILE, mode);
    try {
      await file.writeFile(data);
      if (synced !== "nothing") await file.sync();
    } finally {
      await file.close();
    }
    await publish(temp);
  } catch (error) {
    await fs.rm(temp, { force: true });
    throw error;
  }
  if (synced === "all") await syncFolder(dirname(path));
}

/** link(2) refuses an existing name, which rename(2) would replace. */
export async function linkNew(temp: string, path: string): Promise<void> {
  await fs.link(temp, path);
  await fs.unlink(temp);
}

/** Files of one folder, and their names in it. */
export async function syncFiles(paths: readonly string[]): Promise<void> {
  await Promise.all(paths.map(syncFile));
  if (paths[0]) await syncFolder(dirname(paths[0]));
}

async function syncFile(path: string): Promise<void> {
  const file = await fs.open(path, constants.O_RDWR | (constants.O_NOFOLLOW ?? 0));
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Windows and some network file systems refuse to sync a folder; there the rename is all there is. */
async function syncFolder(folder: string): Promise<void> {
  let handle: fs.FileHandle | null = null;
  try {
    handle = await fs.open(folder, constants.O_RDONLY);
    await handle.sync();
  } catch (error) {
    if (!NO_FOLDER_SYNC.includes(codeOf(error))) throw error;
  } finally {
    await handle?.close();
  }
}
