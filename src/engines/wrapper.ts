import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf } from "../system/errors.ts";
import type { ChildProcess, World } from "../system/world.ts";
import { isWrapperMessage, type OwnerMessage, type WrapperOptions } from "../workers/wrapper-messages.ts";

const endMs = 1000;
const outputTailBytes = 4000;
const lineFeed = 10;
const startScript = fileURLToPath(new URL("../workers/start.mjs", import.meta.url));

export interface WrapperStart {
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
}

/** Throws when it can't be started at once. Its own output goes to a file in `folder`. */
export function startWrapper(start: WrapperStart, folder: string, warm: boolean, onExit: () => void): Wrapper {
  const { world, agentDir, extensionPaths, noExtensions, hostEntry, execPath, env, cwd = process.cwd() } = start;
  const outputFile = join(folder, `${world.random.hex(8)}.log`);
  const options: WrapperOptions = { agentDir, cwd, extensionPaths, noExtensions, warm, outputFile };
  const args = [startScript, hostEntry, JSON.stringify(options)];
  const child = world.processes.fork({ execPath, args, cwd, env: { ...env }, outputFile });
  return new Wrapper(world, child, outputFile, warm, onExit);
}

/** What an attempt hears from its wrapper. */
export interface WrapperListener {
  changed(): void;
  /** The attempt is over but can't be recorded yet, because of `why`. */
  waiting(why: string): void;
  /** `refused` says why the attempt was not begun. */
  ended(refused: string | null): void;
  /** The process has ended, or was never there. Nothing follows. */
  gone(): void;
}

/** A wrapper process of ours. */
export class Wrapper {
  readonly child: ChildProcess;
  /** Resolves when it is ready for the first time, or gone. */
  readonly started: Promise<void>;
  readonly #world: World;
  readonly #outputFile: string;
  #listener: WrapperListener | null = null;
  #exited = false;
  #leaving = false;
  ready = false;
  /** Of the attempt it was given last; null while it is idle. */
  attemptFolder: string | null = null;
  idleTimer: Disposable | null = null;
  /** Whether the host is loaded in it, or being loaded. */
  warm: boolean;

  constructor(world: World, child: ChildProcess, outputFile: string, warm: boolean, onExit: () => void) {
    this.warm = warm;
    this.#world = world;
    this.child = child;
    this.#outputFile = outputFile;
    child.keepAlive(false);
    let start: () => void = () => undefined;
    this.started = new Promise((resolve) => {
      start = resolve;
    });
    child.onMessage((message) => {
      if (!isWrapperMessage(message)) return;
      if (message.type === "ready") {
        this.ready = true;
        start();
      } else if (message.type === "changed") this.#listener?.changed();
      else if (message.type === "waiting") this.#listener?.waiting(message.why);
      else {
        this.#leaving = message.leaving;
        this.#listener?.ended(message.refused);
      }
    });
    // the only one that waits for the end: a wrapper does many attempts, and each would leave its own here
    void child.exited.then(() => {
      this.#exited = true;
      start();
      onExit();
      this.#listener?.gone();
      this.#listener = null;
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
    if (this.#exited) listener?.gone();
  }

  send(message: OwnerMessage): boolean {
    return this.child.send(message);
  }

  /** Ends the process with its group, whatever it does. */
  kill(): void {
    if (!this.#exited) this.#world.processes.killGroup(this.child.pid, "SIGKILL");
  }

  /** Ends an idle wrapper; resolves when it is gone. One that is not ready has nothing to put in order. */
  async end(): Promise<void> {
    const { clock, files } = this.#world;
    const gone = new AbortController();
    // or this process could end before it has seen the end of that one
    this.child.keepAlive(true);
    if (this.ready) this.send({ type: "end" });
    const killed = clock.sleep(this.ready ? endMs : 0, gone.signal).then(() => this.kill());
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
      if (!bytes) return "";
      // half a line may hold half a secret, which nobody would know for one
      const whole = from === 0 ? bytes : bytes.subarray(bytes.indexOf(lineFeed) + 1 || bytes.byteLength);
      return Buffer.from(whole).toString("utf8").trim();
    } catch (error) {
      return messageOf(error);
    }
  }
}
