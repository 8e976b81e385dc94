import {
  type AnyValue,
  type Attributes,
  envelopeOf,
  keyValues,
  type Teller,
  unixNano,
  wellFormed,
} from "./otlp-json.ts";

/** A piece of work that has ended. */
export interface Span {
  /** 16 and 8 bytes, lowercase hex. */
  readonly traceId: string;
  readonly spanId: string;
  /** Only the run's span has none. */
  readonly parentSpanId: string | null;
  readonly name: string;
  /** Milliseconds since 1970; never after the end. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  /** What went wrong; null when nothing did, or when the user ended it. */
  readonly error: string | null;
}

/** SPAN_KIND_INTERNAL: nothing here is a call to another service. */
const INTERNAL = 1;
/** STATUS_CODE_ERROR */
const ERROR = 2;

/** Writes an ExportTraceServiceRequest as JSON in UTF-8. Ids are hex, unlike bytes elsewhere in protobuf's JSON. */
export class OtlpSpansEncoder {
  readonly #head: string;
  readonly #tail: string;

  constructor(teller: Teller) {
    ({ head: this.#head, tail: this.#tail } = envelopeOf(teller, "Spans"));
  }

  encode(spans: readonly Span[]): Uint8Array {
    return Buffer.from(this.#head + spans.map(spanText).join(",") + this.#tail);
  }
}

function spanText(span: Span): string {
  const { traceId, spanId, parentSpanId, name, startMs, endMs, attributes, error } = span;
  return JSON.stringify({
    traceId,
    spanId,
    ...(parentSpanId === null ? {} : { parentSpanId }),
    name: wellFormed(name),
    kind: INTERNAL,
    startTimeUnixNano: unixNano(startMs),
    endTimeUnixNano: unixNano(endMs),
    attributes: keyValues(attributes),
    status: error === null ? {} : { code: ERROR, message: wellFormed(error) },
  });
}

/** The text of an attribute; empty when it has none. */
export function attributeText(attributes: Attributes, key: string): string {
  const value: AnyValue | undefined = attributes[key];
  return value !== undefined && "stringValue" in value ? value.stringValue : "";
}
