import { spanIdsOf } from "../events/correlation.ts";
import type { CrewEvent, EventEnvelope, NewEvent, RunOwner } from "../events/crew-event.ts";
import { encodeEventLine } from "../events/event-line.ts";
import { type EventLogWriter, LogFailed } from "../events/publisher.ts";
import { invariant, messageOf } from "../system/errors.ts";
import type { AppendHandle, Clock, Files } from "../system/world.ts";
import type { LogPosition, RunLogReader } from "./run-log-reader.ts";

/** Bigger payloads belong into files, by reference. */
const EVENT_BYTES_MAX = 256 * 1024;

/** The run is another owner's: what this one still writes is ignored by everyone. */
export class LogFenced extends LogFailed {
  readonly owner: RunOwner | null;

  /** `owner` is null where its claim can't be read. */
  constructor(owner: RunOwner | null) {
    super(`the run was taken over by process ${owner?.pid ?? "(unknown)"}`);
    this.owner = owner;
  }
}

interface LogParts {
  files: Files;
  clock: Clock;
  runId: string;
  path: string;
  reader: RunLogReader;
}

/**
 * The writing end of a run's `events.jsonl`. One process at a time owns it, elected through the log itself: see
 * `claim`. One write(2) per event; `seq` is taken only when the write succeeded; after a failed write nothing more is
 * written through this object, because what is on disk is then unknown.
 */
export class RunLog implements EventLogWriter {
  readonly #parts: LogParts;
  readonly #handle: AppendHandle;
  #position: LogPosition;
  /** The log is new, or our claim was accepted and we have not released the run since. */
  #owns: boolean;
  #poison: LogFailed | null = null;
  /** Of the file, as far as we know; more is from somebody else. */
  #bytes = 0;
  #looking: Promise<void> = Promise.resolve();

  private constructor(parts: LogParts, handle: AppendHandle) {
    this.#parts = parts;
    this.#handle = handle;
    this.#position = parts.reader.position;
    this.#owns = parts.reader.position.seq === 0;
  }

  /** Reads the log from where `reader` stands and opens it for appending. `onEvent` sees each accepted event. */
  static async open(options: LogParts & { onEvent: (event: CrewEvent) => void }): Promise<RunLog> {
    for (const event of await options.reader.readNew()) options.onEvent(event);
    return new RunLog(options, options.files.openAppend(options.path));
  }

  get position(): LogPosition {
    return this.#position;
  }

  /** Only for the run's owner; what anyone else wrote would count as the owner's. */
  append(event: NewEvent): CrewEvent {
    if (this.#poison) throw this.#poison;
    if (!this.#owns) throw new LogFailed("only a run's owner writes to its log");
    const seq = this.#position.seq + 1;
    const placed = this.#place(event, seq, this.#position.epoch);
    this.#write(encodeEventLine(placed));
    this.#position = { ...this.#position, seq };
    if (event.type === "crew.run.released") this.#owns = false;
    return placed;
  }

  /** Rejects with LogFenced when a claim of another owner stands before what was appended. */
  async sync(): Promise<void> {
    if (this.#poison) throw this.#poison;
    try {
      await this.#handle.sync();
    } catch (error) {
      // after a failed fdatasync the kernel may have dropped the pages: nothing that follows could be vouched for
      throw this.#fail("the run's log can't be put on disk", error);
    }
    // a later write may have failed by now; what was on its way to the disk before it is there
    await this.#lookForOthers();
  }

  /**
   * Whether the log is still ours and can be written. Costs one stat; the file is read only where it holds more than
   * this owner wrote. Rejects with LogFenced, or with the LogFailed of an earlier write.
   */
  async look(): Promise<void> {
    if (this.#poison) throw this.#poison;
    await this.#lookForOthers();
  }

  async #lookForOthers(): Promise<void> {
    if (this.#poison instanceof LogFenced) throw this.#poison;
    if (!this.#owns) return;
    let bytes: number;
    try {
      bytes = this.#parts.files.factsNow(this.#parts.path)?.bytes ?? -1;
    } catch (error) {
      throw this.#fail("the run's log can't be looked at", error);
    }
    if (bytes < 0) throw this.#fail("the run's log is gone", new Error(this.#parts.path));
    if (bytes !== this.#bytes) {
      // taken before reading: what comes meanwhile shows at the next look
      this.#bytes = bytes;
      this.#looking = this.#looking.then(() => this.#readOthers());
      // heard by those below
      this.#looking.catch(() => undefined);
    }
    await this.#looking;
  }

  /**
   * Takes the right to write: appends a claim with the next epoch and reads back. The first claim of an epoch in file
   * order wins; a loser's line is ignored by everyone. Resolves with the accepted claim, or null when another won.
   * Others' events that stood between are given to `onEvent`.
   */
  async claim(owner: RunOwner, onEvent: (event: CrewEvent) => void): Promise<CrewEvent | null> {
    if (this.#poison) throw this.#poison;
    const { seq, epoch } = this.#position;
    this.#owns = false;
    this.#write(encodeEventLine(this.#place({ type: "crew.run.claimed", owner }, seq + 1, epoch + 1)));
    await this.sync();
    this.#bytes = this.#parts.files.factsNow(this.#parts.path)?.bytes ?? 0;
    let won: CrewEvent | null = null;
    for (const event of await this.#parts.reader.readNew()) {
      // our own events stand in the file too; they were folded when they were appended
      if (event.seq <= seq) continue;
      if (event.type === "crew.run.claimed" && event.owner.nonce === owner.nonce) won = event;
      onEvent(event);
    }
    this.#position = this.#parts.reader.position;
    // a later claim may have been read with ours
    this.#owns = won !== null && won.epoch === this.#position.epoch;
    return this.#owns ? won : null;
  }

  close(): void {
    this.#handle.close();
  }

  async #readOthers(): Promise<void> {
    const { reader } = this.#parts;
    let owner: RunOwner | null = null;
    try {
      for (const event of await reader.readNew()) if (event.type === "crew.run.claimed") owner = event.owner;
    } catch (error) {
      throw this.#fail("the run's log can't be read", error);
    }
    if (reader.position.epoch > this.#position.epoch) {
      this.#owns = false;
      this.#poison = new LogFenced(owner);
      throw this.#poison;
    }
    // half a line of somebody who is no owner
    if (reader.position.torn) this.#position = { ...this.#position, torn: true };
  }

  #fail(what: string, error: unknown): LogFailed {
    this.#poison ??= new LogFailed(`${what}: ${messageOf(error)}`, { cause: error });
    return this.#poison;
  }

  #place(event: NewEvent, seq: number, epoch: number): CrewEvent {
    const { type, taskId, attempt, ...fields } = event;
    const envelope: EventEnvelope & { type: string } = {
      v: 1,
      seq,
      epoch,
      ts: this.#parts.clock.now(),
      type,
      runId: this.#parts.runId,
      ...(taskId === undefined ? {} : { taskId }),
      ...(attempt === undefined ? {} : { attempt }),
      ...spanIdsOf({
        runId: this.#parts.runId,
        ...(taskId === undefined ? {} : { taskId }),
        ...(attempt === undefined ? {} : { attempt }),
      }),
    };
    return { ...envelope, ...fields } as CrewEvent;
  }

  #write(line: string): void {
    invariant(Buffer.byteLength(line) <= EVENT_BYTES_MAX, `an event has at most ${EVENT_BYTES_MAX} bytes`);
    // a torn last line of a former owner must not swallow ours
    const lead = this.#position.torn ? "\n" : "";
    try {
      this.#handle.write(lead + line);
      this.#position = { ...this.#position, torn: false };
      this.#bytes += Buffer.byteLength(lead + line);
    } catch (error) {
      throw this.#fail("the run's log can't be written", error);
    }
  }
}
