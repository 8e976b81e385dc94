import { basename, dirname } from "node:path";
import type { AppendHandle, Files } from "../system/world.ts";

/**
 * What no longer fits into a log: `stdout.1.log`, `stdout.2.log`, …, of which the newest two stay. The log itself keeps its
 * begin and is never renamed nor cut, since owners read events from it by their place, each once, also after a crash.
 */

export const SEGMENT_BYTES_MAX = 8 * 1024 * 1024;
const SEGMENTS_KEPT = 2;

export class LogTail {
  readonly #open: (number: number) => AppendHandle | null;
  readonly #forget: (number: number) => void;
  readonly #segmentBytesMax: number;
  #current: AppendHandle | null = null;
  #number = 0;
  #bytes = 0;

  /** `open` gives null where that is not possible now: the segment before grows on, and without one nothing is kept. */
  constructor(
    open: (number: number) => AppendHandle | null,
    forget: (number: number) => void,
    segmentBytesMax: number,
  ) {
    this.#open = open;
    this.#forget = forget;
    this.#segmentBytesMax = segmentBytesMax;
  }

  /** Ends a segment after what makes it full: lines stay whole. */
  write(data: string | Uint8Array): void {
    if (this.#current === null || this.#bytes >= this.#segmentBytesMax) this.#begin();
    this.#current?.write(data);
    this.#bytes += typeof data === "string" ? Buffer.byteLength(data) : data.byteLength;
  }

  async sync(): Promise<void> {
    await this.#current?.sync();
  }

  close(): void {
    this.#current?.close();
    this.#current = null;
  }

  #begin(): void {
    const next = this.#open(this.#number + 1);
    if (next === null) return;
    this.#current?.close();
    this.#current = next;
    this.#number += 1;
    this.#bytes = 0;
    if (this.#number > SEGMENTS_KEPT) this.#forget(this.#number - SEGMENTS_KEPT);
  }
}

/** `stdout.2.log` for `stdout.log` and 2. */
export function segmentPath(log: string, number: number): string {
  return log.replace(/\.log$/, `.${number}.log`);
}

/** The number of the newest segment of a log; 0 when all of it is in the log itself. */
export async function newestSegment(files: Files, log: string): Promise<number> {
  const name = new RegExp(`^${basename(log, ".log")}\\.(\\d{1,9})\\.log$`);
  const numbers = (await files.list(dirname(log))).map((entry) => Number(name.exec(entry)?.[1] ?? 0));
  return Math.max(0, ...numbers);
}

/** Up to `bytesMax` bytes of the end of a log: of its newest segment, and of the one before where that is shorter. */
export async function readLogEnd(files: Files, log: string, number: number, bytesMax: number): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let left = bytesMax;
  for (const at of number === 0 ? [0] : [number, number - 1]) {
    const path = at === 0 ? log : segmentPath(log, at);
    const size = files.factsNow(path)?.bytes ?? 0;
    const from = Math.max(0, size - left);
    const bytes = left > 0 ? await files.readRange(path, from, size - from) : null;
    pieces.unshift(bytes ?? new Uint8Array());
    left -= bytes?.byteLength ?? 0;
  }
  return Buffer.concat(pieces);
}

/** Changes when a log whose newest segment is `number` has grown, or has another by now. */
export function logVersion(files: Files, log: string, number: number): string {
  const paths = [log, segmentPath(log, Math.max(1, number)), segmentPath(log, number + 1)];
  return paths.map((path) => files.factsNow(path)?.bytes ?? -1).join(":");
}
