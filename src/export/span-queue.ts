import type { Span } from "./otlp-spans.ts";

const QUEUED_MAX = 2048;

/** Ended spans that wait to be sent. When there are too many the oldest go: a run's own span comes last. */
export class SpanQueue {
  readonly #onDrop: (spans: number) => void;
  #spans: Span[] = [];

  constructor(onDrop: (spans: number) => void) {
    this.#onDrop = onDrop;
  }

  get size(): number {
    return this.#spans.length;
  }

  add(span: Span): void {
    this.#spans.push(span);
    this.#trim();
  }

  /** The oldest `max`, out of the queue. */
  take(max: number): Span[] {
    return this.#spans.splice(0, max);
  }

  /** What was taken and could not be sent, in front of all others. */
  giveBack(spans: readonly Span[]): void {
    this.#spans = [...spans, ...this.#spans];
    this.#trim();
  }

  #trim(): void {
    const tooMany = this.#spans.length - QUEUED_MAX;
    if (tooMany <= 0) return;
    this.#spans.splice(0, tooMany);
    this.#onDrop(tooMany);
  }
}
