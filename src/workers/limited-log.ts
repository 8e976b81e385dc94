import type { AppendHandle } from "../system/world.ts";

const logBytesMax = 50 * 1024 * 1024;

/** A log that stops growing at its limit, and says so once. */
export class LimitedLog {
  readonly #handle: AppendHandle;
  readonly #bytesMax: number;
  readonly #notice: string;
  readonly #essence: (text: string) => string;
  #cut = false;
  /** Of all that came. */
  bytes = 0;
  chunks = 0;

  /** `essence` is what is still written of a text beyond the limit. */
  constructor(handle: AppendHandle, bytesMax: number, notice: string, essence: (text: string) => string) {
    this.#handle = handle;
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
    if (this.bytes <= this.#bytesMax || this.#cut) return;
    this.#cut = true;
    this.#handle.write(this.#notice);
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
  }

  sync(): Promise<void> {
    return this.#handle.sync();
  }

  close(): void {
    this.#handle.close();
  }
}

/** Of event lines. Usage is money: it is kept whatever the size, without the words. */
export function limitedEventLog(handle: AppendHandle, bytesMax = logBytesMax): LimitedLog {
  return new LimitedLog(handle, bytesMax, `${JSON.stringify({ type: "log_cut", bytesMax })}\n`, usageOnly);
}

export function limitedTextLog(handle: AppendHandle, bytesMax = logBytesMax): LimitedLog {
  return new LimitedLog(handle, bytesMax, `\n[cut at ${bytesMax} bytes]\n`, () => "");
}

function usageOnly(line: string): string {
  if (!line.startsWith('{"type":"message_end"') || !line.includes('"role":"assistant"')) return "";
  const event = JSON.parse(line) as { message: Record<string, unknown> };
  return `${JSON.stringify({ ...event, message: { ...event.message, content: [] } })}\n`;
}
