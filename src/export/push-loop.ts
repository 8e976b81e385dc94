import type { Clock } from "../system/world.ts";

/** Pushes at every interval, and earlier or later when the receiver's pace says so. Never twice at once. */
export class PushLoop implements Disposable {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #waitMs: () => number;
  readonly #push: () => Promise<void>;
  readonly #onError: (error: unknown) => void;
  #timer: Disposable;
  #stopped = false;

  /** `waitMs`: how long to wait after a push that failed; 0 when it did not. `onError` hears what `push` throws. */
  constructor(options: {
    clock: Clock;
    intervalMs: number;
    waitMs: () => number;
    push: () => Promise<void>;
    onError: (error: unknown) => void;
  }) {
    this.#clock = options.clock;
    this.#intervalMs = options.intervalMs;
    this.#waitMs = options.waitMs;
    this.#push = options.push;
    this.#onError = options.onError;
    this.#timer = this.#schedule(this.#intervalMs);
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#timer[Symbol.dispose]();
  }

  #schedule(ms: number): Disposable {
    return this.#clock.after(ms, () => void this.#tick());
  }

  async #tick(): Promise<void> {
    const startedAt = this.#clock.monotonicMs();
    await this.#push().catch(this.#onError);
    if (this.#stopped) return;
    const left = this.#intervalMs - (this.#clock.monotonicMs() - startedAt);
    this.#timer = this.#schedule(this.#waitMs() || Math.max(0, left));
  }
}
