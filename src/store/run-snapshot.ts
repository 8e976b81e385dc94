import { decodeEventLine } from "../events/event-line.ts";
import type { RunState } from "../runs/run-state.ts";
import type { Files } from "../system/world.ts";
import type { LogHealth, LogPosition } from "./run-log-reader.ts";

/** `state.json`: a fold of the log up to a place. Deleting it loses nothing; what does not fit the log is ignored. */
export interface RunSnapshot {
  schemaVersion: 1;
  runId: string;
  position: LogPosition;
  health: LogHealth;
  state: RunState;
}

const LINE_BYTES_MAX = 256 * 1024;

export async function writeSnapshot(files: Files, path: string, snapshot: RunSnapshot): Promise<void> {
  await files.writeAtomic(path, `${JSON.stringify(snapshot)}\n`);
}

/** Null when there is none, or when it is of another run, another version, or not of this log. */
export async function readSnapshot(
  files: Files,
  paths: { state: string; events: string },
  runId: string,
): Promise<RunSnapshot | null> {
  const snapshot = parse(await files.readText(paths.state));
  if (snapshot?.schemaVersion !== 1 || snapshot.runId !== runId || !Array.isArray(snapshot.state?.tasks)) return null;
  return (await fits(files, paths.events, snapshot.position)) ? snapshot : null;
}

/** The line that ends where the snapshot stands must be the event it names. */
async function fits(files: Files, events: string, position: LogPosition): Promise<boolean> {
  const from = Math.max(0, position.bytes - LINE_BYTES_MAX);
  const tail = await files.readRange(events, from, position.bytes - from);
  if (tail === null || tail.byteLength !== position.bytes - from) return false;
  const lines = Buffer.from(tail).toString().split("\n");
  // the last piece is empty: what was folded ends with a line feed
  if (lines.pop() !== "") return position.bytes === 0 && position.seq === 0;
  for (let line = lines.pop(); line !== undefined; line = lines.pop()) {
    const decoded = decodeEventLine(line);
    if (decoded.kind === "event") return decoded.event.seq === position.seq && decoded.event.epoch === position.epoch;
    // unreadable and fenced lines may stand behind the last accepted one
    if (decoded.kind !== "bad") return false;
  }
  return false;
}

function parse(text: string | null): RunSnapshot | null {
  if (text === null) return null;
  try {
    return JSON.parse(text) as RunSnapshot | null;
  } catch {
    return null;
  }
}
