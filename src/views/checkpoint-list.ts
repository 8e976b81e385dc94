import { safeText } from "../system/safe-text.ts";
import { clip, columns, pad } from "./text-width.ts";
import { counted, formatCount, formatDuration } from "./units.ts";

export interface CheckpointRow {
  taskId: string;
  attempt: number;
  seq: number;
  /** ISO 8601. */
  createdAt: string;
  why: string;
  hint: string;
  files: number;
  /** Null when its patch is not kept. */
  bytes: number | null;
}

const WHY: Readonly<Record<string, string>> = {
  end: "at the attempt's end",
  demand: "when asked for",
  backup: "what a restore or a new attempt replaced",
};

/** One line a checkpoint, in the order given. */
export function renderCheckpoints(rows: readonly CheckpointRow[], now: number, width: number): string[] {
  const cells = rows.map((row) => [
    one(row.taskId),
    String(row.seq),
    row.attempt === 0 ? "before" : `attempt ${row.attempt}`,
    `${formatDuration(Math.max(0, now - Date.parse(row.createdAt)))} ago`,
    counted(row.files, "file"),
    row.bytes === null ? "no patch, too large" : `${formatCount(row.bytes)} bytes`,
    one(row.hint === "" ? (WHY[row.why] ?? row.why) : row.hint),
  ]);
  const table = [["task", "number", "of", "when", "files", "patch", "kept"], ...cells];
  const widths = table[0]?.map((_, at) => Math.max(...table.map((line) => columns(line[at] ?? "")))) ?? [];
  const drawn = (line: readonly string[]) => line.map((cell, at) => pad(cell, widths[at] ?? 0)).join("  ");
  return table.map((line) => clip(drawn(line).trimEnd(), width));
}

function one(text: string): string {
  return safeText(text, { multiline: false });
}
