import type { TaskTraits } from "../metrics/task-window.ts";
import type { TaskColumns } from "./task-columns.ts";
import { hasItsTraits, isWhole, noFacts, readFacts, START, TIME_AT, wordsOf } from "./task-line.ts";
import { parseTaskRecord, type TaskRecord } from "./task-record.ts";

const DAY_MS = 86_400_000;
/** Traits met before, by their sum. */
const SLOTS = 4096;
const SECONDS_AT = TIME_AT + '2026-01-01T00:00:00.000Z","duration_seconds":'.length;
/** A line of another shape moves the words of those behind it: up to here they take the long way. */
const WINDOW_BYTES = 128 * 1024;
/** So many digits fit a word. */
const DIGITS_MAX = 9;
/** With more the division would not be exact. */
const EXACT_DIGITS_MAX = 15;
const POWERS = Float64Array.from({ length: EXACT_DIGITS_MAX + 1 }, (_, power) => 10 ** power);
const [SPACE, COMMA, POINT, ZERO, NINE] = [0x20, 0x2c, 0x2e, 0x30, 0x39] as const;

/** The records in one line: usually one, two when a line was glued to a torn one, which then counts as bad. */
export function recordsIn(line: string): { records: TaskRecord[]; bad: number } {
  if (line.trim() === "") return { records: [], bad: 0 };
  const whole = pieceOf(line);
  if (whole) return { records: [whole], bad: 0 };
  const pieces = line.split(START).map((piece, i) => (i === 0 ? piece : START + piece));
  const records = pieces.flatMap((piece) => pieceOf(piece) ?? []);
  const bad = pieces.filter((piece) => piece !== "").length - records.length;
  return { records, bad };
}

/** Our own lines say themselves whether they are as they were written; of others their grammar must be right. */
function pieceOf(text: string): TaskRecord | null {
  if (!text.startsWith(START)) return parseTaskRecord(text);
  const bytes = Buffer.from(`${text}\n`);
  const [words, facts] = [wordsOf(bytes), noFacts()];
  if (!readFacts(words, 0, facts) || facts.end * 4 !== bytes.length || !hasItsTraits(words, 0, facts)) return null;
  return isWhole(bytes, words, 0, facts) ? parseTaskRecord(text) : null;
}

/** Reads lines into columns. A file of one day holds that day's records; others in it count as bad. */
export class TaskScan {
  readonly #columns: TaskColumns;
  readonly #dayStart: number | null;
  readonly #known: ({ pairs: Float64Array; sum: number; id: number } | undefined)[] = new Array(SLOTS).fill(undefined);
  readonly #facts = noFacts();
  #at = 0;
  #date = 0;
  #dateMs = Number.NaN;
  /** Within a line that is longer than a piece. */
  isWithinLine = false;
  badLines = 0;

  constructor(columns: TaskColumns, dayStart: number | null) {
    this.#columns = columns;
    this.#dayStart = dayStart;
  }

  /** Returns how many bytes were read. A line that is longer than a piece of full size counts as bad. */
  piece(bytes: Buffer, isFull: boolean): number {
    if (this.isWithinLine) {
      const end = bytes.indexOf(0x0a);
      this.isWithinLine = end === -1;
      return end === -1 ? bytes.length : end + 1;
    }
    const read = this.lines(bytes);
    if (read > 0 || !isFull) return read;
    this.badLines++;
    this.isWithinLine = true;
    return bytes.length;
  }

  /** Returns how many bytes were read: to the end of the last whole line. */
  lines(bytes: Buffer): number {
    let from = 0;
    for (let room = WINDOW_BYTES; from < bytes.length; ) {
      const until = Math.min(bytes.length, from + room);
      const read = this.#window(bytes, from, until);
      if (read === 0 && until === bytes.length) break;
      // a line longer than the window
      room = read === 0 ? room * 2 : WINDOW_BYTES;
      from += read;
    }
    return from;
  }

  #window(whole: Buffer, from: number, until: number): number {
    const part = whole.subarray(from, until);
    const bytes = part.byteOffset % 8 === 0 ? part : Buffer.from(part);
    const words = wordsOf(bytes);
    const pairs = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length >> 3);
    for (let at = 0; ; ) {
      if ((at & 7) === 0 && readFacts(words, at >> 2, this.#facts) && this.#take(bytes, words, pairs, at)) {
        at += this.#facts.end * 4;
        continue;
      }
      const end = bytes.indexOf(0x0a, at);
      if (end === -1) return at;
      this.#slow(bytes.toString("utf8", at, end));
      at = end + 1;
    }
  }

  /**
   * Of what seems to be a line of ours. False when the long way has to decide: a damaged line, a number as `1e-7`, a year
   * with five digits.
   */
  #take(bytes: Buffer, words: Int32Array, pairs: Float64Array, start: number): boolean {
    const id = this.#traits(bytes, words, pairs, start);
    if (id === -1 || !isWhole(bytes, words, start >> 2, this.#facts)) return false;
    const at = this.#timeAt(bytes, start + TIME_AT);
    if (!this.#fits(at)) return false;
    this.#at = start + SECONDS_AT;
    const seconds = this.#number(bytes, ',"tokens":'.length);
    const tokens = this.#number(bytes, ',"cost_usd":'.length);
    const costUsd = this.#number(bytes, ',"wasted_cost_usd":'.length);
    const wastedUsd = this.#number(bytes, 0);
    if (Number.isNaN(seconds + tokens + costUsd + wastedUsd)) return false;
    this.#columns.add(id, at, seconds, tokens, costUsd, wastedUsd);
    return true;
  }

  /** Traits that were met before are compared, two words at once, and need neither be summed nor parsed. */
  #traits(bytes: Buffer, words: Int32Array, pairs: Float64Array, start: number): number {
    const { traitsAt, traitsEnd, traitsSum, end } = this.#facts;
    const line = start >> 2;
    const [from, until] = [(line + traitsAt) >> 1, (line + traitsEnd) >> 1];
    const slot = traitsSum >>> 20;
    const known = this.#known[slot];
    if (known && known.sum === traitsSum && isSame(known.pairs, pairs, from, until)) return known.id;
    if (!hasItsTraits(words, line, this.#facts) || !isWhole(bytes, words, line, this.#facts)) return -1;
    const record = parseTaskRecord(bytes.toString("utf8", start, start + end * 4));
    if (!record) return -1;
    const id = this.#columns.idOf(traitsOf(record));
    this.#known[slot] = { pairs: pairs.slice(from, until), sum: traitsSum, id };
    return id;
  }

  /** The number that begins here, NaN for those seldom written so; goes on behind it and `skip` characters more. */
  #number(bytes: Buffer, skip: number): number {
    const from = this.#at;
    let at = from;
    let digits = 0;
    let decimals = 0;
    let code = bytes[at] as number;
    for (; code >= ZERO && code <= NINE; code = bytes[++at] as number)
      digits = (Math.imul(digits, 10) + code - ZERO) | 0;
    if (code === POINT) {
      const point = at;
      code = bytes[++at] as number;
      for (; code >= ZERO && code <= NINE; code = bytes[++at] as number)
        digits = (Math.imul(digits, 10) + code - ZERO) | 0;
      decimals = at - point - 1;
    }
    if (code !== COMMA && code !== SPACE) return Number.NaN;
    this.#at = at + skip;
    if (at - from > DIGITS_MAX) return longNumber(bytes, from, at, decimals);
    return decimals === 0 ? digits : digits / (POWERS[decimals] as number);
  }

  #timeAt(bytes: Buffer, y: number): number {
    const t = y + "2026-01-01T".length;
    const date = two(bytes, y) * 1_000_000 + two(bytes, y + 2) * 10_000 + two(bytes, y + 5) * 100 + two(bytes, y + 8);
    if (date !== this.#date) {
      this.#date = date;
      this.#dateMs = dayStartOf(bytes.toString("latin1", y, y + 10));
    }
    const seconds = two(bytes, t) * 3600 + two(bytes, t + 3) * 60 + two(bytes, t + 6);
    return this.#dateMs + seconds * 1000 + ((bytes[t + 9] as number) - 48) * 100 + two(bytes, t + 10);
  }

  #fits(at: number): boolean {
    if (Number.isNaN(at)) return false;
    return this.#dayStart === null || (at >= this.#dayStart && at < this.#dayStart + DAY_MS);
  }

  #slow(line: string): void {
    const { records, bad } = recordsIn(line);
    this.badLines += bad;
    for (const record of records) {
      const at = Date.parse(record.created_at);
      if (!this.#fits(at)) {
        this.badLines++;
        continue;
      }
      const { duration_seconds, tokens, cost_usd, wasted_cost_usd } = record;
      const id = this.#columns.idOf(traitsOf(record));
      this.#columns.add(id, at, duration_seconds, tokens, cost_usd, wasted_cost_usd);
    }
  }
}

function longNumber(bytes: Buffer, from: number, until: number, decimals: number): number {
  if (until - from > EXACT_DIGITS_MAX) return Number(bytes.toString("latin1", from, until));
  let digits = 0;
  for (let at = from; at < until; at++) if (bytes[at] !== POINT) digits = digits * 10 + (bytes[at] as number) - ZERO;
  return digits / (POWERS[decimals] as number);
}

/** Of numbers that are texts: none of them is `NaN`, or else they are not the same. */
function isSame(known: Float64Array, pairs: Float64Array, from: number, until: number): boolean {
  if (known.length !== until - from) return false;
  for (let i = 0, at = from | 0; at < until; i = (i + 1) | 0, at = (at + 1) | 0)
    if (known[i] !== pairs[at]) return false;
  return true;
}

/** Two digits. */
function two(bytes: Buffer, at: number): number {
  return (bytes[at] as number) * 10 + (bytes[at + 1] as number) - 528;
}

function traitsOf({ status, task_type, model, project, role, team, workflow }: TaskRecord): TaskTraits {
  return { status, taskType: task_type, model, project, role, team, workflow };
}

/** Of `YYYY-MM-DD`, in UTC; NaN when there is no such day. */
export function dayStartOf(date: string): number {
  const start = Date.parse(`${date}T00:00:00.000Z`);
  return !Number.isNaN(start) && new Date(start).toISOString().startsWith(date) ? start : Number.NaN;
}
