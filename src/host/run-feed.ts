import type { CrewEvent } from "../events/crew-event.ts";
import { CREW_EVENT_TYPES } from "../events/event-durability.ts";
import type { EventBus } from "../events/publisher.ts";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import type { AskedQuestion } from "./ask-the-user.ts";
import type { RunWidget } from "./widget.ts";

const REDRAW_MS = 500;
const CLOCK_MS = 1000;
/** No run's id. */
const ALL = "";

/** The session's one ear on the bus for all who follow a run: an emitter warns of more than ten listeners. */
export class RunFeed {
  /** What shows the session's runs above its editor, once there was one. */
  widget: RunWidget | null = null;
  /** The dashboard lies over the screen: what a dialog would be typed into can't be seen. */
  covered = false;
  /** What workers asked and this session's user was shown, by run and task. */
  readonly questions = new Map<string, AskedQuestion>();
  /** Done when its dialog is closed. */
  lastQuestion: Promise<unknown> = Promise.resolve();
  readonly #world: Pick<World, "clock" | "log">;
  readonly #followers = new Map<string, Set<() => void>>();
  readonly #unsubscribes: Array<() => void>;

  constructor(bus: EventBus, world: Pick<World, "clock" | "log">) {
    this.#world = world;
    const onEvent = (data: unknown) => {
      const { runId = "" } = data as Partial<CrewEvent>;
      for (const id of [runId, ALL]) for (const tell of this.#followers.get(id) ?? []) tell();
    };
    this.#unsubscribes = CREW_EVENT_TYPES.map((type) => bus.on(type, onEvent));
  }

  /**
   * Calls `redraw` when something happened in the run, at most twice a second, and each second for its clock. What it
   * throws is kept from the timer, where it would end Pi. Dispose to stop.
   */
  follow(runId: string, redraw: () => void): Disposable {
    const heard = this.hear(runId, redraw);
    const seconds = this.#world.clock.every(CLOCK_MS, heard.draw);
    return {
      [Symbol.dispose]: () => {
        seconds[Symbol.dispose]();
        heard[Symbol.dispose]();
      },
    };
  }

  /** As `follow`, without the clock; null follows all runs. */
  hear(followed: string | null, redraw: () => void): Disposable & { draw: () => void } {
    const { clock, log } = this.#world;
    const runId = followed ?? ALL;
    const draw = () => {
      try {
        redraw();
      } catch (error) {
        log.warn("a run's progress could not be drawn", { runId, error: messageOf(error) });
      }
    };
    let timer: Disposable | null = null;
    const tell = () => {
      timer ??= clock.after(REDRAW_MS, () => {
        timer = null;
        draw();
      });
    };
    const followers = this.#followers.get(runId) ?? new Set();
    this.#followers.set(runId, followers.add(tell));
    return {
      draw,
      [Symbol.dispose]: () => {
        timer?.[Symbol.dispose]();
        followers.delete(tell);
        if (followers.size === 0) this.#followers.delete(runId);
      },
    };
  }

  /** Ends the subscriptions, closes the dialogs and forgets its followers' runs. */
  [Symbol.dispose](): void {
    for (const { over } of this.questions.values()) over.abort();
    for (const unsubscribe of this.#unsubscribes) unsubscribe();
    this.#followers.clear();
  }
}
