import type { CrewEvent } from "../events/crew-event.ts";
import { applyEvent } from "../runs/apply-event.ts";
import type { RunManifest } from "../runs/manifest.ts";
import { initialRunState, isTerminal, type RunState } from "../runs/run-state.ts";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import { RunLogReader } from "./run-log-reader.ts";

const POLL_MS = 500;

export interface FollowerParts {
  world: Pick<World, "clock" | "files" | "log">;
  manifest: RunManifest;
  /** The run's `events.jsonl`. */
  path: string;
  /** Those that came since the call before, folded already; awaited before the next ones are read. */
  onEvents(events: readonly CrewEvent[]): Promise<void>;
}

/** Reads the log of a run that another process drives, as it grows, until the run has ended. */
export class RunFollower {
  readonly #parts: FollowerParts;
  readonly #reader: RunLogReader;
  readonly #sources: Disposable[];
  readonly #end: () => void;
  #state: RunState;
  #turn: Promise<void> = Promise.resolve();
  #waiting = false;
  #stopped = false;
  /** Resolves when the run's end was told, or the following stopped. */
  readonly done: Promise<void>;

  constructor(parts: FollowerParts) {
    this.#parts = parts;
    this.#reader = new RunLogReader(parts.world.files, parts.path);
    this.#state = initialRunState(parts.manifest);
    let end: () => void = () => undefined;
    this.done = new Promise((resolve) => {
      end = resolve;
    });
    this.#end = end;
    const look = () => this.#look();
    const { clock, files } = parts.world;
    this.#sources = [clock.every(POLL_MS, look), files.watch(parts.path, look)];
    look();
  }

  get state(): RunState {
    return this.#state;
  }

  /** Resolves when what the log holds now was told. */
  async caughtUp(): Promise<void> {
    this.#look();
    await this.#turn;
  }

  /** Tells nothing more; resolves when a telling under way is over. Idempotent. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const source of this.#sources.splice(0)) source[Symbol.dispose]();
    await this.#turn;
    this.#end();
  }

  #look(): void {
    if (this.#waiting || this.#stopped) return;
    this.#waiting = true;
    this.#turn = this.#turn.then(() => this.#read());
  }

  async #read(): Promise<void> {
    this.#waiting = false;
    if (this.#stopped) return;
    const { log } = this.#parts.world;
    try {
      const events = await this.#reader.readNew();
      if (events.length === 0) return;
      this.#state = events.reduce(applyEvent, this.#state);
      await this.#parts.onEvents(events);
      if (isTerminal(this.#state.status)) void this.stop();
    } catch (error) {
      // read again at the next look: the reader stands where it stood, or behind what it gave
      log.warn("a run's log could not be followed", { path: this.#parts.path, error: messageOf(error) });
    }
  }
}
