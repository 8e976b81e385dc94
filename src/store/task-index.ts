import { codeOf } from "../system/errors.ts";
import type { FileFacts, Files } from "../system/world.ts";
import {
  type ColumnsHead,
  type ColumnsOrigin,
  decodeHead,
  decodeHours,
  headBytesOf,
  PREAMBLE_BYTES,
  TaskColumns,
} from "./task-columns.ts";
import { type HourTogether, readRows, type TimedRows } from "./task-hours.ts";

const TAIL_BYTES = 64;
const INDEX_BYTES_MAX = 2 ** 31;
/** Most heads are shorter. */
const HEAD_BYTES = 16 * 1024;
/** Size and inode of a file that is not there. */
const GONE = -1;

/** What stands before the columns; null without such a file, or when it is damaged. Rejects when it can't be read. */
export async function readIndexHead(files: Files, path: string): Promise<ColumnsHead | null> {
  let bytes = await files.readRange(path, 0, HEAD_BYTES);
  const headBytes = PREAMBLE_BYTES + headBytesOf(bytes ?? new Uint8Array()) + 8;
  if (headBytes > HEAD_BYTES) bytes = await files.readRange(path, 0, headBytes);
  return bytes && decodeHead(bytes);
}

/** All of it; null without such a file, or when it is damaged. Rejects when it can't be read. */
export async function readIndex(files: Files, path: string) {
  const file = await files.read(path, INDEX_BYTES_MAX);
  return file && TaskColumns.decode(file);
}

/** What an index has of one day, to be read in parts. */
export interface IndexedDay {
  hours: HourTogether[];
  /** And perhaps some of other hours; null when they are no longer what they were. */
  rows(hour: HourTogether): Promise<TimedRows | null>;
}

/** Where `head` is what the index there begins with; null when the rest does not go with it, or tells no hours. */
export async function readDay(files: Files, path: string, head: ColumnsHead): Promise<IndexedDay | null> {
  const bytes = await files.readRange(path, head.places.hours, head.hours.bytes).catch(() => null);
  const hours = bytes && decodeHours(head, bytes);
  return hours && hours.length > 0
    ? { hours, rows: (hour) => readRows(files, path, head.places, hour).catch(() => null) }
    : null;
}

/** Of a file with records: the last of its first `bytes`, hex. */
export async function tailAt(files: Files, path: string, bytes: number): Promise<string> {
  const from = Math.max(0, bytes - TAIL_BYTES);
  const tail = await files.readRange(path, from, bytes - from);
  return Buffer.from(tail ?? []).toString("hex");
}

/** Whether it was read from the file that is there now. */
export async function isReadFrom(files: Files, path: string, { bytes, tail }: ColumnsOrigin): Promise<boolean> {
  const facts = files.factsNow(path);
  return facts !== null && bytes <= facts.bytes && tail === (await tailAt(files, path, bytes));
}

/** Another process was first. */
export function unlessThere(error: unknown): void {
  if (codeOf(error) !== "EEXIST") throw error;
}

export function placeOf(facts: FileFacts | null): { bytes: number; inode: number } {
  return facts ?? { bytes: GONE, inode: GONE };
}
