import type { AppendHandle } from "../system/world.ts";
import type { LogTail } from "./log-tail.ts";

/** Of one log; what follows is in its tail. */
export const logBytesMax = 50 * 1024 * 1024;

/** A log that stops growing at its limit, and says so once; what comes after goes to its tail. */
export class LimitedLog {
  readonly #handle: AppendHandle;
  readonly #tail: LogTail;
  readonly #bytesMax: number;
  readonly #notice: string;
  readonly #essence: (text: string) => string;
  #cut = false;
  /** Of all that came. */
  bytes = 0;
  chunks = 0;

  /** `essence` is what is still written of a text beyond the limit, which the tail gets as a whole. */
  constructor(
    handle: AppendHandle,
    tail: LogTail,
    bytesMax: number,
    notice: string,
    essence: (text: string) => string,
  ) {
    this.#handle = handle;
    this.#tail = tail;
    this.#bytesMax = bytesMax;
    this.#notice = notice;
    this.#essence = essence;
  }

  /** Bytes are anybody's: of what goes beyond the limit the part that fits is written. */
  writeBytes(bytes: Uint8Array): void {
    this.chunks += 1;
    const room = Math.max(0, this.#bytesMax - this.bytes);
    this.bytes += bytes.byteLength;
    if (room > 0) this.#handle.write(bytes.byteLength > room ? bytes.subarray(0, room) : bytes);
    if (this.bytes <= this.#bytesMax) return;
    if (!this.#cut) this.#handle.write(this.#notice);
    this.#cut = true;
    this.#tail.write(bytes.subarray(room));
  }

  get full(): boolean {
    return this.#cut;
  }

  write(text: string): void {
    this.chunks += 1;
    this.bytes += Buffer.byteLength(text);
    if (this.bytes <= this.#bytesMax) {
      this.#handle.write(text);
      return;
    }
    const kept = (this.#cut ? "" : this.#notice) + this.#essence(text);
    this.#cut = true;
    if (kept !== "") this.#handle.write(kept);
    this.#tail.write(text);
  }

  /** Counts what nobody keeps, and says so where it would stand. */
  leaveOut(bytes: number): void {
    this.bytes += bytes;
    this.#tail.write(`\n[${bytes} bytes left out]\n`);
  }

  async sync(): Promise<void> {
    await Promise.all([this.#handle.sync(), this.#tail.sync()]);
  }

  close(): void {
    this.#handle.close();
    this.#tail.close();
  }
}

/** Of event lines. Usage is money: it is kept whatever the size, without the words. */
export function limitedEventLog(handle: AppendHandle, tail: LogTail, bytesMax: number): LimitedLog {
  return new LimitedLog(handle, tail, bytesMax, `${JSON.stringify({ type: "log_cut", bytesMax })}\n`, essenceOf);
}

export function limitedTextLog(handle: AppendHandle, tail: LogTail, bytesMax: number): LimitedLog {
  const notice = `\n[cut at ${bytesMax} bytes; the newest of what follows is in the file of this name with the highest number]\n`;
  return new LimitedLog(handle, tail, bytesMax, notice, () => "");
}

/** What an owner who reads the log sums up and shows: small lines as they are, replies without their words. */
function essenceOf(line: string): string {
  if (SMALL.test(line)) return line.length <= SMALL_CHARS_MAX ? line : "";
  if (!line.startsWith('{"type":"message_end"') || !line.includes('"role":"assistant"')) return "";
  const event = JSON.parse(line) as { message: Record<string, unknown> };
  return `${JSON.stringify({ ...event, message: { ...event.message, content: [] } })}\n`;
}

const SMALL = /^\{"type":"(tool_execution_start|tool_execution_end|auto_retry_start)"/;
const SMALL_CHARS_MAX = 1000;
