/** Last in, first out; idempotent; awaits what is in flight. Node 20 has no AsyncDisposableStack. */
export class Disposer {
  #entries: Array<() => void | Promise<void>> = [];
  #done: Promise<void> | null = null;
  readonly #onError: (error: unknown) => void;

  /** `onError` hears what a release threw; the others are still released. */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  get disposed(): boolean {
    return this.#done !== null;
  }

  /** Adds a release. After disposal it is called at once. */
  defer(release: () => void | Promise<void>): void {
    if (this.#done) {
      this.#done = this.#done.then(() => this.#call(release));
      return;
    }
    this.#entries.push(release);
  }

  use<T extends Disposable>(resource: T): T {
    this.defer(() => resource[Symbol.dispose]());
    return resource;
  }

  dispose(): Promise<void> {
    // begun after #done is set: a release may ask again, and must not start a second row
    this.#done ??= Promise.resolve().then(() => this.#run());
    return this.#done;
  }

  async #run(): Promise<void> {
    for (let entry = this.#entries.pop(); entry; entry = this.#entries.pop()) await this.#call(entry);
  }

  async #call(release: () => void | Promise<void>): Promise<void> {
    try {
      await release();
    } catch (error) {
      this.#onError(error);
    }
  }
}
