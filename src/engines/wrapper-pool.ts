import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf } from "../system/errors.ts";
import type { ChildProcess, World } from "../system/world.ts";
import { isWrapperMessage, type OwnerMessage, type WrapperOptions } from "../workers/wrapper-messages.ts";

const endMs = 1000;
const outputTailBytes = 4000;
const startScript = fileURLToPath(new URL("../workers/start.mjs", import.meta.url));

export interface WrapperPoolOptions {
  world: World;
  /** Path of the main file of the host's SDK. */
  hostEntry: string;
  execPath: string;
  agentDir: string;
  /** Where services are made ahead for, this process's own folder unless given; attempts in other folders work too. */
  cwd?: string;
  extensionPaths: readonly string[];
  /** Of the user's extensions only those of `extensionPaths` are loaded. */
  noExtensions: boolean;
  env: Readonly<Record<string, string>>;
  /** An idle wrapper is ended after so many milliseconds. */
  warmIdleMs: number;
  /** So many wrappers stay after their attempt. */
  idleMax: number;
}

/** What an attempt hears from its wrapper. */
export interface WrapperListener {
  changed(): void;
  /** `refused` says why the attempt was not begun. */
  ended(refused: string | null): void;
}

/** A wrapper process of ours. */
export class Wrapper {
  readonly child: ChildProcess;
  readonly #world: World;
  readonly #outputFile: string;
  #listener: WrapperListener | null = null;
  #exited = false;
  #leaving = false;
  ready = false;
  idleTimer: Disposable | null = null;

  constructor(world: World, child: ChildProcess, outputFile: string) {
    this.#world = world;
    this.child = child;
    this.#outputFile = outputFile;
    child.keepAlive(false);
    child.onMessage((message) => {
      if (!isWrapperMessage(message)) return;
      if (message.type === "ready") this.ready = true;
      else if (message.type === "changed") this.#listener?.changed();
      else {
        this.#leaving = message.leaving;
        this.#listener?.ended(message.refused);
      }
    });
    void child.exited.then(() => {
      this.#exited = true;
    });
  }

  get exited(): boolean {
    return this.#exited;
  }

  /** Whether it can be given another attempt. */
  get usable(): boolean {
    return !this.#exited && !this.#leaving;
  }

  /** While set, the process of the owner stays alive for this wrapper. */
  listen(listener: WrapperListener | null): void {
    this.#listener = listener;
    this.child.keepAlive(listener !== null);
  }

  send(message: OwnerMessage): boolean {
    return this.child.send(message);
  }

  /** Ends an idle wrapper; resolves when it is gone. One that is not ready has nothing to put in order. */
  async end(): Promise<void> {
    const { clock, processes, files } = this.#world;
    const gone = new AbortController();
    // or this process could end before it has seen the end of that one
    this.child.keepAlive(true);
    if (this.ready) this.send({ type: "end" });
    const killed = clock.sleep(this.ready ? endMs : 0, gone.signal).then(() => {
      if (!this.#exited) processes.killGroup(this.child.pid, "SIGKILL");
    });
    await this.child.exited;
    gone.abort();
    await killed;
    await files.remove(this.#outputFile);
  }

  /** The last words of a wrapper that has exited; its output is removed. */
  async lastWords(): Promise<string> {
    const { files } = this.#world;
    try {
      const facts = await files.facts(this.#outputFile);
      const from = Math.max(0, (facts?.bytes ?? 0) - outputTailBytes);
      const bytes = await files.readRange(this.#outputFile, from, outputTailBytes);
      await files.remove(this.#outputFile);
      return bytes ? Buffer.from(bytes).toString("utf8").trim() : "";
    } catch (error) {
      return messageOf(error);
    }
  }
}

/** Wrapper processes started ahead and kept warm between attempts. */
export class WrapperPool {
  readonly #options: WrapperPoolOptions;
  readonly #idle: Wrapper[] = [];
  readonly #lent = new Set<Wrapper>();
  readonly #ending = new Set<Promise<void>>();
  #starting: Promise<unknown> = Promise.resolve();

  constructor(options: WrapperPoolOptions) {
    this.#options = options;
  }

  /** Never rejects: a wrapper that can't be started shows when it is needed. */
  async prepare(count: number): Promise<void> {
    this.#starting = this.#starting.then(async () => {
      try {
        while (this.#idle.length < count) this.#rest(await this.#fork());
      } catch (error) {
        this.#options.world.log.warn("worker not started ahead", { error: messageOf(error) });
      }
    });
    await this.#starting;
  }

  /** A ready one if there is, else one that is starting, else a new one. Throws when none can be started. */
  async take(): Promise<Wrapper> {
    // those being started ahead are for us
    await this.#starting;
    const found = this.#idle.find((wrapper) => wrapper.ready) ?? this.#idle[0];
    if (found) this.#forget(found);
    const wrapper = found ?? (await this.#fork());
    this.#lent.add(wrapper);
    void wrapper.child.exited.then(() => this.#lent.delete(wrapper));
    return wrapper;
  }

  /** After its attempt: kept warm, or ended when enough others are. */
  giveBack(wrapper: Wrapper): void {
    wrapper.listen(null);
    wrapper.ready = false;
    if (!this.#lent.delete(wrapper) || !wrapper.usable) return;
    this.#rest(wrapper);
    while (this.#idle.length > this.#options.idleMax) this.#endOldest();
  }

  /** Ends the idle ones. The others hear that their owner is gone, and leave when their attempt is over. */
  async dispose(): Promise<void> {
    await this.#starting;
    for (const wrapper of this.#lent) wrapper.child.detach();
    this.#lent.clear();
    while (this.#idle.length > 0) this.#endOldest();
    await Promise.all(this.#ending);
  }

  #endOldest(): void {
    const [oldest] = this.#idle;
    if (oldest) this.#end(oldest);
  }

  #end(wrapper: Wrapper): void {
    this.#forget(wrapper);
    const end = wrapper.end().finally(() => this.#ending.delete(end));
    this.#ending.add(end);
  }

  #rest(wrapper: Wrapper): void {
    this.#idle.push(wrapper);
    wrapper.idleTimer = this.#options.world.clock.after(this.#options.warmIdleMs, () => this.#end(wrapper));
    void wrapper.child.exited.then(() => this.#forget(wrapper));
  }

  #forget(wrapper: Wrapper): void {
    wrapper.idleTimer?.[Symbol.dispose]();
    wrapper.idleTimer = null;
    const index = this.#idle.indexOf(wrapper);
    if (index >= 0) this.#idle.splice(index, 1);
  }

  async #fork(): Promise<Wrapper> {
    const { world, agentDir, extensionPaths, noExtensions, hostEntry, execPath, env } = this.#options;
    const cwd = this.#options.cwd ?? process.cwd();
    const folder = join(agentDir, "crew", "workers");
    await world.files.makeFolder(folder);
    const outputFile = join(folder, `${world.random.hex(8)}.log`);
    const options: WrapperOptions = { agentDir, cwd, extensionPaths, noExtensions, outputFile };
    const args = [startScript, hostEntry, JSON.stringify(options)];
    return new Wrapper(world, world.processes.fork({ execPath, args, cwd, env: { ...env }, outputFile }), outputFile);
  }
}
