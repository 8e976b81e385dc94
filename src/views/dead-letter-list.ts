import type { DeadLetter } from "../store/dead-letter-lines.ts";
import { safeText } from "../system/safe-text.ts";
import { clip, columns, pad } from "./text-width.ts";
import { counted, formatDuration } from "./units.ts";

const GAP = "  ";
/** With fewer columns of it than this, an error says nothing. */
const ERROR_COLUMNS_MIN = 12;

/**
 * One line a letter, in the order given. A column that does not fit is left out, since half a time or half an id would
 * mislead; only the error, which is last, is cut.
 */
export function renderDeadLetters(letters: readonly DeadLetter[], now: number, width: number): string[] {
  if (letters.length === 0) return ["No dead letters are open."];
  const lines = letters.map(() => "");
  let room = width;
  for (const cellOf of CELLS) {
    const cells = letters.map((letter) => cellOf(letter, now));
    const needed = Math.max(...cells.map(columns)) + GAP.length;
    // the id is what every command asks for
    if (needed - GAP.length > room && room < width) continue;
    room -= needed;
    for (const [row, cell] of cells.entries()) lines[row] += pad(cell, needed);
  }
  return lines.map((line, row) => {
    const error = letters[row] && room >= ERROR_COLUMNS_MIN ? firstLine(letters[row]) : "";
    return clip(`${line}${error}`.trimEnd(), width);
  });
}

/** In the order of what is needed most. */
const CELLS: readonly ((letter: DeadLetter, now: number) => string)[] = [
  ({ id }) => id,
  ({ taskId }) => safeText(taskId, { multiline: false }),
  ageOf,
  ({ reason }) => reason,
  ({ runId }) => runId,
  ({ attempts }) => counted(attempts, "attempt"),
];

/** All about one. */
export function renderDeadLetter(letter: DeadLetter, now: number, width: number): string[] {
  const became = letter.status === "redriven" ? `redriven as run ${letter.newRunId}` : letter.status;
  const error = letter.lastError ? `${letter.lastError.kind}: ${letter.lastError.message}` : "no error was told";
  return [
    `${letter.id}  ${became}`,
    `task ${letter.taskId} of run ${letter.runId}`,
    `${letter.reason} after ${counted(letter.attempts, "attempt")}, ${ageOf(letter, now)}`,
    ...safeText(error, { multiline: true }).split("\n"),
  ].map((line) => clip(safeText(line, { multiline: false }), width));
}

function ageOf({ timestamp }: DeadLetter, now: number): string {
  return `${formatDuration(Math.max(0, now - Date.parse(timestamp)))} ago`;
}

function firstLine({ lastError }: DeadLetter): string {
  const text = safeText(lastError?.message ?? "", { multiline: true });
  return (
    text
      .split("\n")
      .find((line) => line.trim() !== "")
      ?.trim() ?? ""
  );
}
