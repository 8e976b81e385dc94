import type { AttemptProgress } from "../runs/execute.ts";
import { codexProgressOf, foldCodexEvent, parseCodexLine } from "./codex-events.ts";
import { emptyTally, foldPiEvent, type PiEvent, type PiTally, parsePiLine, progressOf } from "./pi-events.ts";

/** How the lines of a kind's stdout.log are understood by who was not there. */
export interface LineReader {
  /** Null for a line of which nothing is taken. */
  parse(line: string): PiEvent | null;
  fold(tally: PiTally, event: PiEvent): PiTally;
  progressOf(event: PiEvent): { progress: AttemptProgress; toolCallId: string | null } | null;
}

/** Null where stdout.log holds a program's own output: whatever looks like an event in it is none. */
export function lineReaderOf(kind: string): LineReader | null {
  if (kind === "pi") return { parse: parsePiLine, fold: foldPiEvent, progressOf };
  if (kind === "codex") return { parse: parseCodexLine, fold: foldCodexEvent, progressOf: codexProgressOf };
  return null;
}

/** What the lines of such a log sum up to. */
export function foldLines(kind: string, text: string): PiTally {
  const reader = lineReaderOf(kind);
  let tally = emptyTally;
  if (!reader) return tally;
  for (const line of text.split("\n")) {
    const event = reader.parse(line);
    if (event) tally = reader.fold(tally, event);
  }
  return tally;
}
