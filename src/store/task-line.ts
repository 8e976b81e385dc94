import { invariant } from "../system/errors.ts";
import type { TaskRecord } from "./task-record.ts";

/**
 * How each of our lines begins; within a text its quotes would be escaped. Hex digits follow, 4 each: where the line ends,
 * where its traits begin and where they end, in words of 4 bytes; and 8: a sum over all behind, line feed included. So a
 * line is known to be whole, and as it was written, without a look at its grammar. Spaces fill up the words.
 */
export const START = '{"v":1,"check":"';
/** The first word that is summed. */
const BODY = (START.length + 20) >> 2;
const LINE_BYTES_MAX = 64 * 1024;
const START_WORDS = new Int32Array(new Uint8Array(Buffer.from(START)).buffer);

/** Of a line, in words from its start. */
export interface TaskLineFacts {
  end: number;
  traitsAt: number;
  traitsEnd: number;
  traitsSum: number;
}

/** With its line feed. */
export function encodeTaskRecord(record: TaskRecord): Uint8Array {
  const { status, task_type, model, project, role, team, workflow } = record;
  const { run_id, task_id, node, exit_code, attempts, worker_kind, loc_added, loc_removed, files_changed } = record;
  const { artifact_hash, error, retryable } = record;
  const head =
    `${START}${"0".repeat(20)}","created_at":"${record.created_at}","duration_seconds":${record.duration_seconds},` +
    `"tokens":${record.tokens},"cost_usd":${record.cost_usd},"wasted_cost_usd":${record.wasted_cost_usd}`;
  const traits = JSON.stringify({ status, task_type, model, project, role, team, workflow });
  const traitsAt = filled(head.length);
  // its two braces are gone, a comma is there
  const traitsBytes = Buffer.byteLength(traits) - 1;
  const traitsEnd = traitsAt + filled(traitsBytes);
  // no spread here: it takes several times as long as all the rest
  const rest = JSON.stringify({
    run_id,
    task_id,
    node,
    exit_code,
    attempts,
    worker_kind,
    loc_added,
    loc_removed,
    files_changed,
    artifact_hash,
    error,
    retryable,
  });
  const restBytes = Buffer.byteLength(rest);
  const bytes = traitsEnd + filled(restBytes + 1);
  invariant(bytes <= LINE_BYTES_MAX, `a task's record has at most ${LINE_BYTES_MAX} bytes`);
  const text =
    head.padEnd(traitsAt) +
    `,${traits.slice(1, -1)}${" ".repeat(traitsEnd - traitsAt - traitsBytes)}` +
    `,${rest.slice(1, -1)}${" ".repeat(bytes - traitsEnd - restBytes - 1)}}\n`;
  const line = Buffer.allocUnsafe(bytes);
  line.write(text);
  const facts = { end: bytes >> 2, traitsAt: traitsAt >> 2, traitsEnd: traitsEnd >> 2, traitsSum: 0 };
  const sum = checkSum(wordsOf(line), 0, facts);
  const parts = [facts.end, facts.traitsAt, facts.traitsEnd, sum >>> 16, sum & 0xffff];
  for (let i = 0; i < parts.length; i++) putHex(line, START.length + 4 * i, parts[i] as number);
  return line;
}

/** Of bytes that begin at a multiple of 4, as those of a new buffer do. */
export function wordsOf({ buffer, byteOffset, length }: Uint8Array): Int32Array {
  return new Int32Array(buffer, byteOffset, length >> 2);
}

/** Whether a whole line of ours begins at this multiple of 4; `facts` are its own then. */
export function isOurs(bytes: Uint8Array, words: Int32Array, at: number, facts: TaskLineFacts): boolean {
  const line = at >> 2;
  for (let i = 0; i < START_WORDS.length; i++) if (words[line + i] !== START_WORDS[i]) return false;
  const digits = at + START.length;
  facts.end = hexAt(bytes, digits, 4);
  facts.traitsAt = hexAt(bytes, digits + 4, 4);
  facts.traitsEnd = hexAt(bytes, digits + 8, 4);
  const { end, traitsAt, traitsEnd } = facts;
  const ordered = BODY < traitsAt && traitsAt < traitsEnd && traitsEnd < end && line + end <= words.length;
  return (
    ordered && hexAt(bytes, digits + 12, 8) === checkSum(words, line, facts) && bytes[(line + end) * 4 - 1] === 0x0a
  );
}

/** Over the words of the line that begins at word `line`; that of its traits alone is put into `facts`. */
function checkSum(words: Int32Array, line: number, facts: TaskLineFacts): number {
  const [traitsAt, traitsEnd] = [line + facts.traitsAt, line + facts.traitsEnd];
  facts.traitsSum = sumOf(words, traitsAt, traitsEnd, 0);
  const seed = sumOf(words, line + BODY, traitsAt, facts.traitsSum);
  return sumOf(words, traitsEnd, line + facts.end, seed);
}

/** Two sums side by side, which a processor works on at the same time. */
export function sumOf(words: Int32Array, from: number, until: number, seed: number): number {
  let a = seed;
  let b = 1;
  let at = from;
  for (; at + 1 < until; at += 2) {
    a = Math.imul(((a << 13) | (a >>> 19)) ^ (words[at] as number), 0x9e3779b1);
    b = Math.imul(((b << 13) | (b >>> 19)) ^ (words[at + 1] as number), 0x85ebca6b);
  }
  if (at < until) a = Math.imul(((a << 13) | (a >>> 19)) ^ (words[at] as number), 0x9e3779b1);
  return Math.imul(a, 0xc2b2ae35) ^ b;
}

function filled(bytes: number): number {
  return (bytes + 3) & ~3;
}

function putHex(bytes: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) bytes[at + i] = "0123456789abcdef".charCodeAt((value >> (12 - 4 * i)) & 15);
}

function hexAt(bytes: Uint8Array, from: number, digits: number): number {
  let value = 0;
  for (let at = from; at < from + digits; at++) {
    const code = bytes[at] as number;
    value = (value << 4) | (code < 0x3a ? code - 0x30 : code - 0x57);
  }
  return value;
}
