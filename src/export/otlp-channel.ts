import { messageOf } from "../system/errors.ts";
import type { Clock, Log, Random } from "../system/world.ts";
import { judgeAnswer, type Verdict } from "./otlp-answer.ts";
import type { OtlpTarget } from "./otlp-environment.ts";
import { postJson } from "./otlp-post.ts";
import { PushPace } from "./push-pace.ts";

/** What the doctor shows of one signal. Items are data points or spans. */
/** Shorter words of a header, such as "Bearer", are no secret. */
const SECRET_CHARS_MIN = 8;

export interface ChannelStatus {
  readonly signal: "metrics" | "traces";
  readonly host: string;
  /** Requests that were accepted, and those that were not. */
  readonly accepted: number;
  readonly failed: number;
  readonly itemsSent: number;
  /** Refused by the collector within an accepted request. */
  readonly itemsRejected: number;
  /** Never taken by anyone: dropped here, refused for good, or left at the end. */
  readonly itemsLost: number;
  /** Of the last failure; null since a success. */
  readonly lastError: string | null;
  /** What the collector said last within an accepted request. */
  readonly lastWarning: string | null;
}

export interface ChannelParts {
  readonly signal: "metrics" | "traces";
  readonly target: OtlpTarget;
  readonly clock: Clock;
  readonly random: Pick<Random, "next">;
  readonly log: Log;
}

/** `again`: not taken now, and may be later. `lost`: never. */
export type Delivery = "sent" | "again" | "lost";

/** The way of one signal to its collector: one request at a time, at the pace the collector allows, all counted. */
export class OtlpChannel {
  readonly #parts: ChannelParts;
  readonly #pace: PushPace;
  readonly #stopped = new AbortController();
  #accepted = 0;
  #failed = 0;
  #itemsSent = 0;
  #itemsRejected = 0;
  #itemsLost = 0;
  #lastError: string | null = null;
  #lastWarning: string | null = null;

  constructor(parts: ChannelParts) {
    this.#parts = parts;
    this.#pace = new PushPace(parts.random);
  }

  get isStopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  /** Until the collector may be asked again; 0 when it may now. Milliseconds. */
  waitMs(): number {
    return this.#pace.waitMs(this.#parts.clock.monotonicMs());
  }

  mayTryLast(): boolean {
    return !this.isStopped && this.#pace.mayTryLast(this.#parts.clock.monotonicMs());
  }

  /** One request, whatever the pace: the caller asks `waitMs` first and never sends two at once. Never rejects. */
  async send(json: Uint8Array, items: number): Promise<Delivery> {
    const { target, clock } = this.#parts;
    let verdict: Verdict;
    try {
      verdict = judgeAnswer(await postJson(target, json, clock, this.#stopped.signal), clock.now());
    } catch (error) {
      verdict = { kind: "refused", again: true, askedMs: null, reason: messageOf(error) };
      return this.#refused(verdict, this.#masked(verdict.reason));
    }
    if (verdict.kind === "refused") return this.#refused(verdict, this.#masked(`${target.url.host} ${verdict.reason}`));
    this.#pace.succeeded();
    this.#accepted++;
    this.#itemsSent += Math.max(0, items - verdict.rejected);
    this.#itemsRejected += Math.min(items, verdict.rejected);
    this.#lastError = null;
    this.#warned(verdict.message === null ? null : this.#masked(verdict.message));
    return "sent";
  }

  /** Collectors repeat what they were sent: our own headers, and what names us in the address, are not told. */
  #masked(text: string): string {
    const { headers, url } = this.#parts.target;
    const words = [...Object.values(headers), url.username, url.password].flatMap((it) => [it, ...it.split(/\s+/)]);
    const secrets = words.filter((word) => word.length >= SECRET_CHARS_MIN).sort((a, b) => b.length - a.length);
    return secrets.reduce((masked, secret) => masked.replaceAll(secret, "***"), text);
  }

  /** Counts what will not be sent. */
  lose(items: number): void {
    this.#itemsLost += items;
  }

  /** Ends a request under way. */
  stop(): void {
    this.#stopped.abort();
  }

  status(): ChannelStatus {
    return {
      signal: this.#parts.signal,
      host: this.#parts.target.url.host,
      accepted: this.#accepted,
      failed: this.#failed,
      itemsSent: this.#itemsSent,
      itemsRejected: this.#itemsRejected,
      itemsLost: this.#itemsLost,
      lastError: this.#lastError,
      lastWarning: this.#lastWarning,
    };
  }

  #refused(verdict: Extract<Verdict, { kind: "refused" }>, error: string): Delivery {
    const wasOpen = this.#pace.isOpen;
    this.#pace.failed(this.#parts.clock.monotonicMs(), verdict);
    this.#failed++;
    this.#lastError = error;
    const { failures, isOpen } = this.#pace;
    const rests = isOpen && !wasOpen ? ` It failed ${failures} times in a row, and is tried once a minute now.` : "";
    if (failures === 1 || rests !== "") this.#warn(`could not be sent: ${error}.${rests}`);
    return verdict.again ? "again" : "lost";
  }

  #warned(message: string | null): void {
    if (message === null || message === this.#lastWarning) return;
    this.#lastWarning = message;
    this.#warn(`were sent, and ${this.#parts.target.url.host} said: ${message}`);
  }

  #warn(what: string): void {
    this.#parts.log.warn(`OTLP: ${this.#parts.signal} ${what}`);
  }
}
