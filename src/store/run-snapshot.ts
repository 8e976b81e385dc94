import { decodeEventLine, openSealedLine, sealedLine } from "../events/event-line.ts";
import { applyEvent } from "../runs/apply-event.ts";
import type { RunState } from "../runs/run-state.ts";
import { messageOf } from "../system/errors.ts";
import type { Files, Log } from "../system/world.ts";
import { type LogPosition, type LogStanding, RunLogReader } from "./run-log-reader.ts";

/**
 * `state.json`: a fold of the log up to a place, sealed like its events. Deleting it loses nothing; what is damaged or
 * does not fit the log is ignored.
 */
export interface RunSnapshot extends LogStanding {
  schemaVersion: 4;
  runId: string;
  state: RunState;
}

/** What many runs are told apart by: stands first in `state.json` with a seal of its own, however long the rest is. */
export type RunHead = Pick<RunState, "runId" | "status" | "owner"> & Pick<LogPosition, "epoch" | "bytes">;

/** Who comes next has about so many events to fold, however long the log is. */
const SAVED_AFTER_EVENTS = 200;
const FEW_LINES_BYTES_MAX = 4096;
const LINE_BYTES_MAX = 256 * 1024;
const HEAD_MARK = '{"head":';
const HEAD_BYTES_MAX = 1024;

async function writeSnapshot(files: Files, path: string, snapshot: RunSnapshot): Promise<void> {
  const { runId, status, owner } = snapshot.state;
  const { epoch, bytes } = snapshot.position;
  const head: RunHead = { runId, status, owner, epoch, bytes };
  await files.replace(path, sealedLine({ head: JSON.parse(sealedLine(head)), ...snapshot }));
}

/** Null when there is none, or when it is damaged or of another run. Of `state.json` alone: the log may have gone on. */
export function readHead(files: Pick<Files, "readNow">, path: string, runId: string): RunHead | null {
  const bytes = files.readNow(path, 0, HEAD_BYTES_MAX);
  const text = bytes === null ? "" : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
  if (!text.startsWith(HEAD_MARK)) return null;
  // within a JSON text the quotes would be escaped
  const end = text.indexOf("}", text.indexOf(',"crc":'));
  const head = openSealedLine(text.slice(HEAD_MARK.length, end + 1)) as RunHead | null;
  return head?.runId === runId ? head : null;
}

/** Null when there is none, or when it is damaged, of another run, another version, or not of this log. */
export async function readSnapshot(
  files: Files,
  paths: { state: string; events: string },
  runId: string,
): Promise<RunSnapshot | null> {
  // the seal vouches that this is what writeSnapshot wrote
  const snapshot = openSealedLine((await files.readText(paths.state))?.trimEnd() ?? "") as RunSnapshot | null;
  if (snapshot?.schemaVersion !== 4 || snapshot.runId !== runId) return null;
  return (await fits(files, paths.events, snapshot.position)) ? snapshot : null;
}

/** The line that ends where the snapshot stands must be the event it names. */
async function fits(files: Files, events: string, position: LogPosition): Promise<boolean> {
  for (const bytesMax of [FEW_LINES_BYTES_MAX, LINE_BYTES_MAX]) {
    const from = Math.max(0, position.bytes - bytesMax);
    const tail = await files.readRange(events, from, position.bytes - from);
    if (tail === null || tail.byteLength !== position.bytes - from) return false;
    const fit = endsWith(position, Buffer.from(tail).toString().split("\n"));
    if (fit !== null) return fit;
  }
  return false;
}

/** Null when the event is not among the lines. */
function endsWith({ seq, epoch }: LogPosition, lines: string[]): boolean | null {
  // the last piece is empty: what was folded ends with a line feed
  if (lines.pop() !== "") return false;
  for (let line = lines.pop(); line !== undefined; line = lines.pop()) {
    const decoded = decodeEventLine(line);
    if (decoded.kind === "event") return decoded.event.seq === seq && decoded.event.epoch === epoch;
    // unreadable and fenced lines may stand behind the last accepted one
    if (decoded.kind !== "bad") return false;
  }
  return null;
}

/**
 * Keeps `state.json` of a run that is driven: reads back what was appended since the last time, rather than remembering
 * it, so that the snapshot holds what any reader would find.
 */
export class SnapshotKeeper {
  readonly #files: Files;
  readonly #log: Log;
  readonly #paths: { state: string; events: string };
  readonly #reader: RunLogReader;
  #state: RunState;
  #saved: Promise<void> = Promise.resolve();
  #events = 0;

  /** `state` is the fold up to where `reader` stands; the reader stays where it is. */
  constructor(
    { files, log }: { files: Files; log: Log },
    paths: { state: string; events: string },
    reader: RunLogReader,
    state: RunState,
  ) {
    this.#files = files;
    this.#log = log;
    this.#paths = paths;
    this.#reader = new RunLogReader(files, paths.events, reader.standing);
    this.#state = state;
  }

  /** One after the other; each holds at least what was in the log when it was asked for. */
  save(): Promise<void> {
    const saving = this.#saved.then(() => this.#save());
    this.#saved = saving.catch(() => undefined);
    return saving;
  }

  /** For each event of the run; saves now and then, while the run goes on. */
  count(): void {
    if (++this.#events % SAVED_AFTER_EVENTS === 0) void this.saveQuietly();
  }

  /** Never rejects: the run does without. */
  saveQuietly(): Promise<void> {
    return this.save().catch((error: unknown) => {
      this.#log.warn("state.json was not written", { runId: this.#state.runId, error: messageOf(error) });
    });
  }

  async #save(): Promise<void> {
    this.#state = (await this.#reader.readNew()).reduce(applyEvent, this.#state);
    const { runId } = this.#state;
    await writeSnapshot(this.#files, this.#paths.state, {
      schemaVersion: 4,
      runId,
      ...this.#reader.standing,
      state: this.#state,
    });
  }
}
