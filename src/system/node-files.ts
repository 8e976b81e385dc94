import {
  closeSync,
  constants,
  type FSWatcher,
  promises as fs,
  fstatSync,
  lstatSync,
  openSync,
  read,
  readSync,
  type Stats,
  watch as watchPath,
} from "node:fs";
import { promisify } from "node:util";
import { codeOf, systemFailure } from "./errors.ts";
import { NodeAppendHandle } from "./node-append.ts";
import { linkNew, syncFiles, writeThrough } from "./node-write.ts";
import { FILE_BYTES_MAX, type FileFacts, type Files } from "./world.ts";

const readPart = promisify(read);
const READ_STEP_BYTES = 64 * 1024;
/** So much is read at once: four trips through the thread pool would take twenty times as long. */
const SMALL_BYTES_MAX = 64 * 1024;

// opening a planted pipe would otherwise wait for its other end, for ever; regular files don't mind
const AT_ONCE = constants.O_NONBLOCK ?? 0;
const READ = constants.O_RDONLY | AT_ONCE;
const READ_ITSELF = READ | (constants.O_NOFOLLOW ?? 0);

/** The real files. Errors carry the system's code (`ENOSPC`, `EACCES`, …). */
export function nodeFiles(): Files {
  return {
    read: readWhole,
    readText: async (path, bytesMax) => (await readWhole(path, bytesMax))?.toString("utf8") ?? null,
    readRange,
    writeAtomic: (path, data, mode) => writeThrough(path, data, (temp) => fs.rename(temp, path), mode),
    replace: (path, data, mode) => writeThrough(path, data, (temp) => fs.rename(temp, path), mode, "nothing"),
    writeNew: (path, data) => writeThrough(path, data, (temp) => linkNew(temp, path)),
    placeNew: (path, data) => writeThrough(path, data, (temp) => linkNew(temp, path), 0o600, "data"),
    sync: syncFiles,
    rename: (from, to) => fs.rename(from, to),
    makeFolder: async (path) => {
      await fs.mkdir(path, { recursive: true, mode: 0o700 });
    },
    list: async (path) => ((await orNull(fs.readdir(path))) ?? []).sort(),
    facts: async (path) => {
      const stats = await orNull(fs.lstat(path));
      return stats && factsOf(stats);
    },
    factsNow: (path) => {
      const stats = orNullNow(() => lstatSync(path, { throwIfNoEntry: false }));
      return stats ? factsOf(stats) : null;
    },
    readNow,
    remove: (path) => fs.rm(path, { recursive: true, force: true }),
    copy: async (from, to) => {
      await fs.copyFile(from, to, constants.COPYFILE_EXCL);
      const { atime, mtime } = await fs.stat(from);
      await fs.utimes(to, atime, mtime);
    },
    openAppend: (path) => new NodeAppendHandle(path, "write"),
    openLines: (path) => {
      const handle = new NodeAppendHandle(path, "read and write");
      try {
        handle.endTornLine();
      } catch (error) {
        handle.close();
        throw error;
      }
      return handle;
    },
    writable: (folder) =>
      fs.access(folder, constants.W_OK | constants.X_OK).then(
        () => true,
        () => false,
      ),
    freeBytes: async (path) => {
      const { bavail, blocks, bsize } = await fs.statfs(path);
      // some file systems do not tell
      return blocks === 0 ? Number.POSITIVE_INFINITY : bavail * bsize;
    },
    realPath: (path) => fs.realpath(path).catch(() => path),
    watch,
  };
}

async function orNull<T>(read: Promise<T>): Promise<T | null> {
  try {
    return await read;
  } catch (error) {
    return nullIfNone(error);
  }
}

function orNullNow<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    return nullIfNone(error);
  }
}

function nullIfNone(error: unknown): null {
  if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return null;
  throw error;
}

function factsOf(stats: Stats): FileFacts {
  let kind: FileFacts["kind"] = "other";
  if (stats.isFile()) kind = "file";
  else if (stats.isDirectory()) kind = "directory";
  else if (stats.isSymbolicLink()) kind = "symlink";
  return { kind, bytes: stats.size, modifiedMs: stats.mtimeMs, links: stats.nlink, inode: stats.ino };
}

/** Never trusts the size told before: a file may grow meanwhile, and some have none to tell. */
async function readWhole(path: string, bytesMax = FILE_BYTES_MAX): Promise<Buffer | null> {
  const small = readSmall(path);
  // nothing is also what a file says that does not tell its size
  const isAll = small === null || (small !== undefined && small.length > 0 && small.length <= bytesMax);
  return isAll ? small : readSteps(path, bytesMax);
}

async function readSteps(path: string, bytesMax: number): Promise<Buffer | null> {
  const file = await orNull(fs.open(path, READ));
  if (!file) return null;
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw systemFailure("ENOTREG", `${path} is not a regular file`);
    const parts: Buffer[] = [];
    let total = 0;
    for (let room = stats.size + 1; ; room = READ_STEP_BYTES) {
      if (stats.size > bytesMax || total > bytesMax)
        throw systemFailure("EFBIG", `${path} has more than ${bytesMax} bytes, which is the most that is read`);
      const part = Buffer.allocUnsafe(room);
      const { bytesRead } = await file.read(part, 0, room, total);
      if (bytesRead === 0) return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts, total);
      parts.push(part.subarray(0, bytesRead));
      total += bytesRead;
    }
  } finally {
    await file.close();
  }
}

/** Small pieces at once; larger ones in the thread pool, which opening and closing have no need of. */
async function readRange(
  path: string,
  offset: number,
  bytesMax: number,
  room?: Uint8Array,
): Promise<Uint8Array | null> {
  const fd = orNullNow(() => openSync(path, READ));
  if (fd === null) return null;
  try {
    const stats = fstatSync(fd);
    const size = Math.max(0, Math.min(bytesMax, stats.size - offset));
    const buffer = room && room.length >= size ? room.subarray(0, size) : Buffer.allocUnsafe(size);
    if (stats.isFile() && size <= SMALL_BYTES_MAX) return buffer.subarray(0, readSync(fd, buffer, 0, size, offset));
    let done = 0;
    while (done < size) {
      const { bytesRead } = await readPart(fd, buffer, done, size - done, offset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return buffer.subarray(0, done);
  } finally {
    closeSync(fd);
  }
}

/** Null when there is no file, undefined when it is not small or not a regular one. */
function readSmall(path: string): Buffer | null | undefined {
  const fd = orNullNow(() => openSync(path, READ));
  if (fd === null) return null;
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile() || stats.size > SMALL_BYTES_MAX) return undefined;
    const buffer = Buffer.allocUnsafe(stats.size);
    return buffer.subarray(0, readSync(fd, buffer, 0, stats.size, 0));
  } finally {
    closeSync(fd);
  }
}

function readNow(path: string, offset: number, bytesMax: number): Uint8Array | null {
  const fd = orNullNow(() => openSync(path, READ_ITSELF));
  if (fd === null) return null;
  try {
    const buffer = Buffer.allocUnsafe(bytesMax);
    // a regular file gives less than was asked for at its end only
    const read = readSync(fd, buffer, 0, bytesMax, offset);
    return buffer.subarray(0, read);
  } finally {
    closeSync(fd);
  }
}

function watch(path: string, changed: () => void): Disposable {
  let watcher: FSWatcher | null = null;
  try {
    watcher = watchPath(path, { persistent: false }, changed);
    watcher.on("error", () => watcher?.close());
  } catch {
    // no watch to be had (limit, missing path): the caller polls anyway
  }
  return { [Symbol.dispose]: () => watcher?.close() };
}
