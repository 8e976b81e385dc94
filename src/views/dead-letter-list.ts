import type { DeadLetter } from "../store/dead-letter-lines.ts";
import { safeText } from "../system/safe-text.ts";
import { clip, columns, pad } from "./text-width.ts";
import { counted, formatDuration } from "./units.ts";

/** One line a letter, in the order given. */
export function renderDeadLetters(letters: readonly DeadLetter[], now: number, width: number): string[] {
  if (letters.length === 0) return ["No dead letters: no task was given up."];
  const rows = letters.map((letter) => [
    letter.id,
    letter.runId,
    safeText(letter.taskId, { multiline: false }),
    letter.reason,
    counted(letter.attempts, "attempt"),
    ageOf(letter, now),
    firstLine(letter),
  ]);
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => columns(row[at] ?? "")))) ?? [];
  return rows.map((row) =>
    clip(
      row
        .map((cell, at) => pad(cell, widths[at] ?? 0))
        .join("  ")
        .trimEnd(),
      width,
    ),
  );
}

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
