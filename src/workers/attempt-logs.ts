import { messageOf } from "../system/errors.ts";
import type { AppendHandle, World } from "../system/world.ts";
import { type AttemptPaths, attemptPaths } from "./attempt-folder.ts";
import { type LimitedLog, limitedEventLog, limitedTextLog } from "./limited-log.ts";

/** Writes that wait for `open`. */
const earlyMax = 1000;

interface Open {
  worker: AppendHandle;
  stdout: LimitedLog;
  stderr: LimitedLog;
}

/** The three logs of an attempt. Nothing is opened before the attempt is ours: another worker may be writing them. */
export class AttemptLogs {
  readonly #world: World;
  readonly #folder: string;
  readonly #early: ((open: Open) => void)[] = [];
  #open: Open | null = null;

  constructor(world: World, folder: string) {
    this.#world = world;
    this.#folder = folder;
  }

  /** Opens all or none, and writes what has waited. */
  open(): void {
    const opened: AppendHandle[] = [];
    const openOne = (path: string) => {
      const handle = this.#world.files.openAppend(path);
      opened.push(handle);
      return handle;
    };
    const paths: AttemptPaths = attemptPaths(this.#folder);
    try {
      const worker = openOne(paths.worker);
      this.#open = {
        worker,
        stdout: limitedEventLog(openOne(paths.stdout)),
        stderr: limitedTextLog(openOne(paths.stderr)),
      };
    } catch (error) {
      for (const handle of opened) handle.close();
      throw error;
    }
    for (const write of this.#early.splice(0)) this.#write(write);
  }

  worker(line: string): void {
    this.#write(({ worker }) => worker.write(`${line}\n`));
  }

  stdout(line: string): void {
    this.#write(({ stdout }) => stdout.write(`${line}\n`));
  }

  stderr(text: string): void {
    this.#write(({ stderr }) => stderr.write(text));
  }

  get chunks(): { stdout: number; stderr: number } {
    return { stdout: this.#open?.stdout.chunks ?? 0, stderr: this.#open?.stderr.chunks ?? 0 };
  }

  /** Never rejects: the end is what counts; a log that can't be written has been reported. */
  async sync(): Promise<void> {
    if (!this.#open) return;
    const { worker, stdout, stderr } = this.#open;
    await Promise.all([worker, stdout, stderr].map((log) => log.sync().catch(() => undefined)));
  }

  close(): void {
    if (!this.#open) return;
    for (const log of [this.#open.worker, this.#open.stdout, this.#open.stderr]) log.close();
  }

  /** A full disk must not end the session that is being recorded; the end of the attempt will show it. */
  #write(write: (open: Open) => void): void {
    if (!this.#open) {
      if (this.#early.length < earlyMax) this.#early.push(write);
      return;
    }
    try {
      write(this.#open);
    } catch (error) {
      this.#world.log.warn("log not written", { error: messageOf(error) });
    }
  }
}
