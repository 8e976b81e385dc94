/**
 * The parts of OTLP's JSON form that metrics and spans share: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 * 64-bit numbers are decimal strings, enums are numbers, keys are lowerCamelCase.
 */

/** The kinds of values we write. */
export type AnyValue =
  | { readonly stringValue: string }
  | { readonly intValue: string }
  | { readonly doubleValue: number };

export type Attributes = Readonly<Record<string, AnyValue>>;

const LONE_SURROGATE = /[\ud800-\udfff]/gu;

/** Text that UTF-8 can carry: cutting leaves half characters, and receivers refuse the whole request for one. */
export function wellFormed(text: string): string {
  return text.replace(LONE_SURROGATE, "\ufffd");
}

export function textValue(text: string): AnyValue {
  return { stringValue: wellFormed(text) };
}

/** What counts things; the little that is no whole number goes as it is. Throws on NaN and infinity. */
export function intValue(value: number): AnyValue {
  return Number.isSafeInteger(value) ? { intValue: String(value) } : doubleValue(value);
}

/** Throws on NaN and infinity, which JSON can't carry. */
export function doubleValue(value: number): AnyValue {
  if (!Number.isFinite(value)) throw new RangeError(`an attribute takes finite numbers, not ${value}`);
  return { doubleValue: value };
}

export function keyValues(attributes: Attributes): { key: string; value: AnyValue }[] {
  return Object.entries(attributes).map(([key, value]) => ({ key: wellFormed(key), value }));
}

/** Nanoseconds since 1970 as a decimal string, from milliseconds since 1970. */
export function unixNano(ms: number): string {
  const whole = Math.max(0, Math.round(ms));
  return whole === 0 ? "0" : `${whole}000000`;
}

/** Who tells: `resource` and `scope` of a request. */
export interface Teller {
  readonly resource: Attributes;
  readonly scope: { readonly name: string; readonly version: string };
}

/** A request's text around its metrics or spans. */
export function envelopeOf(teller: Teller, kind: "Metrics" | "Spans"): { head: string; tail: string } {
  const resource = JSON.stringify({ attributes: keyValues(teller.resource) });
  const scope = JSON.stringify(teller.scope);
  const list = kind === "Metrics" ? "metrics" : "spans";
  const head = `{"resource${kind}":[{"resource":${resource},"scope${kind}":[{"scope":${scope},"${list}":[`;
  return { head, tail: "]}]}]}" };
}

const CHUNK_CHARS = 4096;

/** Text as UTF-8, part by part: a long text made of small parts takes longer to become bytes than to be made. */
export class ByteText {
  #bytes: Buffer;
  #used = 0;
  #chunk = "";

  constructor(bytesExpected: number) {
    this.#bytes = Buffer.allocUnsafe(bytesExpected);
  }

  add(text: string): void {
    this.#chunk += text;
    if (this.#chunk.length > CHUNK_CHARS) this.#flush();
  }

  done(): Uint8Array {
    this.#flush();
    return this.#bytes.subarray(0, this.#used);
  }

  #flush(): void {
    // a UTF-16 unit has at most three bytes
    const needed = this.#used + this.#chunk.length * 3;
    if (needed > this.#bytes.byteLength) {
      const larger = Buffer.allocUnsafe(needed * 2);
      this.#bytes.copy(larger, 0, 0, this.#used);
      this.#bytes = larger;
    }
    this.#used += this.#bytes.write(this.#chunk, this.#used);
    this.#chunk = "";
  }
}
