/** How many attempts may run at once in a session, over all its runs. */
export class Slots {
  readonly #max: number;
  readonly #waiting = new Set<() => void>();
  #used = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get free(): number {
    return this.#max - this.#used;
  }

  take(): void {
    this.#used++;
  }

  give(): void {
    this.#used--;
    for (const wake of this.#waiting) wake();
  }

  /** Calls `wake` whenever a slot is given back. Returns the unsubscribe. */
  onFree(wake: () => void): () => void {
    this.#waiting.add(wake);
    return () => this.#waiting.delete(wake);
  }
}
