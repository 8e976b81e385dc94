import type { MetricsSnapshot } from "../metrics/snapshot.ts";
import type { Clock } from "../system/world.ts";
import type { Exporter } from "./exporter.ts";
import type { OtlpChannel } from "./otlp-channel.ts";
import type { EncodableMetric, OtlpMetricsEncoder } from "./otlp-metrics.ts";
import type { OtlpSpansEncoder } from "./otlp-spans.ts";
import type { SpanQueue } from "./span-queue.ts";

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
export class MetricsSignal implements PushedSignal, Exporter {
  readonly name = "OTLP";
  readonly channel: OtlpChannel;
  readonly #parts: MetricsSignalParts;
  #underWay: Promise<boolean> | null = null;

  constructor(parts: MetricsSignalParts) {
    this.channel = parts.channel;
    this.#parts = parts;
  }

  async push(snapshot: MetricsSnapshot): Promise<void> {
    if (this.#underWay !== null) throw new Error("an earlier push is still under way");
    if (this.channel.waitMs() > 0 || !(await this.#send(snapshot))) throw new Error(this.channel.complaint());
  }

  async tick(): Promise<void> {
    if (this.#underWay === null && this.channel.waitMs() === 0) await this.#send(this.#parts.snapshot());
  }

  async finish(): Promise<void> {
    await this.#underWay;
    const { body, points } = this.#encoded(this.#parts.snapshot());
    if (points === 0) return;
    const isSent = this.channel.mayTryLast() && (await this.channel.send(body, points)) === "sent";
    if (!isSent) this.channel.lose(points);
  }

  async dispose(): Promise<void> {
    this.channel.stop();
    await this.#underWay;
  }

  async #send(snapshot: MetricsSnapshot): Promise<boolean> {
    const { body, points } = this.#encoded(snapshot);
    if (points === 0) return true;
    this.#underWay = this.channel.send(body, points).then((delivery) => delivery === "sent");
    try {
      return await this.#underWay;
    } finally {
      this.#underWay = null;
    }
  }

  #encoded(snapshot: MetricsSnapshot) {
    return this.#parts.encoder.encode([...snapshot, ...this.#parts.extra()], this.#parts.clock.now());
  }
}

/** Spans are told once: they wait in a queue of limited length until the collector takes them. */
export class TracesSignal implements PushedSignal {
  readonly channel: OtlpChannel;
  readonly #encoder: OtlpSpansEncoder;
  readonly #queue: SpanQueue;
  #underWay: Promise<void> | null = null;

  constructor(parts: { channel: OtlpChannel; encoder: OtlpSpansEncoder; queue: SpanQueue }) {
    this.channel = parts.channel;
    this.#encoder = parts.encoder;
    this.#queue = parts.queue;
  }

  async tick(): Promise<void> {
    if (this.#underWay !== null || this.channel.waitMs() > 0) return;
    this.#underWay = this.#sendAll();
    try {
      await this.#underWay;
    } finally {
      this.#underWay = null;
    }
  }

  async finish(): Promise<void> {
    await this.#underWay;
    if (this.channel.mayTryLast()) await this.#sendAll();
    this.channel.lose(this.#queue.take(this.#queue.size).length);
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
