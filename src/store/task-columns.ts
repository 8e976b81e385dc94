import type { TaskTraits } from "../metrics/task-window.ts";

const MAGIC = 0x31544d43;
const PREAMBLE_BYTES = 32;
const ROW_BYTES = 44;
const ROWS_MIN = 256;
/** Combinations told apart in one file; what comes after is one group. */
const TRAITS_MAX = 10_000;
const OTHER = "(other)";

type Numbers = "at" | "seconds" | "tokens" | "costUsd" | "wastedUsd";

/** How far a file was read when its columns were kept. */
interface ColumnsOrigin {
  bytes: number;
  badLines: number;
  /** The last bytes that were read, hex: another file with this name ends otherwise there. */
  tail: string;
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
    const head = Buffer.from(JSON.stringify({ ...origin, traits: this.traits }));
    const headBytes = Math.ceil(head.length / 8) * 8;
    const file = Buffer.alloc(PREAMBLE_BYTES + this.rows * ROW_BYTES + headBytes, " ");
    [MAGIC, this.rows, origin.badLines, head.length].forEach((value, i) => void file.writeUInt32LE(value, i * 4));
    let offset = PREAMBLE_BYTES;
    const put = ({ buffer, BYTES_PER_ELEMENT }: Float64Array | Uint32Array) => {
      offset += Buffer.from(buffer, 0, this.rows * BYTES_PER_ELEMENT).copy(file, offset);
    };
    for (const column of [this.at, this.seconds, this.tokens, this.costUsd, this.wastedUsd, this.trait]) put(column);
    head.copy(file, offset);
    return file;
  }

  /** Null when the bytes are no such file, or not a whole one. */
  static decode(file: Uint8Array): { columns: TaskColumns; origin: ColumnsOrigin } | null {
    const facts = columnsFacts(file);
    if (!facts) return null;
    const { rows, headBytes } = facts;
    const headAt = PREAMBLE_BYTES + rows * ROW_BYTES;
    if (headAt + Math.ceil(headBytes / 8) * 8 !== file.byteLength) return null;
    const columns = new TaskColumns();
    const head = parseHead(Buffer.from(file.subarray(headAt, headAt + headBytes)).toString());
    if (!head) return null;
    for (const traits of head.traits) columns.idOf(traits);
    if (columns.traits.length !== head.traits.length) return null;
    // the numbers are used where they lie; typed arrays want them at multiples of their size
    const { buffer, byteOffset } = file.byteOffset % 8 === 0 ? file : new Uint8Array(file);
    let offset = byteOffset + PREAMBLE_BYTES;
    for (const name of ["at", "seconds", "tokens", "costUsd", "wastedUsd"] satisfies Numbers[]) {
      columns[name] = new Float64Array(buffer as ArrayBuffer, offset, rows);
      offset += rows * 8;
    }
    columns.trait = new Uint32Array(buffer as ArrayBuffer, offset, rows);
    columns.rows = rows;
    return columns.trait.every((id) => id < head.traits.length) ? { columns, origin: head } : null;
  }
}

/** What the first bytes tell; null when they are not of such a file. */
function columnsFacts(file: Uint8Array): { rows: number; headBytes: number } | null {
  if (file.byteLength < PREAMBLE_BYTES) return null;
  const view = new DataView(file.buffer, file.byteOffset, PREAMBLE_BYTES);
  const [magic, rows, , headBytes] = [0, 4, 8, 12].map((at) => view.getUint32(at, true)) as [number, number, 0, number];
  return magic === MAGIC ? { rows, headBytes } : null;
}

function parseHead(text: string): (ColumnsOrigin & { traits: TaskTraits[] }) | null {
  try {
    const head = JSON.parse(text) as ColumnsOrigin & { traits: TaskTraits[] };
    const counts = Number.isSafeInteger(head.bytes) && Number.isSafeInteger(head.badLines);
    const complete = counts && typeof head.tail === "string" && Array.isArray(head.traits);
    return complete && head.traits.every(({ model, taskType }) => typeof `${model}${taskType}` === "string")
      ? head
      : null;
  } catch {
    return null;
  }
}
