import type { TaskTraits } from "../metrics/task-window.ts";
import type { TaskColumns } from "./task-columns.ts";
import { parseTaskRecord, type TaskRecord } from "./task-record.ts";

const KNOWN_MAX = 10_000;
const DAY_MS = 86_400_000;
/** How each of our lines begins; within a text its quotes would be escaped. */
const START = '{"v":1,"created_at":"';

/** As our own lines are written; any other order of fields, and any escape among those that are read, takes the long way. */
const TEXT = '"[^"\\\\\\x00-\\x1f]*"';
const ESCAPED = '"[^"\\\\\\x00-\\x1f]*(?:\\\\(?:["\\\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\\\\x00-\\x1f]*)*"';
const SHORT = '"[^"\\\\\\x00-\\x1f\\x7f-\\xff]{1,200}"';
const NUMBER = "(?:0|[1-9]\\d{0,14})(?:\\.\\d{1,17})?";
const COUNT = "(?:null|0|[1-9]\\d{0,14})";
const LINE = new RegExp(
  `\\{"v":1,"created_at":"\\d{4}-\\d\\d-\\d\\dT(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d\\.\\d{3}Z","status":"(?:completed|failed)",` +
    `"duration_seconds":${NUMBER},"tokens":${NUMBER},"cost_usd":${NUMBER},"wasted_cost_usd":${NUMBER},` +
    `"task_type":${SHORT},"model":${SHORT},"project":${SHORT},"role":${SHORT},"team":${SHORT},"workflow":${SHORT},` +
    `"run_id":${TEXT},"task_id":${TEXT},"node":${TEXT},"exit_code":${COUNT},"attempts":${COUNT},"worker_kind":${TEXT},` +
    `"loc_added":${COUNT},"loc_removed":${COUNT},"files_changed":${COUNT},"artifact_hash":(?:null|${TEXT}),` +
    `"error":(?:null|${ESCAPED}),"retryable":(?:true|false)\\}\\n`,
  "y",
);
const DATE_AT = START.length;
const TIME_AT = DATE_AT + 11;
const STATUS_AT = TIME_AT + 25;
/** Small enough to stay in the processor's cache. */
const WINDOW_BYTES = 128 * 1024;

/** The records in one line: usually one, two when a line was glued to a torn one, which then counts as bad. */
export function recordsIn(line: string): { records: TaskRecord[]; bad: number } {
  if (line.trim() === "") return { records: [], bad: 0 };
  const whole = parseTaskRecord(line);
  if (whole) return { records: [whole], bad: 0 };
  const pieces = line.split(START).map((piece, i) => (i === 0 ? piece : START + piece));
  const records = pieces.flatMap((piece) => parseTaskRecord(piece) ?? []);
  const bad = pieces.filter((piece) => piece !== "").length - records.length;
  return { records, bad };
}

/** Reads lines into columns. A file of one day holds that day's records; others in it count as bad. */
export class TaskScan {
  readonly #columns: TaskColumns;
  readonly #dayStart: number | null;
  readonly #known = new Map<string, [number, number]>();
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

  #window(bytes: Buffer, from: number, until: number): number {
    const text = bytes.toString("latin1", from, until);
    for (let at = 0; ; ) {
      LINE.lastIndex = at;
      if (LINE.test(text) && this.#take(bytes, from, text, at)) {
        at = LINE.lastIndex;
        continue;
      }
      const end = text.indexOf("\n", at);
      if (end === -1) return at;
      this.#slow(bytes.toString("utf8", from + at, from + end));
      at = end + 1;
    }
  }

  /** Of a line in our own layout, at `start` of the text that begins at `base`. False when the long way has to decide. */
  #take(bytes: Buffer, base: number, text: string, start: number): boolean {
    const at = this.#timeAt(bytes, base + start);
    if (!this.#fits(at)) return false;
    const completed = bytes[base + start + STATUS_AT] === 0x63;
    // bytes are read from the buffer: a character of a string costs several times as much
    const cursor = { bytes, at: base + start + STATUS_AT + (completed ? 30 : 27) };
    const seconds = numberAt(cursor, 9);
    const tokens = numberAt(cursor, 11);
    const costUsd = numberAt(cursor, 18);
    const wastedUsd = numberAt(cursor, 0);
    const traits = text.slice(cursor.at - base, text.indexOf(',"run_id":', cursor.at - base));
    const ids = this.#known.get(traits) ?? this.#learn(traits);
    this.#columns.add(completed ? ids[0] : ids[1], at, seconds, tokens, costUsd, wastedUsd);
    return true;
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

  #learn(traits: string): [number, number] {
    const parts = JSON.parse(`{${traits}}`) as TaskRecord;
    const idOf = (status: "completed" | "failed") => this.#columns.idOf(traitsOf({ ...parts, status }));
    const ids: [number, number] = [idOf("completed"), idOf("failed")];
    if (this.#known.size < KNOWN_MAX) this.#known.set(traits, ids);
    return ids;
  }
}

/** Two digits. */
function two(bytes: Buffer, at: number): number {
  return (bytes[at] as number) * 10 + (bytes[at + 1] as number) - 528;
}

/** The number that begins here; goes on behind its comma and `skip` characters, the next field's name. */
function numberAt(cursor: { bytes: Buffer; at: number }, skip: number): number {
  const { bytes, at: from } = cursor;
  let digits = 0;
  let scale = 0;
  let at = from;
  for (let code = bytes[at] as number; code !== 0x2c; code = bytes[++at] as number) {
    if (code === 0x2e) scale = 1;
    else {
      digits = digits * 10 + code - 48;
      scale *= 10;
    }
  }
  cursor.at = at + 1 + skip;
  // with more digits the division would not be exact
  if (at - from > 15) return Number(bytes.toString("latin1", from, at));
  return scale === 0 ? digits : digits / scale;
}

function traitsOf({ status, task_type, model, project, role, team, workflow }: TaskRecord): TaskTraits {
  return { status, taskType: task_type, model, project, role, team, workflow };
}

/** Of `YYYY-MM-DD`, in UTC; NaN when there is no such day. */
export function dayStartOf(date: string): number {
  const start = Date.parse(`${date}T00:00:00.000Z`);
  return !Number.isNaN(start) && new Date(start).toISOString().startsWith(date) ? start : Number.NaN;
}
