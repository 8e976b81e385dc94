import type { Random } from "../system/world.ts";

/** Failures in a row after which the receiver is left alone. */
const FAILURES_MAX = 5;
const REST_MS = 60_000;
const BACKOFF_MS = 1000;
const JITTER_RATIO = 0.5;
/** What a receiver may ask for at most. */
const ASKED_MS_MAX = 3_600_000;

/**
 * When the next push may be tried: after a failure later and later, after five in a row not for a minute, and then
 * once; that one decides whether it goes on or rests again. Times are of a monotonic clock, in milliseconds.
 */
export class PushPace {
  readonly #random: Pick<Random, "next">;
  #failures = 0;
  #notBefore = 0;
  #asked = false;

  constructor(random: Pick<Random, "next">) {
    this.#random = random;
  }

  /** Since the last success. */
  get failures(): number {
    return this.#failures;
  }

  /** The receiver is left alone, but for one try when `waitMs` is 0. */
  get isOpen(): boolean {
    return this.#failures >= FAILURES_MAX;
  }

  /** Until the next try may be made; 0 when it may now. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.#notBefore - nowMs);
  }

  /**
   * Whether a last try may be made now, before all ends: a wait that the receiver did not ask for is cut short, also
   * that after many failures, since it may be back.
   */
  mayTryLast(nowMs: number): boolean {
    return this.waitMs(nowMs) === 0 || !this.#asked;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#notBefore = 0;
    this.#asked = false;
  }

  /** `askedMs`: what the receiver asked for, null when nothing. `again`: whether the same may succeed later. */
  failed(nowMs: number, { askedMs, again }: { askedMs: number | null; again: boolean }): void {
    this.#failures++;
    this.#asked = askedMs !== null;
    let waitMs = Math.min(askedMs ?? 0, ASKED_MS_MAX);
    if (this.isOpen) waitMs = Math.max(waitMs, REST_MS);
    else if (again) waitMs = Math.max(waitMs, this.#backoffMs());
    this.#notBefore = nowMs + waitMs;
  }

  #backoffMs(): number {
    const spread = 1 + JITTER_RATIO * (2 * this.#random.next() - 1);
    return Math.ceil(BACKOFF_MS * 2 ** (this.#failures - 1) * spread);
  }
}
