import { type Mode, modeOf } from "./output.ts";
import type { Session } from "./session.ts";

/** A session's dialogs. In the terminal the host puts a second one in the place of the first, and the keys go with it. */
export class Dialogs {
  readonly #session: Session;
  #open = 0;
  #mode: Mode | null = null;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Whether one that comes by itself would take no key that is meant for something else. */
  get areWelcome(): boolean {
    const { context } = this.#session;
    if (!context?.hasUI) return false;
    // a client shows each by itself
    if (!this.inTerminal) return true;
    return this.#open === 0 && !this.#session.feed().covered && context.ui.getEditorText() === "";
  }

  /** Found once: an older host reads a folder for it. */
  get inTerminal(): boolean {
    const { context } = this.#session;
    if (context) this.#mode ??= modeOf(context);
    return this.#mode === "tui";
  }

  /** To be told of each dialog, and of what may open one. */
  async during<T>(dialog: () => Promise<T>): Promise<T> {
    this.#open++;
    try {
      return await dialog();
    } finally {
      this.#open--;
    }
  }
}
