import {
  closeSync,
  constants,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { codeOf } from "./errors.ts";
import { NEW_FILE, NO_FOLDER_SYNC, tempBeside } from "./node-write.ts";
import type { Files } from "./world.ts";

/**
 * The same files for a process that has nothing else to do meanwhile: what it writes whole is written at once. Each of the
 * nine trips through the thread pool that this takes otherwise waits for its turn behind whatever else runs there.
 */
export function filesAtOnce(files: Files): Files {
  return {
    ...files,
    writeAtomic: async (path, data, mode) => write(path, data, renameSync, mode),
    replace: async (path, data, mode) => write(path, data, renameSync, mode, false),
    writeNew: async (path, data) => write(path, data, linkNew),
    placeNew: async (path, data) => write(path, data, linkNew, 0o600, false),
    makeFolder: async (path) => void mkdirSync(path, { recursive: true, mode: 0o700 }),
    facts: async (path) => files.factsNow(path),
  };
}

/** Temp file, fsync, publish, fsync of the folder: the acked version survives a power cut. */
function write(
  path: string,
  data: string | Uint8Array,
  publish: (temp: string, path: string) => void,
  mode = 0o600,
  durable = true,
): void {
  const temp = tempBeside(path);
  try {
    withOpen(openSync(temp, NEW_FILE, mode), (fd) => {
      writeFileSync(fd, data);
      if (durable) fsyncSync(fd);
    });
    publish(temp, path);
  } catch (error) {
    rmSync(temp, { force: true });
    throw error;
  }
  if (durable) syncFolder(dirname(path));
}

function linkNew(temp: string, path: string): void {
  linkSync(temp, path);
  unlinkSync(temp);
}

function syncFolder(folder: string): void {
  try {
    withOpen(openSync(folder, constants.O_RDONLY), fsyncSync);
  } catch (error) {
    if (!NO_FOLDER_SYNC.includes(codeOf(error))) throw error;
  }
}

function withOpen(fd: number, work: (fd: number) => void): void {
  try {
    work(fd);
  } finally {
    closeSync(fd);
  }
}
