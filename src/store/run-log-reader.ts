import type { CrewEvent } from "../events/crew-event.ts";
import { decodeEventLine, isCutOff } from "../events/event-line.ts";
import type { Files } from "../system/world.ts";

const CHUNK_BYTES = 1024 * 1024;
const LINE_FEED = 0x0a;
const NO_BYTES = new Uint8Array(0);

export interface LogPosition {
  /** Of the last accepted event; 0 before the first. */
  seq: number;
  epoch: number;
  /** Bytes read, whole lines only; a last line that lacks nothing but its line feed is whole. */
  bytes: number;
  /** The file does not end in a line feed. */
  torn: boolean;
}

/** What was found amiss while reading; all zero in a healthy log. */
export interface LogHealth {
  /** Lines that are no event: bad JSON, bad checksum, NULs. What they held is lost. */
  bad: number;
  /** Begins of lines: a writer was ended within its write, of which nobody had been told. */
  torn: number;
  /** Events missing between two accepted ones. */
  missing: number;
  /** Lines of a former owner, written after it lost the run. */
  fenced: number;
  /** Claims that came second, and repeated lines. */
  ignored: number;
  /** A later version wrote here: this one must only read. */
  newer: boolean;
}

export const HEALTHY_LOG: LogHealth = { bad: 0, torn: 0, missing: 0, fenced: 0, ignored: 0, newer: false };

/** Whole lines only: from there another reader finds what this one would. */
export interface LogStanding {
  position: LogPosition;
  health: LogHealth;
}

const LOG_BEGIN: LogStanding = { position: { seq: 0, epoch: 0, bytes: 0, torn: false }, health: HEALTHY_LOG };

/** A run is shown as degraded when part of its story is missing, or may be. */
export function isDegraded(health: LogHealth): boolean {
  return health.bad > 0 || health.missing > 0 || health.newer;
}

/**
 * The reading end of a run's log: remembers where it stands, so that a second reading costs only what is new. Rules
 * F1–F5: lines end at 0x0A only (never node:readline, which splits at U+2028); a bad line is counted and skipped; an
 * event counts when its epoch is the current one and its `seq` goes on; the first claim of the next epoch wins; where a
 * claim can't be read, the events of its epoch stand for it.
 */
export class RunLogReader {
  readonly #files: Files;
  readonly #path: string;
  #position: LogPosition;
  readonly #health: LogHealth;
  /** What the bytes behind the last whole line count as; null when there are none. */
  #tail: "bad" | "torn" | null = null;

  constructor(files: Files, path: string, { position, health }: LogStanding = LOG_BEGIN) {
    this.#files = files;
    this.#path = path;
    this.#position = position;
    this.#health = { ...health };
  }

  get position(): LogPosition {
    return this.#position;
  }

  get standing(): LogStanding {
    return { position: this.#position, health: { ...this.#health } };
  }

  get health(): LogHealth {
    const health = { ...this.#health };
    if (this.#tail !== null) health[this.#tail]++;
    return health;
  }

  /** The accepted events since the last call; empty when the file is not there. */
  async readNew(): Promise<CrewEvent[]> {
    const events: CrewEvent[] = [];
    let rest: Uint8Array = NO_BYTES;
    const from = this.#position.bytes;
    let offset = from;
    for (;;) {
      const chunk = await this.#files.readRange(this.#path, offset, CHUNK_BYTES);
      if (chunk === null || chunk.byteLength === 0) break;
      offset += chunk.byteLength;
      rest = this.#takeLines(rest.byteLength === 0 ? chunk : Buffer.concat([rest, chunk]), events);
    }
    const torn = offset === from ? this.#position.torn : rest.byteLength > 0;
    if (rest.byteLength > 0 && this.#takeTail(Buffer.from(rest).toString(), events)) rest = NO_BYTES;
    if (rest.byteLength === 0) this.#tail = null;
    this.#position = { ...this.#position, bytes: offset - rest.byteLength, torn };
    return events;
  }

  #takeLines(bytes: Uint8Array, events: CrewEvent[]): Uint8Array {
    let start = 0;
    for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
      if (end > start)
        this.#takeLine(Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString(), events);
      start = end + 1;
    }
    return bytes.subarray(start);
  }

  /** The checksum tells a line that was cut at its line feed from one that was cut before. */
  #takeTail(line: string, events: CrewEvent[]): boolean {
    if (decodeEventLine(line).kind === "bad") {
      this.#tail = unreadable(line);
      return false;
    }
    this.#takeLine(line, events);
    return true;
  }

  #takeLine(line: string, events: CrewEvent[]): void {
    const decoded = decodeEventLine(line);
    if (decoded.kind === "bad") this.#health[unreadable(line)]++;
    else if (decoded.kind === "newer") this.#health.newer = true;
    else if (decoded.kind === "unknown") this.#accepts(decoded.seq, decoded.epoch, false);
    else if (this.#accepts(decoded.event.seq, decoded.event.epoch, decoded.event.type === "crew.run.claimed"))
      events.push(decoded.event);
  }

  #accepts(seq: number, epoch: number, claim: boolean): boolean {
    const now = this.#position;
    if (epoch < now.epoch) {
      this.#health.fenced++;
      return false;
    }
    const next = claim ? now.epoch + 1 : now.epoch;
    // only who won a claim writes with its epoch, so a later epoch behind a gap says that the claim is in the gap
    const claimUnread = epoch > next && seq > now.seq + 1;
    if (seq <= now.seq || (epoch !== next && !claimUnread)) {
      this.#health.ignored++;
      return false;
    }
    this.#health.missing += seq - now.seq - 1;
    this.#position = { ...now, seq, epoch };
    return true;
  }
}

/** One judgement, whether or not somebody has ended the line since. */
function unreadable(line: string): "bad" | "torn" {
  return isCutOff(line) ? "torn" : "bad";
}
