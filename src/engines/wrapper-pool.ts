import { messageOf } from "../system/errors.ts";
import { openOutputFolder } from "./output-folder.ts";
import { startWrapper, type Wrapper, type WrapperStart } from "./wrapper.ts";

/** The next one is started ahead after so many milliseconds even if the one before is not ready. */
const startMaxMs = 20_000;

export interface WrapperPoolOptions extends WrapperStart {
  /** An idle wrapper is ended after so many milliseconds. */
  warmIdleMs: number;
  /** So many wrappers stay after their attempt. */
  idleMax: number;
  /** Never more wrappers than this at once, unlimited unless given; who wants another one waits. */
  processesMax?: number;
}

/** Wrapper processes started ahead and kept warm between attempts. */
export class WrapperPool {
  readonly #options: WrapperPoolOptions;
  readonly #processesMax: number;
  readonly #idle: Wrapper[] = [];
  readonly #lent = new Set<Wrapper>();
  readonly #ending = new Set<Promise<void>>();
  readonly #taking = new Set<Promise<Wrapper>>();
  /** Who waits until there is room. */
  readonly #waiting = new Set<() => void>();
  readonly #over = new AbortController();
  /** Still to be started ahead. */
  #ahead = 0;
  #starter: Promise<void> | null = null;
  /** Begins with the one being started ahead; demanded ones don't overtake it. */
  #startingAhead: Promise<unknown> | null = null;
  /** All whose process has not ended, and those being started. */
  readonly #live = new Set<Wrapper>();
  #unborn = 0;
  #folder: Promise<string> | null = null;

  constructor(options: WrapperPoolOptions) {
    this.#options = options;
    this.#processesMax = options.processesMax ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Up to `count` in all, one at a time: cold starts of several at once would delay the first attempt. Never throws: a
   * wrapper that can't be started shows when it is needed.
   */
  prepare(count: number): void {
    if (this.#over.signal.aborted) return;
    this.#ahead = Math.max(this.#ahead, count - this.#idle.length);
    this.#starter ??= this.#startAhead().finally(() => {
      this.#starter = null;
    });
  }

  /**
   * A ready one if there is, else one that is starting, else a new one; `warm` says whether it will need the host's SDK,
   * and one that is loading that is not waited for without need. Rejects when none can be started, when the
   * signal aborts while there is no room, and once disposed of.
   */
  async take(signal: AbortSignal, warm = true): Promise<Wrapper> {
    const taking = this.#take(signal, warm);
    this.#taking.add(taking);
    try {
      return await taking;
    } finally {
      this.#taking.delete(taking);
    }
  }

  /** After its attempt: kept warm, or ended when enough others are. */
  giveBack(wrapper: Wrapper): void {
    wrapper.listen(null);
    wrapper.attemptFolder = null;
    wrapper.ready = false;
    if (!this.#lent.delete(wrapper)) return;
    if (wrapper.usable) this.#rest(wrapper);
    while (this.#idle.length > this.#options.idleMax) this.#endOldest();
    this.#tellRoom();
  }

  /** Its attempt is not followed any more: it comes back when that ends, and until then keeps nobody alive. */
  letGo(wrapper: Wrapper): void {
    const nothing = () => undefined;
    wrapper.listen({ changed: nothing, waiting: nothing, ended: () => this.giveBack(wrapper), gone: nothing });
    wrapper.child.keepAlive(false);
  }

  /** Ours that is at this attempt; null when none is. */
  lentTo(attemptFolder: string): Wrapper | null {
    return [...this.#lent].find((wrapper) => wrapper.attemptFolder === attemptFolder && !wrapper.exited) ?? null;
  }

  /** Of one that was taken and given nothing to do. */
  discard(wrapper: Wrapper): void {
    this.#lent.delete(wrapper);
    this.#end(wrapper);
  }

  /** Ends the idle ones. The others hear that their owner is gone, and leave when their attempt is over. */
  async dispose(): Promise<void> {
    this.#over.abort();
    this.#tellRoom();
    await Promise.allSettled([this.#starter, ...this.#taking]);
    for (const wrapper of this.#lent) wrapper.child.detach();
    this.#lent.clear();
    while (this.#idle.length > 0) this.#endOldest();
    await Promise.all(this.#ending);
  }

  async #startAhead(): Promise<void> {
    try {
      while (this.#ahead > 0 && this.#hasRoom() && !this.#over.signal.aborted) {
        this.#ahead -= 1;
        const starting = this.#fork(true);
        this.#startingAhead = starting.catch(() => undefined);
        const wrapper = await starting;
        this.#rest(wrapper);
        this.#startingAhead = null;
        await this.#startOf(wrapper);
      }
    } catch (error) {
      this.#options.world.log.warn("worker not started ahead", { error: messageOf(error) });
    }
    this.#startingAhead = null;
    this.#ahead = 0;
  }

  /** Does not keep this process alive. */
  async #startOf(wrapper: Wrapper): Promise<void> {
    const { signal } = this.#over;
    let enough: () => void = () => undefined;
    const late = new Promise<void>((resolve) => {
      enough = resolve;
    });
    using _timer = this.#options.world.clock.after(startMaxMs, enough);
    signal.addEventListener("abort", enough, { once: true });
    await Promise.race([wrapper.started, late]);
    signal.removeEventListener("abort", enough);
  }

  async #take(signal: AbortSignal, warm: boolean): Promise<Wrapper> {
    for (;;) {
      if (this.#idle.length === 0 && (warm || !this.#hasRoom())) await this.#startingAhead;
      this.#requireOpen();
      const found = this.#idleFor(warm);
      if (found) {
        found.warm ||= warm;
        this.#forget(found);
        this.#lent.add(found);
        return found;
      }
      if (this.#hasRoom()) break;
      await this.#room(signal);
    }
    if (warm) this.#ahead = Math.max(0, this.#ahead - 1);
    const wrapper = await this.#fork(warm);
    if (this.#over.signal.aborted) this.#end(wrapper);
    this.#requireOpen();
    this.#lent.add(wrapper);
    return wrapper;
  }

  #idleFor(warm: boolean): Wrapper | undefined {
    const ready = this.#idle.filter((wrapper) => wrapper.ready);
    const found =
      ready.find((wrapper) => wrapper.warm === warm) ?? ready[0] ?? this.#idle.find((it) => it.warm === warm);
    return found ?? (warm || !this.#hasRoom() ? this.#idle[0] : undefined);
  }

  #requireOpen(): void {
    if (this.#over.signal.aborted) throw new Error("the worker pool is disposed of");
  }

  #hasRoom(): boolean {
    return this.#live.size + this.#unborn < this.#processesMax;
  }

  async #room(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw new Error("given up while waiting for a worker");
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#waiting.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener("abort", done, { once: true });
    });
    if (signal.aborted) throw new Error("given up while waiting for a worker");
  }

  #tellRoom(): void {
    for (const done of [...this.#waiting]) done();
  }

  #endOldest(): void {
    const [oldest] = this.#idle;
    if (oldest) this.#end(oldest);
  }

  #end(wrapper: Wrapper): void {
    this.#forget(wrapper);
    const end = wrapper
      .end()
      .catch((error: unknown) => this.#options.world.log.warn("worker not ended", { error: messageOf(error) }))
      .finally(() => this.#ending.delete(end));
    this.#ending.add(end);
  }

  #rest(wrapper: Wrapper): void {
    if (wrapper.exited) return;
    this.#idle.push(wrapper);
    wrapper.idleTimer = this.#options.world.clock.after(this.#options.warmIdleMs, () => this.#end(wrapper));
  }

  #forget(wrapper: Wrapper): void {
    wrapper.idleTimer?.[Symbol.dispose]();
    wrapper.idleTimer = null;
    const index = this.#idle.indexOf(wrapper);
    if (index >= 0) this.#idle.splice(index, 1);
  }

  #exited(wrapper: Wrapper): void {
    this.#forget(wrapper);
    this.#lent.delete(wrapper);
    this.#live.delete(wrapper);
    this.#tellRoom();
  }

  async #fork(warm: boolean): Promise<Wrapper> {
    const { world, agentDir } = this.#options;
    this.#unborn += 1;
    try {
      this.#folder ??= openOutputFolder(world, agentDir);
      const folder = await this.#folder;
      const wrapper = startWrapper(this.#options, folder, warm, () => this.#exited(wrapper));
      this.#live.add(wrapper);
      return wrapper;
    } catch (error) {
      this.#folder = null;
      throw error;
    } finally {
      this.#unborn -= 1;
    }
  }
}
