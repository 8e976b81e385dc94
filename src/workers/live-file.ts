import { messageOf } from "../system/errors.ts";
import type { Redactor } from "../system/redaction.ts";
import type { World } from "../system/world.ts";
import { attemptPaths } from "./attempt-folder.ts";
import { type LivePart, liveReplyOf } from "./live-reply.ts";

const WRITE_MS = 250;

/** Keeps an attempt's `live.json`, and removes it when nothing is under way. Nothing depends on it: it never throws. */
export class LiveFile {
  readonly #world: Pick<World, "clock" | "files" | "log">;
  readonly #path: string;
  readonly #redactor: Redactor;
  readonly #logBytes: () => number;
  #parts: () => readonly LivePart[] = () => [];
  #timer: Disposable | null = null;
  #written = "";
  #turn: Promise<void> = Promise.resolve();
  #failed = false;
  #over = false;

  constructor(
    world: Pick<World, "clock" | "files" | "log">,
    attemptFolder: string,
    redactor: Redactor,
    logBytes: () => number,
  ) {
    this.#world = world;
    this.#path = attemptPaths(attemptFolder).live;
    this.#redactor = redactor;
    this.#logBytes = logBytes;
  }

  /** What is under way has changed; `parts` is asked when it is time to write. */
  show(parts: () => readonly LivePart[]): void {
    // a session that does not stop may go on after its attempt
    if (this.#over) return;
    this.#parts = parts;
    this.#timer ??= this.#world.clock.after(WRITE_MS, () => {
      this.#timer = null;
      void this.#write();
    });
  }

  /** Something has been finished and stands in the log. */
  logged(): void {
    if (this.#written !== "") void this.#write();
  }

  /** Resolves when the file is gone. */
  end(): Promise<void> {
    this.#over = true;
    this.#timer?.[Symbol.dispose]();
    this.#timer = null;
    this.#parts = () => [];
    return this.#write();
  }

  #write(): Promise<void> {
    this.#turn = this.#turn
      .then(async () => {
        const reply = liveReplyOf(this.#redactor, this.#parts(), this.#logBytes());
        const text = reply === null ? "" : JSON.stringify(reply);
        if (text === this.#written) return;
        this.#written = text;
        if (text === "") await this.#world.files.remove(this.#path);
        else await this.#world.files.replace(this.#path, text);
      })
      .catch((error: unknown) => {
        if (!this.#failed) this.#world.log.warn("live.json not written", { error: messageOf(error) });
        this.#failed = true;
      });
    return this.#turn;
  }
}
