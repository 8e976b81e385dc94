import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { NEW_FILE, tempBeside } from "./node-write.ts";
import type { Files } from "./world.ts";

/**
 * The same files for a worker, which nobody looks at while it begins: the small ones that this takes are written at once.
 * Each trip through the thread pool waits for its turn behind the session that opens meanwhile. What must last is written
 * as before: that may take a disk's time.
 */
export function filesAtOnce(files: Files): Files {
  return {
    ...files,
    replace: async (path, data, mode) => write(path, data, renameSync, { mode, synced: false }),
    placeNew: async (path, data) => write(path, data, linkNew, { synced: true }),
    makeFolder: async (path) => void mkdirSync(path, { recursive: true, mode: 0o700 }),
    facts: async (path) => files.factsNow(path),
  };
}

function write(
  path: string,
  data: string | Uint8Array,
  publish: (temp: string, path: string) => void,
  { mode = 0o600, synced }: { mode?: number | undefined; synced: boolean },
): void {
  const temp = tempBeside(path);
  try {
    const fd = openSync(temp, NEW_FILE, mode);
    try {
      writeFileSync(fd, data);
      if (synced) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    publish(temp, path);
  } catch (error) {
    rmSync(temp, { force: true });
    throw error;
  }
}

function linkNew(temp: string, path: string): void {
  linkSync(temp, path);
  unlinkSync(temp);
}
