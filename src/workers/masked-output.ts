import { parseObject } from "../system/json.ts";
import type { Redactor } from "../system/redaction.ts";

/** A line that goes on and on is masked in parts, and what lies on their border may be missed. */
const CARRIED_BYTES_MAX = 64 * 1024;
const LINE_FEED = 10;

/** A line of output without secrets; one of JSON is still JSON. As it was when there are none. */
export function maskLine(redactor: Redactor, line: string): string {
  const masked = redactor.text(line);
  if (masked === line) return line;
  const value = line.startsWith("{") ? parseObject(line) : null;
  return value === null ? masked : JSON.stringify(redactor.value(value));
}

/** Bytes of a program's output on their way into a log: written by whole lines, since half a secret can't be told. */
export class MaskedBytes {
  readonly #redactor: Redactor;
  readonly #write: (bytes: Uint8Array) => void;
  #carried: Buffer = Buffer.alloc(0);

  constructor(redactor: Redactor, write: (bytes: Uint8Array) => void) {
    this.#redactor = redactor;
    this.#write = write;
  }

  push(bytes: Uint8Array): void {
    const all = Buffer.concat([this.#carried, bytes]);
    const lines = all.lastIndexOf(LINE_FEED) + 1;
    const end = all.byteLength - lines > CARRIED_BYTES_MAX ? all.byteLength : lines;
    this.#carried = all.subarray(end);
    this.#put(all.subarray(0, end));
  }

  /** What has come without a line feed. */
  flush(): void {
    this.#put(this.#carried);
    this.#carried = Buffer.alloc(0);
  }

  /** Leaves out what has come without a line feed, whose rest will not come: its length in bytes. */
  drop(): number {
    const { byteLength } = this.#carried;
    this.#carried = Buffer.alloc(0);
    return byteLength;
  }

  #put(bytes: Buffer): void {
    if (bytes.byteLength === 0) return;
    const text = bytes.toString();
    // most output has none, and line by line that is found out seven times slower
    const whole = this.#redactor.text(text);
    this.#write(whole === text ? bytes : Buffer.from(this.#byLine(text, whole)));
  }

  /** So that lines of JSON are JSON still; what many lines make up together, such as a key, is masked in one. */
  #byLine(text: string, whole: string): string {
    const lines = text.split("\n").map((line) => maskLine(this.#redactor, line));
    const masked = lines.join("\n");
    return text.includes("PRIVATE KEY") || masked === text ? whole : masked;
  }
}
