import type { AppendHandle, World } from "../system/world.ts";
import { type AttemptPaths, attemptPaths } from "./attempt-folder.ts";
import { type LimitedLog, limitedEventLog, limitedTextLog, logBytesMax } from "./limited-log.ts";
import { LogTail, SEGMENT_BYTES_MAX, segmentPath } from "./log-tail.ts";
import type { LifecycleEvent, LogSummary } from "./step-contract.ts";

/** Writes that wait for `open`. */
const earlyMax = 1000;

interface Open {
  worker: DroppingLog;
  stdout: LimitedLog;
  stderr: LimitedLog;
}

/**
 * Drops what can't be written: a full disk must not end the session that is being recorded. Says nothing of it, since
 * what the process says is written here too.
 */
class DroppingLog implements AppendHandle {
  readonly #handle: AppendHandle;
  #cut = false;
  dropped = 0;

  constructor(handle: AppendHandle) {
    this.#handle = handle;
  }

  write(data: string | Uint8Array): void {
    try {
      // part of what was dropped may stand there
      if (this.#cut) this.#handle.write("\n");
      this.#handle.write(data);
      this.#cut = false;
    } catch {
      this.#cut = true;
      this.dropped += 1;
    }
  }

  sync(): Promise<void> {
    return this.#handle.sync();
  }

  close(): void {
    this.#handle.close();
  }
}

export interface LogLimits {
  /** Of a log. */
  bytesMax: number;
  /** Of a segment of its tail. */
  segmentBytesMax: number;
}

const LIMITS: LogLimits = { bytesMax: logBytesMax, segmentBytesMax: SEGMENT_BYTES_MAX };

/** The three logs of an attempt. Nothing is opened before the attempt is ours: another worker may be writing them. */
export class AttemptLogs {
  readonly #world: World;
  readonly #folder: string;
  readonly #eventLines: boolean;
  readonly #early: ((open: Open) => void)[] = [];
  readonly #opened: DroppingLog[] = [];
  readonly #limits: LogLimits;
  #open: Open | null = null;
  #removing: Promise<unknown> = Promise.resolve();
  #unopened = 0;

  /** `eventLines`: stdout.log holds the host's events, one a line; else a program's output. */
  constructor(world: World, folder: string, eventLines: boolean, limits = LIMITS) {
    this.#limits = limits;
    this.#world = world;
    this.#folder = folder;
    this.#eventLines = eventLines;
  }

  /** Opens all or none, and writes `firstEvents` and what has waited. */
  open(firstEvents: readonly LifecycleEvent[]): void {
    const openOne = (path: string) => {
      const log = new DroppingLog(this.#world.files.openAppend(path));
      this.#opened.push(log);
      return log;
    };
    const paths: AttemptPaths = attemptPaths(this.#folder);
    try {
      const worker = openOne(paths.worker);
      this.#open = {
        worker,
        stdout: (this.#eventLines ? limitedEventLog : limitedTextLog)(
          openOne(paths.stdout),
          this.#tailOf(paths.stdout, openOne),
          this.#limits.bytesMax,
        ),
        stderr: limitedTextLog(openOne(paths.stderr), this.#tailOf(paths.stderr, openOne), this.#limits.bytesMax),
      };
    } catch (error) {
      for (const log of this.#opened.splice(0)) log.close();
      throw error;
    }
    for (const event of firstEvents) this.worker(JSON.stringify(event));
    for (const write of this.#early.splice(0)) this.#write(write);
  }

  #tailOf(path: string, open: (path: string) => AppendHandle): LogTail {
    const { files } = this.#world;
    const forget = (number: number) => {
      const removed = files.remove(segmentPath(path, number)).catch(() => undefined);
      this.#removing = Promise.all([this.#removing, removed]);
    };
    const openSegment = (number: number) => {
      try {
        return open(segmentPath(path, number));
      } catch {
        this.#unopened += 1;
        return null;
      }
    };
    return new LogTail(openSegment, forget, this.#limits.segmentBytesMax);
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

  bytes(name: "stdout" | "stderr", bytes: Uint8Array): void {
    this.#write((open) => open[name].writeBytes(bytes));
  }

  /** Counts what nobody keeps, and says so in the log's tail. */
  leaveOut(name: "stdout" | "stderr", bytes: number): void {
    this.#write((open) => open[name].leaveOut(bytes));
  }

  get summary(): LogSummary {
    const bytes = (name: "stdout" | "stderr") => this.#open?.[name].bytes ?? 0;
    const cut = this.isFull("stdout") || this.isFull("stderr");
    return { stdoutBytes: bytes("stdout"), stderrBytes: bytes("stderr"), cut, droppedWrites: this.dropped };
  }

  isFull(name: "stdout" | "stderr"): boolean {
    return this.#open?.[name].full === true;
  }

  /** Writes that the disk refused, of all three logs. */
  get dropped(): number {
    return this.#opened.reduce((sum, log) => sum + log.dropped, this.#unopened);
  }

  get chunks(): { stdout: number; stderr: number } {
    return { stdout: this.#open?.stdout.chunks ?? 0, stderr: this.#open?.stderr.chunks ?? 0 };
  }

  /** Never rejects: the end is what counts; a log that can't be written has been reported. */
  async sync(): Promise<void> {
    if (!this.#open) return;
    const { worker, stdout, stderr } = this.#open;
    await Promise.all([worker, stdout, stderr].map((log) => log.sync().catch(() => undefined)));
    await this.#removing;
  }

  close(): void {
    if (!this.#open) return;
    for (const log of [this.#open.worker, this.#open.stdout, this.#open.stderr]) log.close();
  }

  #write(write: (open: Open) => void): void {
    if (this.#open) write(this.#open);
    else if (this.#early.length < earlyMax) this.#early.push(write);
  }
}
