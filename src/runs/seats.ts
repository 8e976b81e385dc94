import type { Slots } from "./slots.ts";

/**
 * The places of one run's tasks among the session's: a task has one from its start to its end, but while it waits for its
 * user's answer others go on in its place.
 */
export class Seats {
  readonly #slots: Slots;
  readonly #max: number;
  readonly #taken = new Set<string>();

  /** `max` of the run's tasks at a time. */
  constructor(slots: Slots, max: number) {
    this.#slots = slots;
    this.#max = max;
  }

  /** At once, whether one is free or not: the task is at work already, or it was asked before. */
  take(taskId: string): void {
    if (this.#taken.has(taskId)) return;
    this.#taken.add(taskId);
    this.#slots.take();
  }

  /** Quiet for a task without one. */
  leave(taskId: string): void {
    if (this.#taken.delete(taskId)) this.#slots.give();
  }

  /**
   * As soon as one is free, before any task that has not begun; without one when the signal aborts. What is taken at once
   * can't be taken by who is woken at the same time.
   */
  async takeAgain(taskId: string, signal: AbortSignal): Promise<void> {
    if (this.#taken.has(taskId) || this.#takeFree(taskId) || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const over = () => {
        forget();
        signal.removeEventListener("abort", over);
        resolve();
      };
      const forget = this.#slots.onFree(() => {
        if (this.#takeFree(taskId)) over();
      });
      signal.addEventListener("abort", over, { once: true });
    });
  }

  #takeFree(taskId: string): boolean {
    if (this.#slots.free <= 0 || this.#taken.size >= this.#max) return false;
    this.take(taskId);
    return true;
  }
}
