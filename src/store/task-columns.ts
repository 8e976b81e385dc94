import { DurationBins } from "../metrics/duration-bins.ts";
import type { TaskTraits } from "../metrics/task-window.ts";
import { sumOf } from "./task-line.ts";

const MAGIC = 0x33544d43;
/** A magic number, the length of the head, a sum over the head, one over the columns. */
export const PREAMBLE_BYTES = 16;
const ROW_BYTES = 44;
const ROWS_MIN = 256;
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

/** What stands before the columns: enough for who asks about all of them together. */
export interface ColumnsHead extends ColumnsOrigin {
  rows: number;
  traits: TaskTraits[];
  /** Of each of the traits: how many rows, and their seconds in all. */
  counts: number[];
  seconds: number[];
  bins: ReturnType<DurationBins["bins"]>;
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

  encode(origin: ColumnsOrigin): Uint8Array {
    const head = Buffer.from(JSON.stringify(this.#headOf(origin)));
    const columnsAt = PREAMBLE_BYTES + Math.ceil(head.length / 8) * 8;
    const file = Buffer.allocUnsafe(columnsAt + this.rows * ROW_BYTES);
    head.copy(file.fill(" ", 0, columnsAt), PREAMBLE_BYTES);
    let offset = columnsAt;
    for (const column of [this.at, this.seconds, this.tokens, this.costUsd, this.wastedUsd, this.trait]) {
      const { buffer, byteOffset, BYTES_PER_ELEMENT } = column;
      offset += Buffer.from(buffer, byteOffset, this.rows * BYTES_PER_ELEMENT).copy(file, offset);
    }
    const sums = [sumBetween(file, PREAMBLE_BYTES, columnsAt), sumBetween(file, columnsAt, file.length)];
    [MAGIC, head.length, ...sums].forEach((value, i) => void file.writeInt32LE(value, i * 4));
    return file;
  }

  #headOf(origin: ColumnsOrigin): ColumnsHead {
    const [counts, seconds] = [this.traits.map(() => 0), this.traits.map(() => 0)];
    const durations = new DurationBins(0);
    for (let row = 0; row < this.rows; row++) {
      const [id, took] = [this.trait[row] as number, this.seconds[row] as number];
      counts[id] = (counts[id] as number) + 1;
      seconds[id] = (seconds[id] as number) + took;
      durations.add(took);
    }
    return { ...origin, rows: this.rows, traits: this.traits, counts, seconds, bins: durations.bins() };
  }

  /** Null when the bytes are no such file, not a whole one, or damaged. */
  static decode(bytes: Uint8Array): { columns: TaskColumns; origin: ColumnsOrigin } | null {
    // the numbers are used where they lie; typed arrays want them at multiples of their size
    const file = bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes);
    const head = decodeHead(file);
    const columnsAt = PREAMBLE_BYTES + Math.ceil(headBytesOf(file) / 8) * 8;
    if (!head || columnsAt + head.rows * ROW_BYTES !== file.length) return null;
    const preamble = new DataView(file.buffer, file.byteOffset, PREAMBLE_BYTES);
    if (preamble.getInt32(12, true) !== sumBetween(file, columnsAt, file.length)) return null;
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

/** How many bytes the beginning has that `decodeHead` needs; 0 when it is none of such a file. */
export function headBytesOf(file: Uint8Array): number {
  if (file.length < PREAMBLE_BYTES) return 0;
  const view = new DataView(file.buffer, file.byteOffset, PREAMBLE_BYTES);
  return view.getInt32(0, true) === MAGIC ? Math.max(0, view.getInt32(4, true)) : 0;
}

/** Null when it is damaged. */
export function decodeHead(file: Uint8Array): ColumnsHead | null {
  const end = PREAMBLE_BYTES + Math.ceil(headBytesOf(file) / 8) * 8;
  if (end === PREAMBLE_BYTES || file.length < end) return null;
  const view = new DataView(file.buffer, file.byteOffset, PREAMBLE_BYTES);
  if (view.getInt32(8, true) !== sumBetween(file, PREAMBLE_BYTES, end)) return null;
  return JSON.parse(Buffer.from(file.buffer, file.byteOffset + PREAMBLE_BYTES, end - PREAMBLE_BYTES).toString());
}

/** Between multiples of 4. */
function sumBetween(file: Uint8Array, from: number, until: number): number {
  return sumOf(new Int32Array(file.buffer, file.byteOffset, until >> 2), from >> 2, until >> 2, 1);
}
