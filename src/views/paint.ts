import { safeText } from "../system/safe-text.ts";
import { clip, columns, fitting, pad, padBefore } from "./text-width.ts";

/** Drawing lines of coloured cells. Whoever has a terminal gives the colours; all text is made safe and cut here. */

export type Tone = "text" | "accent" | "success" | "error" | "warning" | "muted" | "dim";

/** Adds colour and no columns. */
export interface Paint {
  tone(tone: Tone, text: string): string;
  bold(text: string): string;
  /** A whole line that is chosen. */
  chosen(line: string): string;
}

/** For where nobody draws colours. */
export const PLAIN: Paint = { tone: (_tone, text) => text, bold: (text) => text, chosen: (line) => line };

interface StyledCell {
  text: string;
  tone?: Tone;
  bold?: boolean;
  /** Filled before it, as numbers are. */
  right?: boolean;
}

export type Cell = string | StyledCell;

export interface Row {
  cells: readonly Cell[];
  chosen?: boolean;
}

/** How the columns of a table share the width. */
export interface Columns {
  /** The most columns a cell of each may take; 0 for any. */
  limits?: readonly number[];
  /** Which one gives way when there is too little room; else it is the last ones that are cut. */
  shrinks?: number;
}

const GAP = 2;
const CHOSEN = "› ";
const SHRUNK_MIN = 12;

/** One line of cells, one after the other, cut at `width` columns. */
export function drawLine(cells: readonly Cell[], width: number, paint: Paint): string {
  let room = width;
  let line = "";
  for (const cell of cells.map(styled)) {
    if (room <= 0) break;
    const text = clip(safeText(cell.text, { multiline: false }), room);
    room -= columns(text);
    line += painted(cell, text, paint);
  }
  return line;
}

/** Rows whose columns stand below each other. Where one can be chosen, all have room for the mark before it. */
export function drawTable(rows: readonly Row[], width: number, paint: Paint, columnsOf: Columns = {}): string[] {
  const marks = rows.some(({ chosen }) => chosen !== undefined);
  const room = width - (marks ? CHOSEN.length : 0);
  const safe = rows.map(({ cells }) =>
    cells.map(styled).map((cell) => ({ ...cell, text: safeText(cell.text, { multiline: false }) })),
  );
  const widths = widthsOf(safe, room, columnsOf);
  return safe.map((cells, at) => {
    const line = drawCells(cells, widths, room, paint);
    const chosen = rows[at]?.chosen === true;
    if (!marks || room <= 0) return line.text;
    const marked = `${chosen ? paint.tone("accent", CHOSEN) : " ".repeat(CHOSEN.length)}${line.text}`;
    return chosen ? paint.chosen(marked + " ".repeat(line.left)) : marked;
  });
}

function widthsOf(rows: readonly StyledCell[][], room: number, { limits = [], shrinks }: Columns): number[] {
  const count = Math.max(0, ...rows.map((cells) => cells.length));
  const widths = Array.from({ length: count }, (_, at) => {
    const widest = Math.max(0, ...rows.map((cells) => columns(cells[at]?.text ?? "")));
    return limits[at] ? Math.min(widest, limits[at]) : widest;
  });
  const over = widths.reduce((sum, wide) => sum + wide + (wide > 0 ? GAP : 0), -GAP) - room;
  const most = shrinks === undefined ? 0 : (widths[shrinks] ?? 0);
  if (shrinks !== undefined && over > 0) widths[shrinks] = Math.max(Math.min(most, SHRUNK_MIN), most - over);
  return widths;
}

function drawCells(cells: readonly StyledCell[], widths: readonly number[], width: number, paint: Paint) {
  let left = Math.max(0, width);
  let text = "";
  cells.forEach((cell, at) => {
    // a column in which nothing stands takes no room
    const wide = widths[at] ?? 0;
    if (left <= 0 || wide === 0) return;
    const last = at === cells.length - 1;
    const cut = clip(cell.text, Math.min(wide, left));
    const filled = clip(cell.right ? padBefore(cut, wide) : last ? cut : pad(cut, wide), left);
    const gap = last ? "" : " ".repeat(Math.min(GAP, left - columns(filled)));
    left -= columns(filled) + gap.length;
    text += painted(cell, filled, paint) + gap;
  });
  return { text, left };
}

/** The first of `rows` to be drawn of `count`, so that the one at `at` is among them. */
export function firstShown(count: number, at: number, rows: number): number {
  return Math.max(0, Math.min(at - Math.floor(rows / 2), count - rows));
}

/** Lines of at most `width` columns, broken at blanks where there are any, anywhere else. */
export function fold(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/(?<= )(?=[^ ])/)) {
    // an indent stays with its word, which is broken anyway
    if (line.trim() !== "" && columns(`${line}${word}`.trimEnd()) > width) {
      lines.push(line.trimEnd());
      line = "";
    }
    line += word;
    while (columns(line.trimEnd()) > width) {
      const end = fitting(line, width);
      // not even one character fits
      if (end === 0) return [...lines, clip(line, width)];
      lines.push(line.slice(0, end));
      line = line.slice(end);
    }
  }
  return [...lines, line.trimEnd()];
}

/**
 * Text folded so that it goes on `indent` columns further in than it began. Of more than `linesMax` lines, two at
 * least, the last ones before the end are left out, at a `…`: the end of a message is where its remedy stands.
 */
export function foldUnder(
  text: string,
  indent: number,
  width: number,
  linesMax: number = Number.POSITIVE_INFINITY,
): string[] {
  // where there is no room, it may take half of it
  const inner = Math.min(indent, Math.floor(width / 2));
  const begin = fitting(text, inner);
  const room = width - inner;
  const lines = fold(text.slice(begin), room);
  if (lines.length > linesMax)
    lines.splice(linesMax - 2, lines.length - linesMax + 1, clip(`${lines[linesMax - 2]} …`, room));
  return lines.map((line, at) => (at === 0 ? text.slice(0, begin) : " ".repeat(inner)) + line);
}

function styled(cell: Cell): StyledCell {
  return typeof cell === "string" ? { text: cell } : cell;
}

function painted({ tone, bold }: StyledCell, text: string, paint: Paint): string {
  const toned = tone === undefined || tone === "text" ? text : paint.tone(tone, text);
  return bold ? paint.bold(toned) : toned;
}
