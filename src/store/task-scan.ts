import type { TaskTraits } from "../metrics/task-window.ts";
import type { TaskColumns } from "./task-columns.ts";
import { isOurs, START, type TaskLineFacts, wordsOf } from "./task-line.ts";
import { parseTaskRecord, type TaskRecord } from "./task-record.ts";

const DAY_MS = 86_400_000;
/** Traits met before, by their sum. */
const SLOTS = 4096;
const DATE_AT = START.length + 36;
const TIME_AT = DATE_AT + 11;
const SECONDS_AT = TIME_AT + 34;
/** A line of another shape moves the words of those behind it: up to here they take the long way. */
const WINDOW_BYTES = 128 * 1024;
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
  const facts = noFacts();
  return isOurs(bytes, wordsOf(bytes), 0, facts) && facts.end * 4 === bytes.length ? parseTaskRecord(text) : null;
}

function noFacts(): TaskLineFacts {
  return { end: 0, traitsAt: 0, traitsEnd: 0, traitsSum: 0 };
}

/** Reads lines into columns. A file of one day holds that day's records; others in it count as bad. */
export class TaskScan {
  readonly #columns: TaskColumns;
  readonly #dayStart: number | null;
  readonly #known: ({ words: Int32Array; id: number } | undefined)[] = new Array(SLOTS).fill(undefined);
  readonly #facts = noFacts();
  #at = 0;
  #date = 0;
  #dateMs = Number.NaN;
  badLines = 0;

  constructor(columns: TaskColumns, dayStart: number | null) {
    this.#columns = columns;
    this.#dayStart = dayStart;
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
    const bytes = part.byteOffset % 4 === 0 ? part : Buffer.from(part);
    const words = wordsOf(bytes);
    for (let at = 0; ; ) {
      if ((at & 3) === 0 && isOurs(bytes, words, at, this.#facts) && this.#take(bytes, words, at)) {
        at += this.#facts.end * 4;
        continue;
      }
      const end = bytes.indexOf(0x0a, at);
      if (end === -1) return at;
      this.#slow(bytes.toString("utf8", at, end));
      at = end + 1;
    }
  }

  /** Of a line of ours. False when the long way has to decide: a number as `1e-7`, a year with five digits. */
  #take(bytes: Buffer, words: Int32Array, start: number): boolean {
    const at = this.#timeAt(bytes, start);
    if (!this.#fits(at)) return false;
    this.#at = start + SECONDS_AT;
    const seconds = this.#number(bytes, ',"tokens":'.length);
    const tokens = this.#number(bytes, ',"cost_usd":'.length);
    const costUsd = this.#number(bytes, ',"wasted_cost_usd":'.length);
    const wastedUsd = this.#number(bytes, 0);
    if (Number.isNaN(seconds + tokens + costUsd + wastedUsd)) return false;
    const id = this.#traits(bytes, words, start);
    if (id === -1) return false;
    this.#columns.add(id, at, seconds, tokens, costUsd, wastedUsd);
    return true;
  }

  #traits(bytes: Buffer, words: Int32Array, start: number): number {
    const { traitsAt, traitsEnd, traitsSum, end } = this.#facts;
    const [from, until] = [(start >> 2) + traitsAt, (start >> 2) + traitsEnd];
    const slot = traitsSum >>> 20;
    const known = this.#known[slot];
    if (known && isSame(known.words, words, from, until)) return known.id;
    const record = parseTaskRecord(bytes.toString("utf8", start, start + end * 4));
    if (!record) return -1;
    const id = this.#columns.idOf(traitsOf(record));
    this.#known[slot] = { words: words.slice(from, until), id };
    return id;
  }

  /** The number that begins here, NaN for those seldom written so; goes on behind it and `skip` characters more. */
  #number(bytes: Buffer, skip: number): number {
    const from = this.#at;
    let [digits, scale, at] = [0, 0, from];
    let code = bytes[at] as number;
    for (; code !== COMMA && code !== SPACE; code = bytes[++at] as number) {
      if (code === POINT) scale = 1;
      else if (code >= ZERO && code <= NINE) {
        digits = digits * 10 + code - ZERO;
        scale *= 10;
      } else return Number.NaN;
    }
    this.#at = at + skip;
    // with more digits the division would not be exact
    if (at - from > 15) return Number(bytes.toString("latin1", from, at));
    return scale === 0 ? digits : digits / scale;
  }

  #timeAt(bytes: Buffer, start: number): number {
    const [y, t] = [start + DATE_AT, start + TIME_AT];
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

function isSame(known: Int32Array, words: Int32Array, from: number, until: number): boolean {
  if (known.length !== until - from) return false;
  for (let i = 0; i < known.length; i++) if (known[i] !== words[from + i]) return false;
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
