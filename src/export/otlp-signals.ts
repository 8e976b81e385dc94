import type { MetricsSnapshot } from "../metrics/snapshot.ts";
import type { Clock } from "../system/world.ts";
import type { OtlpChannel } from "./otlp-channel.ts";
import type { EncodableMetric, OtlpMetricsEncoder } from "./otlp-metrics.ts";
import type { OtlpSpansEncoder, Span } from "./otlp-spans.ts";
import { SpanQueue } from "./span-queue.ts";

/** Spans in one request. */
const BATCH_MAX = 512;

/** A signal on its way to the collector. */
export interface PushedSignal {
  readonly channel: OtlpChannel;
  /** Sends what there is, unless the collector wants to be left alone. */
  tick(): Promise<void>;
  /** Waits for what is under way, sends the rest once and counts what is lost. */
  finish(): Promise<void>;
}

export interface MetricsSignalParts {
  readonly channel: OtlpChannel;
  readonly encoder: OtlpMetricsEncoder;
  readonly clock: Pick<Clock, "now">;
  readonly snapshot: () => MetricsSnapshot;
  /** Metrics that are in no snapshot. */
  readonly extra: () => readonly EncodableMetric[];
}

/** Cumulative numbers: what could not be sent is in the next push, so that nothing is kept for it. */
export class MetricsSignal implements PushedSignal {
  readonly channel: OtlpChannel;
  readonly #parts: MetricsSignalParts;
  #underWay: Promise<unknown> | null = null;

  constructor(parts: MetricsSignalParts) {
    this.channel = parts.channel;
    this.#parts = parts;
  }

  async tick(): Promise<void> {
    if (this.#underWay !== null || this.channel.waitMs() > 0) return;
    const { body, points } = this.#encoded();
    if (points === 0) return;
    this.#underWay = this.channel.send(body, points).finally(() => {
      this.#underWay = null;
    });
    await this.#underWay;
  }

  async finish(): Promise<void> {
    await this.#underWay;
    const { body, points } = this.#encoded();
    if (points === 0) return;
    const isSent = this.channel.mayTryLast() && (await this.channel.send(body, points)) === "sent";
    if (!isSent) this.channel.lose(points);
  }

  #encoded() {
    const { encoder, snapshot, extra, clock } = this.#parts;
    return encoder.encode([...snapshot(), ...extra()], clock.now());
  }
}

/** Spans are told once: they wait in a queue of limited length until the collector takes them. */
export class TracesSignal implements PushedSignal {
  readonly channel: OtlpChannel;
  readonly #encoder: OtlpSpansEncoder;
  readonly #onError: (error: unknown) => void;
  readonly #queue: SpanQueue;
  #underWay: Promise<void> | null = null;

  /** `onError` hears what goes wrong in a request that `add` began. */
  constructor(parts: { channel: OtlpChannel; encoder: OtlpSpansEncoder; onError: (error: unknown) => void }) {
    this.channel = parts.channel;
    this.#encoder = parts.encoder;
    this.#onError = parts.onError;
    this.#queue = new SpanQueue((spans) => this.channel.lose(spans));
  }

  /** Sends at once when a request can be filled, so that a healthy collector loses none. */
  add(span: Span): void {
    this.#queue.add(span);
    if (this.#queue.size >= BATCH_MAX) this.tick().catch(this.#onError);
  }

  async tick(): Promise<void> {
    if (this.#underWay === null && this.channel.waitMs() === 0) await this.#deliver();
  }

  async finish(): Promise<void> {
    await this.#underWay;
    if (this.channel.mayTryLast()) await this.#deliver();
    this.channel.lose(this.#queue.take(this.#queue.size).length);
  }

  /** Never two requests at once. */
  #deliver(): Promise<void> {
    this.#underWay ??= this.#sendAll().finally(() => {
      this.#underWay = null;
    });
    return this.#underWay;
  }

  /** Until the queue is empty or a request fails. */
  async #sendAll(): Promise<void> {
    while (this.#queue.size > 0 && !this.channel.isStopped) {
      const spans = this.#queue.take(BATCH_MAX);
      const delivery = await this.channel.send(this.#encoder.encode(spans), spans.length);
      if (delivery === "sent") continue;
      if (delivery === "again") this.#queue.giveBack(spans);
      else this.channel.lose(spans.length);
      return;
    }
  }
}
