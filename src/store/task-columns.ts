import type { TaskTraits } from "../metrics/task-window.ts";
import { type ColumnPlaces, type HourTogether, hoursOf, type RowsTogether, sumOfParts } from "./task-hours.ts";
import { sumOf } from "./task-line.ts";

const MAGIC = 0x34544d43;
/** A magic number, the length of the head, a sum over the head, one over the columns. */
export const PREAMBLE_BYTES = 16;
const ROW_BYTES = 44;
const ROWS_MIN = 256;
/** Fewer are read one by one, before their hours would be. */
const ROWS_BY_HOUR = 20_000;
/** Combinations told apart in one file; what comes after is one group. */
const TRAITS_MAX = 10_000;
const OTHER = "(other)";

type Numbers = "at" | "seconds" | "tokens" | "costUsd" | "wastedUsd";

/** How far a file was read when its columns were kept. */
export interface ColumnsOrigin {
  bytes: number;
  badLines: number;
  /** The last bytes that were read, hex: another file with this name ends otherwise there. */
  tail: string;
}

interface WrittenHead extends ColumnsOrigin, RowsTogether {
  rows: number;
  traits: TaskTraits[];
  /** Of the text behind the columns, an array of `HourTogether`. */
  hours: { bytes: number; sum: number };
}

/** What stands before the columns: enough for who asks about all of them together. */
export interface ColumnsHead extends WrittenHead {
  places: ColumnPlaces & { hours: number };
}

/** The records of one file as columns, in the file's order. */
export class TaskColumns {
  rows = 0;
  readonly traits: TaskTraits[] = [];
  readonly #ids = new Map<string, number>();
  /** Which of `traits` a row has. */
  trait = new Uint32Array(ROWS_MIN);
  /** When the task ended, milliseconds since 1970. */
  at = new Float64Array(ROWS_MIN);
  seconds = new Float64Array(ROWS_MIN);
  tokens = new Float64Array(ROWS_MIN);
  costUsd = new Float64Array(ROWS_MIN);
  wastedUsd = new Float64Array(ROWS_MIN);

  idOf(traits: TaskTraits): number {
    const { status, taskType, model, project, role, team, workflow } = traits;
    const key = JSON.stringify([status, taskType, model, project, role, team, workflow]);
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    if (this.traits.length >= TRAITS_MAX && model !== OTHER) {
      const other = { taskType: OTHER, model: OTHER, project, role: OTHER, team: OTHER, workflow: OTHER };
      return this.idOf({ status, ...other });
    }
    this.#ids.set(key, this.traits.length);
    return this.traits.push({ status, taskType, model, project, role, team, workflow }) - 1;
  }

  add(trait: number, at: number, seconds: number, tokens: number, costUsd: number, wastedUsd: number): void {
    const row = this.rows++;
    if (row >= this.at.length) this.#grow(row * 2);
    this.trait[row] = trait;
    this.at[row] = at;
    this.seconds[row] = seconds;
    this.tokens[row] = tokens;
    this.costUsd[row] = costUsd;
    this.wastedUsd[row] = wastedUsd;
  }

  /** Room for so many rows, which spares growing step by step. */
  reserve(rows: number): void {
    if (rows > this.at.length) this.#grow(rows);
  }

  #grow(rows: number): void {
    const trait = new Uint32Array(rows);
    trait.set(this.trait);
    this.trait = trait;
    for (const name of ["at", "seconds", "tokens", "costUsd", "wastedUsd"] satisfies Numbers[]) {
      const wider = new Float64Array(rows);
      wider.set(this[name]);
      this[name] = wider;
    }
  }

  /** `dayStart` is null where records may be of any time: their hours are not told apart, nor are those of few. */
  encode(origin: ColumnsOrigin, dayStart: number | null): Uint8Array {
    const { rows, traits } = this;
    const byHour = rows < ROWS_BY_HOUR ? null : dayStart;
    const parts = hoursOf(this, traits.length, rows, byHour);
    const hours = padded(byHour === null ? [] : parts);
    const about = { bytes: hours.length, sum: sumOfText(hours) };
    const written: WrittenHead = { ...origin, rows, traits, ...sumOfParts(parts, traits.length), hours: about };
    const head = Buffer.from(JSON.stringify(written));
    const columnsAt = PREAMBLE_BYTES + Math.ceil(head.length / 8) * 8;
    const columnsEnd = columnsAt + this.rows * ROW_BYTES;
    const file = Buffer.allocUnsafe(columnsEnd + hours.length);
    head.copy(file.fill(" ", 0, columnsAt), PREAMBLE_BYTES);
    hours.copy(file, columnsEnd);
    let offset = columnsAt;
    for (const column of [this.at, this.seconds, this.tokens, this.costUsd, this.wastedUsd, this.trait]) {
      const { buffer, byteOffset, BYTES_PER_ELEMENT } = column;
      offset += Buffer.from(buffer, byteOffset, this.rows * BYTES_PER_ELEMENT).copy(file, offset);
    }
    const sums = [sumBetween(file, PREAMBLE_BYTES, columnsAt), sumBetween(file, columnsAt, columnsEnd)];
    [MAGIC, head.length, ...sums].forEach((value, i) => void file.writeInt32LE(value, i * 4));
    return file;
  }

  /** Null when the bytes are no such file, not a whole one, or damaged. */
  static decode(bytes: Uint8Array): { columns: TaskColumns; origin: ColumnsOrigin } | null {
    // the numbers are used where they lie; typed arrays want them at multiples of their size
    const file = bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes);
    const head = decodeHead(file);
    const columnsAt = columnsAtIn(file);
    const columnsEnd = columnsAt + (head?.rows ?? 0) * ROW_BYTES;
    if (!head || columnsEnd + head.hours.bytes !== file.length) return null;
    const preamble = new DataView(file.buffer, file.byteOffset, PREAMBLE_BYTES);
    if (preamble.getInt32(12, true) !== sumBetween(file, columnsAt, columnsEnd)) return null;
    if (head.hours.sum !== sumBetween(file, columnsEnd, file.length)) return null;
    const columns = new TaskColumns();
    for (const traits of head.traits) columns.idOf(traits);
    let offset = file.byteOffset + columnsAt;
    for (const name of ["at", "seconds", "tokens", "costUsd", "wastedUsd"] satisfies Numbers[]) {
      columns[name] = new Float64Array(file.buffer as ArrayBuffer, offset, head.rows);
      offset += head.rows * 8;
    }
    columns.trait = new Uint32Array(file.buffer as ArrayBuffer, offset, head.rows);
    columns.rows = head.rows;
    return { columns, origin: head };
  }
}

/** How many bytes the text of the head has; 0 when it is none of such a file. */
export function headBytesOf(file: Uint8Array): number {
  if (file.length < PREAMBLE_BYTES) return 0;
  const view = new DataView(file.buffer, file.byteOffset, PREAMBLE_BYTES);
  return view.getInt32(0, true) === MAGIC ? Math.max(0, view.getInt32(4, true)) : 0;
}

/** Null when it is damaged. */
export function decodeHead(file: Uint8Array): ColumnsHead | null {
  const end = columnsAtIn(file);
  if (end === PREAMBLE_BYTES || file.length < end) return null;
  const view = new DataView(file.buffer, file.byteOffset, PREAMBLE_BYTES);
  if (view.getInt32(8, true) !== sumBetween(file, PREAMBLE_BYTES, end)) return null;
  const text = Buffer.from(file.buffer, file.byteOffset + PREAMBLE_BYTES, end - PREAMBLE_BYTES).toString();
  const head = JSON.parse(text) as WrittenHead;
  const { rows } = head;
  // five columns of 8 bytes a row, and one of 4
  const places = { at: end, seconds: end + rows * 8, trait: end + rows * 40, hours: end + rows * ROW_BYTES };
  return { ...head, places };
}

function columnsAtIn(file: Uint8Array): number {
  return PREAMBLE_BYTES + Math.ceil(headBytesOf(file) / 8) * 8;
}

/** Null when it is damaged. */
export function decodeHours({ hours }: ColumnsHead, bytes: Uint8Array): HourTogether[] | null {
  const text = Buffer.from(bytes);
  return text.length === hours.bytes && sumOfText(text) === hours.sum ? JSON.parse(text.toString()) : null;
}

/** With blanks to a multiple of 8. */
function padded(value: unknown): Buffer {
  const text = JSON.stringify(value);
  return Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
}

function sumOfText(text: Buffer): number {
  return sumBetween(new Uint8Array(text), 0, text.length);
}

/** Between multiples of 4. */
function sumBetween(file: Uint8Array, from: number, until: number): number {
  return sumOf(new Int32Array(file.buffer, file.byteOffset, until >> 2), from >> 2, until >> 2, 1);
}
