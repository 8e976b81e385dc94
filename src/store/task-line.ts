import { invariant } from "../system/errors.ts";
import type { TaskRecord } from "./task-record.ts";

/**
 * How each of our lines begins; within a text its quotes would be escaped. Hex digits follow, 4 to a word of 4 bytes:
 * where the line ends, where its traits begin and where they end, in words; and 8 each: a sum over the traits, and one
 * over all behind the digits, line feed included. So a line is known to be whole, and as it was written, without a look at
 * its grammar. Spaces fill up: a line and its traits begin and end at multiples of 8 bytes.
 */
export const START = '{"v":1,"check":"';
const DIGITS = 28;
/** Where the time stands, in bytes from the line's start. */
export const TIME_AT = START.length + DIGITS + '","created_at":"'.length;
const [BEGIN_0, BEGIN_1, BEGIN_2, BEGIN_3] = wordsOf(new Uint8Array(Buffer.from(START)));
/** Words of a line: the first with digits, and the first that is summed. */
const FACTS = START.length >> 2;
const BODY = (START.length + DIGITS) >> 2;
const LINE_BYTES_MAX = 64 * 1024;
const OPENING = Buffer.from(`${START}${"0".repeat(DIGITS)}"`);
const CLOSING = Buffer.from("}\n");
const HEAD = fieldsOf("created_at", "duration_seconds", "tokens", "cost_usd", "wasted_cost_usd");
const TRAITS = fieldsOf("status", "task_type", "model", "project", "role", "team", "workflow");
const REST = [
  ...fieldsOf("run_id", "task_id", "node", "exit_code", "attempts", "worker_kind", "loc_added", "loc_removed"),
  ...fieldsOf("files_changed", "artifact_hash", "error", "retryable"),
];
const [SPACE, QUOTE, BACKSLASH] = [0x20, 0x22, 0x5c] as const;

/** Of a line, in words from its start. */
export interface TaskLineFacts {
  end: number;
  traitsAt: number;
  traitsEnd: number;
  /** What the line says it is: `isWhole` is to be told what it is. */
  traitsSum: number;
}

export function noFacts(): TaskLineFacts {
  return { end: 0, traitsAt: 0, traitsEnd: 0, traitsSum: 0 };
}

/** Room for one line, to be used again and again. */
export function roomForLine(): Buffer {
  // a text that is cut because it has no room leaves up to 3 bytes, and then the line is seen to be too long
  return Buffer.alloc(LINE_BYTES_MAX + 8);
}

/** With its line feed. The line lies in `room`, where the next one takes its place. */
export function encodeTaskRecord(record: TaskRecord, room = roomForLine()): Uint8Array {
  const headEnd = putFields(room, put(room, 0, OPENING), HEAD, record);
  const traitsAt = fill(room, headEnd, 0);
  const traitsEnd = fill(room, putFields(room, traitsAt, TRAITS, record), 0);
  const end = fill(room, putFields(room, traitsEnd, REST, record), CLOSING.length);
  const bytes = put(room, end, CLOSING);
  invariant(bytes <= LINE_BYTES_MAX, `a task's record has at most ${LINE_BYTES_MAX} bytes`);
  putFacts(wordsOf(room), { end: bytes >> 2, traitsAt: traitsAt >> 2, traitsEnd: traitsEnd >> 2, traitsSum: 0 });
  return room.subarray(0, bytes);
}

/** Returns where it ends. What goes on with bytes here and below takes half as long as with texts. */
function putFields(room: Buffer, from: number, fields: typeof HEAD, record: TaskRecord): number {
  let at = from;
  for (const { name, key } of fields) {
    const value = record[name];
    at = put(room, at, key);
    at = typeof value === "string" ? putQuoted(room, at, value) : putWord(room, at, `${value}`);
  }
  return at;
}

function put(room: Buffer, from: number, bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; i++) room[from + i] = bytes[i] as number;
  return from + bytes.length;
}

/** Of a number, `true` or `null`. */
function putWord(room: Buffer, from: number, text: string): number {
  for (let i = 0; i < text.length; i++) room[from + i] = text.charCodeAt(i);
  return from + text.length;
}

function putQuoted(room: Buffer, from: number, text: string): number {
  room[from] = QUOTE;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    // what JSON escapes, or needs more than one byte
    if (code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH)
      return from + room.write(JSON.stringify(text), from);
    room[from + i + 1] = code;
  }
  room[from + text.length + 1] = QUOTE;
  return from + text.length + 2;
}

/** Up to where `more` bytes from there on end at a multiple of 8. */
function fill(room: Buffer, from: number, more: number): number {
  const until = ((from + more + 7) & ~7) - more;
  for (let at = from; at < until; at++) room[at] = SPACE;
  return until;
}

function putFacts(words: Int32Array, facts: TaskLineFacts): void {
  const traitsSum = sumOf(words, facts.traitsAt, facts.traitsEnd, 0);
  const sum = sumOfOthers(words, 0, facts, traitsSum);
  words[FACTS] = hexWord(facts.end);
  words[FACTS + 1] = hexWord(facts.traitsAt);
  words[FACTS + 2] = hexWord(facts.traitsEnd);
  words[FACTS + 3] = hexWord(traitsSum >>> 16);
  words[FACTS + 4] = hexWord(traitsSum & 0xffff);
  words[FACTS + 5] = hexWord(sum >>> 16);
  words[FACTS + 6] = hexWord(sum & 0xffff);
}

function fieldsOf(...names: (keyof TaskRecord)[]) {
  return names.map((name) => ({ name, key: Buffer.from(`,"${name}":`) }));
}

/** Of bytes that begin at a multiple of 4, as those of a new buffer do. */
export function wordsOf({ buffer, byteOffset, length }: Uint8Array): Int32Array {
  return new Int32Array(buffer, byteOffset, length >> 2);
}

/** Whether one of our lines seems to begin at this word; `facts` are what it says of itself then. */
export function readFacts(words: Int32Array, line: number, facts: TaskLineFacts): boolean {
  if (words[line] !== BEGIN_0 || words[line + 1] !== BEGIN_1) return false;
  if (words[line + 2] !== BEGIN_2 || words[line + 3] !== BEGIN_3) return false;
  const end = numberAt(words, line + FACTS);
  const traitsAt = numberAt(words, line + FACTS + 1);
  const traitsEnd = numberAt(words, line + FACTS + 2);
  const [high, low] = [numberAt(words, line + FACTS + 3), numberAt(words, line + FACTS + 4)];
  facts.end = end;
  facts.traitsAt = traitsAt;
  facts.traitsEnd = traitsEnd;
  facts.traitsSum = (high << 16) | low;
  if (((end | traitsAt | traitsEnd) & 1) !== 0 || (high | low) < 0) return false;
  return BODY < traitsAt && traitsAt < traitsEnd && traitsEnd < end && line + end <= words.length;
}

/** Whether the line is as it was written, provided that its traits have the sum it says. */
export function isWhole(bytes: Uint8Array, words: Int32Array, line: number, facts: TaskLineFacts): boolean {
  const sum = sumOfOthers(words, line, facts, facts.traitsSum);
  if (words[line + FACTS + 5] !== hexWord(sum >>> 16) || words[line + FACTS + 6] !== hexWord(sum & 0xffff))
    return false;
  return bytes[(line + facts.end) * 4 - 1] === 0x0a;
}

export function hasItsTraits(words: Int32Array, line: number, { traitsAt, traitsEnd, traitsSum }: TaskLineFacts) {
  return sumOf(words, line + traitsAt, line + traitsEnd, 0) === traitsSum;
}

/** Over the words of the line that begins at word `line`, but for its traits, whose sum it begins with. */
function sumOfOthers(words: Int32Array, line: number, facts: TaskLineFacts, traitsSum: number): number {
  const head = sumOf(words, line + BODY, line + facts.traitsAt, traitsSum);
  return sumOf(words, line + facts.traitsEnd, line + facts.end, head);
}

/**
 * Four sums side by side, which a processor works on at the same time. One word that is another always changes it. `| 0`
 * here and below tells the compiler that numbers are words, which makes it twice as fast.
 */
export function sumOf(words: Int32Array, from: number, until: number, seed: number): number {
  let a = seed | 0;
  let b = 1;
  let c = 2;
  let d = 3;
  let at = from | 0;
  const end = until | 0;
  for (const last = (end - 3) | 0; at < last; at = (at + 4) | 0) {
    a = Math.imul(((a << 13) | (a >>> 19)) ^ (words[at] as number), 0x9e3779b1);
    b = Math.imul(((b << 13) | (b >>> 19)) ^ (words[(at + 1) | 0] as number), 0x85ebca6b);
    c = Math.imul(((c << 13) | (c >>> 19)) ^ (words[(at + 2) | 0] as number), 0xcc9e2d51);
    d = Math.imul(((d << 13) | (d >>> 19)) ^ (words[(at + 3) | 0] as number), 0x1b873593);
  }
  for (; at < end; at = (at + 1) | 0) a = Math.imul(((a << 13) | (a >>> 19)) ^ (words[at] as number), 0x9e3779b1);
  return Math.imul(Math.imul(Math.imul(a, 0xc2b2ae35) ^ b, 0x27d4eb2f) ^ c, 0x165667b1) ^ d;
}

/** Four hex digits as they stand in a word, from a number of 16 bits. */
function hexWord(value: number): number {
  const digits = (value >>> 12) | (value & 0xf00) | ((value & 0xf0) << 12) | ((value & 0xf) << 24);
  const letters = ((digits + 0x06060606) >>> 4) & 0x01010101;
  return (digits + 0x30303030 + letters * 0x27) | 0;
}

/** Of four hex digits; -1 when they are none. */
function numberAt(words: Int32Array, at: number): number {
  const word = words[at] as number;
  const digits = (word & 0x0f0f0f0f) + ((word >>> 6) & 0x01010101) * 9;
  const pairs = (digits << 4) | (digits >>> 8);
  const value = ((pairs & 0xff) << 8) | ((pairs >>> 16) & 0xff);
  return word === hexWord(value) ? value : -1;
}
