import type { Clock } from "../../src/system/world.ts";

interface Timer {
  at: number;
  fire: () => void;
}

/** A clock that stands until a test moves it. Wall clock and monotonic clock move together, unless `jump` is used. */
export class FakeClock implements Clock {
  readonly #timers = new Set<Timer>();
  #wallMs: number;
  #monotonicMs = 0;

  constructor(wallMs = 1_700_000_000_000) {
    this.#wallMs = wallMs;
  }

  now(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  /** Timers that nobody disposed of. */
  get pending(): number {
    return this.#timers.size;
  }

  every(ms: number, tick: () => void): Disposable {
    const timer: Timer = {
      at: this.#monotonicMs + ms,
      fire: () => {
        timer.at += ms;
        this.#timers.add(timer);
        tick();
      },
    };
    return this.#start(timer);
  }

  after(ms: number, fire: () => void): Disposable {
    return this.#start({ at: this.#monotonicMs + ms, fire });
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const timer = this.after(ms, done);
      function done() {
        timer[Symbol.dispose]();
        signal?.removeEventListener("abort", done);
        resolve();
      }
      signal?.addEventListener("abort", done, { once: true });
    });
  }

  /** Moves on and fires what falls due, in order. What the fired code awaits has run when this resolves. */
  async advance(ms: number): Promise<void> {
    const end = this.#monotonicMs + ms;
    for (let timer = this.#next(end); timer; timer = this.#next(end)) {
      this.#moveTo(timer.at);
      this.#timers.delete(timer);
      timer.fire();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#moveTo(end);
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Sets the wall clock without time passing, as an administrator or NTP does. */
  jump(ms: number): void {
    this.#wallMs += ms;
  }

  #start(timer: Timer): Disposable {
    this.#timers.add(timer);
    return { [Symbol.dispose]: () => this.#timers.delete(timer) };
  }

  #next(end: number): Timer | undefined {
    return [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
  }

  #moveTo(monotonicMs: number): void {
    this.#wallMs += monotonicMs - this.#monotonicMs;
    this.#monotonicMs = monotonicMs;
  }
}
