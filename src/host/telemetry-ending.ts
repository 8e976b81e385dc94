import { Disposer } from "../system/disposer.ts";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";

/** The end of a session's telemetry: first what takes time, side by side and within a limit, then what is released. */
export class Ending {
  readonly #world: Pick<World, "clock" | "log">;
  readonly #limitMs: number;
  readonly #waits: Array<() => Promise<void>> = [];
  readonly #disposer: Disposer;
  #done: Promise<void> | null = null;

  constructor(world: Pick<World, "clock" | "log">, limitMs: number) {
    this.#world = world;
    this.#limitMs = limitMs;
    this.#disposer = new Disposer((error) => world.log.error("a release failed", { error: messageOf(error) }));
  }

  get begun(): boolean {
    return this.#done !== null;
  }

  wait(end: () => Promise<void>): void {
    this.#waits.push(end);
  }

  /** Last in, first out, once all has been waited for. After the end it is called at once. */
  release(release: () => void): void {
    this.#disposer.defer(release);
  }

  /** Idempotent; never rejects. */
  dispose(): Promise<void> {
    this.#done ??= Promise.resolve().then(() => this.#run());
    return this.#done;
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#world;
    const done = new AbortController();
    const ends = this.#waits.map(async (end) => {
      await end().catch((error: unknown) => log.error("an end failed", { error: messageOf(error) }));
    });
    void Promise.all(ends).then(() => done.abort());
    await clock.sleep(this.#limitMs, done.signal);
    if (!done.signal.aborted) log.warn("telemetry was left before it had ended", { limitMs: this.#limitMs });
    await this.#disposer.dispose();
  }
}
