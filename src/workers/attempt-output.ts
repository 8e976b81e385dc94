import type { Redactor } from "../system/redaction.ts";
import type { Clock } from "../system/world.ts";
import type { AttemptLogs } from "./attempt-logs.ts";
import { MaskedBytes } from "./masked-output.ts";

type Name = "stdout" | "stderr";

/** Between two writes once a log is full. */
const FLUSH_MS = 1000;
/** Of what comes in between the newest: masking costs more than writing, and a flood must not slow its program down. */
const WAITING_BYTES_MAX = 1024 * 1024;
const LINE_FEED = 10;

/** A program's output on its way into an attempt's logs, without secrets. */
export class AttemptOutput {
  readonly #clock: Clock;
  readonly #logs: Pick<AttemptLogs, "bytes" | "isFull" | "leaveOut">;
  readonly #masked: Readonly<Record<Name, MaskedBytes>>;
  readonly #waiting: Readonly<Record<Name, NewestBytes>>;
  #timer: Disposable | null = null;

  constructor(clock: Clock, logs: Pick<AttemptLogs, "bytes" | "isFull" | "leaveOut">, redactor: Redactor) {
    this.#clock = clock;
    this.#logs = logs;
    const masked = (name: Name) => new MaskedBytes(redactor, (bytes) => logs.bytes(name, bytes));
    this.#masked = { stdout: masked("stdout"), stderr: masked("stderr") };
    this.#waiting = { stdout: new NewestBytes(WAITING_BYTES_MAX), stderr: new NewestBytes(WAITING_BYTES_MAX) };
  }

  push(name: Name, bytes: Uint8Array): void {
    if (this.#logs.isFull(name)) {
      this.#waiting[name].push(bytes);
      this.#timer ??= this.#clock.every(FLUSH_MS, () => this.#write());
    } else this.#masked[name].push(bytes);
  }

  /** All that has come, also a last line without its line feed. */
  flush(): void {
    this.#write();
    for (const masked of Object.values(this.#masked)) masked.flush();
  }

  close(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = null;
  }

  #write(): void {
    for (const name of ["stdout", "stderr"] as const) {
      const { bytes, leftOut } = this.#waiting[name].take();
      if (leftOut > 0) this.#logs.leaveOut(name, leftOut + this.#masked[name].drop());
      if (bytes.byteLength > 0) this.#masked[name].push(bytes);
    }
  }
}

/** The newest bytes of what was pushed, from the begin of a line where anything before them was left out. */
class NewestBytes {
  readonly #bytesMax: number;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #leftOut = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  push(chunk: Uint8Array): void {
    // whoever hands it over may use its memory again; slice() of a Buffer would be no copy
    this.#chunks.push(Buffer.from(chunk.subarray(-this.#bytesMax)));
    this.#leftOut += Math.max(0, chunk.byteLength - this.#bytesMax);
    this.#bytes += Math.min(chunk.byteLength, this.#bytesMax);
    while (this.#bytes > this.#bytesMax) {
      const oldest = this.#chunks.shift()?.byteLength ?? 0;
      this.#bytes -= oldest;
      this.#leftOut += oldest;
    }
  }

  take(): { bytes: Buffer; leftOut: number } {
    const all = Buffer.concat(this.#chunks);
    // half a line may hold half a secret, which nobody would know for one
    const start = this.#leftOut > 0 ? all.indexOf(LINE_FEED) + 1 : 0;
    const taken = { bytes: all.subarray(start), leftOut: this.#leftOut + start };
    this.#chunks = [];
    this.#bytes = 0;
    this.#leftOut = 0;
    return taken;
  }
}
