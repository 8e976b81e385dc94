import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  type FSWatcher,
  fdatasync,
  promises as fs,
  fstatSync,
  openSync,
  type Stats,
  watch as watchPath,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { codeOf } from "./errors.ts";
import { type AppendHandle, FILE_BYTES_MAX, type FileFacts, type Files } from "./world.ts";

const READ_STEP_BYTES = 64 * 1024;

// opening a planted pipe would otherwise wait for its other end, for ever; regular files don't mind
const AT_ONCE = constants.O_NONBLOCK ?? 0;
const READ = constants.O_RDONLY | AT_ONCE;
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);
const APPEND = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | (constants.O_NOFOLLOW ?? 0) | AT_ONCE;

/** The real files. Errors carry the system's code (`ENOSPC`, `EACCES`, …). */
export function nodeFiles(): Files {
  return {
    read: readWhole,
    readText: async (path, bytesMax) => (await readWhole(path, bytesMax))?.toString("utf8") ?? null,
    readRange,
    writeAtomic: (path, data) => writeThrough(path, data, (temp) => fs.rename(temp, path)),
    // link(2) refuses an existing name, which rename(2) would replace
    writeNew: (path, data) =>
      writeThrough(path, data, async (temp) => {
        await fs.link(temp, path);
        await fs.unlink(temp);
      }),
    makeFolder: async (path) => {
      await fs.mkdir(path, { recursive: true, mode: 0o700 });
    },
    list: async (path) => ((await orNull(fs.readdir(path))) ?? []).sort(),
    facts: async (path) => {
      const stats = await orNull(fs.lstat(path));
      return stats && factsOf(stats);
    },
    remove: (path) => fs.rm(path, { recursive: true, force: true }),
    copy: (from, to) => fs.copyFile(from, to),
    openAppend: (path) => new NodeAppendHandle(path),
    writable: (folder) =>
      fs.access(folder, constants.W_OK | constants.X_OK).then(
        () => true,
        () => false,
      ),
    realPath: (path) => fs.realpath(path).catch(() => path),
    watch,
  };
}

async function orNull<T>(read: Promise<T>): Promise<T | null> {
  try {
    return await read;
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return null;
    throw error;
  }
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
  const file = await orNull(fs.open(path, READ));
  if (!file) return null;
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw failure("ENOTREG", `${path} is not a regular file`);
    const parts: Buffer[] = [];
    let total = 0;
    for (let room = stats.size + 1; ; room = READ_STEP_BYTES) {
      if (stats.size > bytesMax || total > bytesMax)
        throw failure("EFBIG", `${path} has more than ${bytesMax} bytes, which is the most that is read`);
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

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

async function readRange(path: string, offset: number, bytesMax: number): Promise<Uint8Array | null> {
  const file = await orNull(fs.open(path, READ));
  if (!file) return null;
  try {
    const size = Math.max(0, Math.min(bytesMax, (await file.stat()).size - offset));
    const buffer = Buffer.allocUnsafe(size);
    let read = 0;
    while (read < size) {
      const { bytesRead } = await file.read(buffer, read, size - read, offset + read);
      if (bytesRead === 0) break;
      read += bytesRead;
    }
    return buffer.subarray(0, read);
  } finally {
    await file.close();
  }
}

/** Temp file, fsync, publish, fsync of the folder: the acked version survives a power cut. */
async function writeThrough(
  path: string,
  data: string | Uint8Array,
  publish: (temp: string) => Promise<void>,
): Promise<void> {
  const folder = dirname(path);
  const temp = join(folder, `.${basename(path)}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`);
  try {
    const file = await fs.open(temp, NEW_FILE, 0o600);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await publish(temp);
  } catch (error) {
    await fs.rm(temp, { force: true });
    throw error;
  }
  await syncFolder(folder);
}

/** Windows and some network file systems refuse to sync a folder; there the rename is all there is. */
async function syncFolder(folder: string): Promise<void> {
  let handle: fs.FileHandle | null = null;
  try {
    handle = await fs.open(folder, constants.O_RDONLY);
    await handle.sync();
  } catch (error) {
    if (!["EPERM", "EISDIR", "EINVAL", "EACCES", "ENOTSUP"].includes(codeOf(error))) throw error;
  } finally {
    await handle?.close();
  }
}

class NodeAppendHandle implements AppendHandle {
  readonly #fd: number;
  readonly #path: string;
  #closed = false;
  #syncing = false;
  #waiting: Array<{ resolve: () => void; reject: (error: unknown) => void }> = [];

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, APPEND, 0o600);
    const stats = fstatSync(this.#fd);
    if (!stats.isFile() || stats.nlink !== 1) {
      closeSync(this.#fd);
      throw failure("EINVAL", `${path} is not a regular file with one name`);
    }
  }

  write(data: Uint8Array | string): void {
    // the number may belong to another file by now
    if (this.#closed) throw failure("EBADF", `${this.#path} is closed`);
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    const written = writeSync(this.#fd, bytes);
    if (written !== bytes.byteLength)
      throw failure("ESHORT", `short write to ${this.#path}: ${written} of ${bytes.byteLength} bytes`);
  }

  sync(): Promise<void> {
    if (this.#closed) return Promise.reject(failure("EBADF", `${this.#path} is closed`));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (!this.#syncing) this.#syncWaiting();
    });
  }

  /** One fdatasync for all who asked before it began: group commit. */
  #syncWaiting(): void {
    const served = this.#waiting;
    this.#waiting = [];
    this.#syncing = true;
    fdatasync(this.#fd, (error) => {
      this.#syncing = false;
      for (const { resolve, reject } of served) error ? reject(error) : resolve();
      if (this.#waiting.length > 0) this.#syncWaiting();
      else if (this.#closed) closeSync(this.#fd);
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#syncing) closeSync(this.#fd);
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
