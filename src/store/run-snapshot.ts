import { decodeEventLine, openSealedLine, sealedLine } from "../events/event-line.ts";
import type { RunState } from "../runs/run-state.ts";
import type { Files } from "../system/world.ts";
import type { LogHealth, LogPosition } from "./run-log-reader.ts";

/**
 * `state.json`: a fold of the log up to a place, sealed like its events. Deleting it loses nothing; what is damaged or
 * does not fit the log is ignored.
 */
export interface RunSnapshot {
  schemaVersion: 1;
  runId: string;
  position: LogPosition;
  health: LogHealth;
  state: RunState;
}

const LINE_BYTES_MAX = 256 * 1024;

export async function writeSnapshot(files: Files, path: string, snapshot: RunSnapshot): Promise<void> {
  await files.writeAtomic(path, sealedLine(snapshot));
}

/** Null when there is none, or when it is damaged, of another run, another version, or not of this log. */
export async function readSnapshot(
  files: Files,
  paths: { state: string; events: string },
  runId: string,
): Promise<RunSnapshot | null> {
  // the seal vouches that this is what writeSnapshot wrote
  const snapshot = openSealedLine((await files.readText(paths.state))?.trimEnd() ?? "") as RunSnapshot | null;
  if (snapshot?.schemaVersion !== 1 || snapshot.runId !== runId) return null;
  return (await fits(files, paths.events, snapshot.position)) ? snapshot : null;
}

/** The line that ends where the snapshot stands must be the event it names. */
async function fits(files: Files, events: string, position: LogPosition): Promise<boolean> {
  const from = Math.max(0, position.bytes - LINE_BYTES_MAX);
  const tail = await files.readRange(events, from, position.bytes - from);
  if (tail === null || tail.byteLength !== position.bytes - from) return false;
  const lines = Buffer.from(tail).toString().split("\n");
  // the last piece is empty: what was folded ends with a line feed
  if (lines.pop() !== "") return false;
  for (let line = lines.pop(); line !== undefined; line = lines.pop()) {
    const decoded = decodeEventLine(line);
    if (decoded.kind === "event") return decoded.event.seq === position.seq && decoded.event.epoch === position.epoch;
    // unreadable and fenced lines may stand behind the last accepted one
    if (decoded.kind !== "bad") return false;
  }
  return false;
}
