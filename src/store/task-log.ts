import { join } from "node:path";
import type { AppendHandle, Clock, Files } from "../system/world.ts";
import { encodeTaskRecord, roomForLine } from "./task-line.ts";
import type { TaskRecord } from "./task-record.ts";

/** A folder that was removed takes its open files along; looking for that costs as much as a write. */
const LOOK_AGAIN_MS = 1000;

/**
 * Appends records to `<crewRoot>/metrics/tasks/<YYYY-MM-DD>.jsonl`, by the day (UTC) in which the task ended. One write
 * for a record: on a local disk lines of several processes never mix. Not synced: a power cut may take the last ones,
 * which the next look at their runs writes again.
 */
export class TaskLog {
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #folder: string;
  readonly #room = roomForLine();
  #open: { date: string; path: string; handle: AppendHandle; inode: number; lookedAtMs: number } | null = null;

  constructor({ files, clock }: { files: Files; clock: Clock }, crewRoot: string) {
    this.#files = files;
    this.#clock = clock;
    this.#folder = join(crewRoot, "metrics", "tasks");
  }

  async prepare(): Promise<void> {
    await this.#files.makeFolder(this.#folder);
  }

  /** Throws the system's error when the line is not in the file. */
  append(record: TaskRecord): void {
    const line = encodeTaskRecord(record, this.#room);
    const handle = this.#handleFor(record.created_at.slice(0, 10));
    try {
      handle.write(line);
    } catch (error) {
      // a short write leaves a torn line, which opening the file anew finds
      this.close();
      throw error;
    }
  }

  /** Ends a torn last line, so that a record which lacks nothing but its line feed counts. */
  mend(date: string): void {
    if (this.#files.factsNow(this.#path(date)) !== null) this.#handleFor(date, true);
  }

  close(): void {
    this.#open?.handle.close();
    this.#open = null;
  }

  #handleFor(date: string, anew = false): AppendHandle {
    const open = this.#open;
    const nowMs = this.#clock.monotonicMs();
    if (!anew && open?.date === date) {
      if (nowMs - open.lookedAtMs < LOOK_AGAIN_MS) return open.handle;
      open.lookedAtMs = nowMs;
      if (this.#files.factsNow(open.path)?.inode === open.inode) return open.handle;
    }
    this.close();
    const path = this.#path(date);
    const handle = this.#files.openLines(path);
    this.#open = { date, path, handle, inode: this.#files.factsNow(path)?.inode ?? -1, lookedAtMs: nowMs };
    return handle;
  }

  #path(date: string): string {
    return join(this.#folder, `${date}.jsonl`);
  }
}
