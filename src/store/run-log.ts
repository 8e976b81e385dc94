import { spanIdsOf } from "../events/correlation.ts";
import type { CrewEvent, EventEnvelope, NewEvent, RunOwner } from "../events/crew-event.ts";
import { encodeEventLine } from "../events/event-line.ts";
import { type EventLogWriter, LogFailed } from "../events/publisher.ts";
import { invariant, messageOf } from "../system/errors.ts";
import type { AppendHandle, Clock, Files } from "../system/world.ts";
import type { LogPosition, RunLogReader } from "./run-log-reader.ts";

/** Bigger payloads belong into files, by reference. */
const EVENT_BYTES_MAX = 256 * 1024;

/**
 * The writing end of a run's `events.jsonl`. One process at a time owns it, elected through the log itself: see
 * `claim`. One write(2) per event; `seq` is taken only when the write succeeded; after a failed write nothing more is
 * written through this object, because what is on disk is then unknown.
 */
export class RunLog implements EventLogWriter {
  readonly #clock: Clock;
  readonly #runId: string;
  readonly #reader: RunLogReader;
  readonly #handle: AppendHandle;
  #position: LogPosition;
  /** The log is new, or our claim was accepted and we have not released the run since. */
  #owns: boolean;
  #poison: LogFailed | null = null;

  private constructor(clock: Clock, runId: string, reader: RunLogReader, handle: AppendHandle) {
    this.#clock = clock;
    this.#runId = runId;
    this.#reader = reader;
    this.#handle = handle;
    this.#position = reader.position;
    this.#owns = reader.position.seq === 0;
  }

  /** Reads the log from where `reader` stands and opens it for appending. `onEvent` sees each accepted event. */
  static async open(options: {
    files: Files;
    clock: Clock;
    runId: string;
    path: string;
    reader: RunLogReader;
    onEvent: (event: CrewEvent) => void;
  }): Promise<RunLog> {
    for (const event of await options.reader.readNew()) options.onEvent(event);
    const handle = options.files.openAppend(options.path);
    return new RunLog(options.clock, options.runId, options.reader, handle);
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

  async sync(): Promise<void> {
    if (this.#poison) throw this.#poison;
    try {
      await this.#handle.sync();
    } catch (error) {
      // after a failed fdatasync the kernel may have dropped the pages: nothing that follows could be vouched for
      this.#poison ??= new LogFailed(`the run's log can't be put on disk: ${messageOf(error)}`, { cause: error });
      throw this.#poison;
    }
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
    let won: CrewEvent | null = null;
    for (const event of await this.#reader.readNew()) {
      // our own events stand in the file too; they were folded when they were appended
      if (event.seq <= seq) continue;
      if (event.type === "crew.run.claimed" && event.owner.nonce === owner.nonce) won = event;
      onEvent(event);
    }
    this.#position = this.#reader.position;
    this.#owns = won !== null;
    return won;
  }

  close(): void {
    this.#handle.close();
  }

  #place(event: NewEvent, seq: number, epoch: number): CrewEvent {
    const { type, taskId, attempt, ...fields } = event;
    const envelope: EventEnvelope & { type: string } = {
      v: 1,
      seq,
      epoch,
      ts: this.#clock.now(),
      type,
      runId: this.#runId,
      ...(taskId === undefined ? {} : { taskId }),
      ...(attempt === undefined ? {} : { attempt }),
      ...spanIdsOf({
        runId: this.#runId,
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
    } catch (error) {
      this.#poison = new LogFailed(`the run's log can't be written: ${messageOf(error)}`, { cause: error });
      throw this.#poison;
    }
  }
}
