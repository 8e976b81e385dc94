import { CREW_EVENT_TYPES, type CrewEvent } from "../events/crew-event.ts";
import type { EventBus } from "../events/publisher.ts";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";

const REDRAW_MS = 500;
const CLOCK_MS = 1000;

/** The session's one ear on the bus for all who follow a run: an emitter warns of more than ten listeners. */
export class RunFeed {
  readonly #world: Pick<World, "clock" | "log">;
  readonly #followers = new Map<string, Set<() => void>>();
  readonly #unsubscribes: Array<() => void>;

  constructor(bus: EventBus, world: Pick<World, "clock" | "log">) {
    this.#world = world;
    const onEvent = (data: unknown) => {
      const { runId = "" } = data as Partial<CrewEvent>;
      for (const tell of this.#followers.get(runId) ?? []) tell();
    };
    this.#unsubscribes = CREW_EVENT_TYPES.map((type) => bus.on(type, onEvent));
  }

  /**
   * Calls `redraw` when something happened in the run, at most twice a second, and each second for its clock. What it
   * throws is kept from the timer, where it would end Pi. Dispose to stop.
   */
  follow(runId: string, redraw: () => void): Disposable {
    const { clock, log } = this.#world;
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
    const seconds = clock.every(CLOCK_MS, draw);
    return {
      [Symbol.dispose]: () => {
        seconds[Symbol.dispose]();
        timer?.[Symbol.dispose]();
        followers.delete(tell);
        if (followers.size === 0) this.#followers.delete(runId);
      },
    };
  }

  /** Ends the subscriptions and forgets its followers' runs. */
  [Symbol.dispose](): void {
    for (const unsubscribe of this.#unsubscribes) unsubscribe();
    this.#followers.clear();
  }
}
