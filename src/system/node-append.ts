import { closeSync, constants, fdatasync, fstatSync, futimesSync, openSync, readSync, writeSync } from "node:fs";
import { systemFailure } from "./errors.ts";
import type { AppendHandle } from "./world.ts";

// O_NONBLOCK: opening a planted pipe would otherwise wait for its other end, for ever
const APPEND = constants.O_CREAT | constants.O_APPEND | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
const LINE_FEED = 0x0a;

/** The real file open for appending. */
export class NodeAppendHandle implements AppendHandle {
  readonly #fd: number;
  readonly #path: string;
  #closed = false;
  #syncing = false;
  #waiting: Array<{ resolve: () => void; reject: (error: unknown) => void }> = [];

  constructor(path: string, access: "write" | "read and write") {
    this.#path = path;
    this.#fd = openSync(path, APPEND | (access === "write" ? constants.O_WRONLY : constants.O_RDWR), 0o600);
    const stats = fstatSync(this.#fd);
    if (!stats.isFile() || stats.nlink !== 1) {
      closeSync(this.#fd);
      throw systemFailure("EINVAL", `${path} is not a regular file with one name`);
    }
  }

  /**
   * Ends a last line that a killed process left without its line feed. A write under way shows page by page: what ends
   * so may be half of another process's line, so it counts as torn only if it has not grown when that write is over.
   */
  endTornLine(): void {
    const last = Buffer.alloc(1);
    for (let torn = false; !torn; ) {
      const { size, atime, mtime } = fstatSync(this.#fd);
      if (size === 0 || (readSync(this.#fd, last, 0, 1, size - 1) === 1 && last[0] === LINE_FEED)) return;
      // takes the lock of the file, which a write has until it is over
      futimesSync(this.#fd, atime, mtime);
      torn = fstatSync(this.#fd).size === size;
    }
    this.write("\n");
  }

  write(data: Uint8Array | string): void {
    // the number may belong to another file by now
    if (this.#closed) throw systemFailure("EBADF", `${this.#path} is closed`);
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    const written = writeSync(this.#fd, bytes);
    if (written !== bytes.byteLength)
      throw systemFailure("ESHORT", `short write to ${this.#path}: ${written} of ${bytes.byteLength} bytes`);
  }

  sync(): Promise<void> {
    if (this.#closed) return Promise.reject(systemFailure("EBADF", `${this.#path} is closed`));
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
