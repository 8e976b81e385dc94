import { messageOf } from "../system/errors.ts";
import type { CrewEvent, NewEvent } from "./crew-event.ts";
import { EVENT_DURABILITY } from "./event-durability.ts";

/** What Pi's `pi.events` offers; the same shape serves processes without Pi. `on` returns the unsubscribe. */
export interface EventBus {
  emit(channel: string, data: unknown): void;
  on(channel: string, handler: (data: unknown) => void): () => void;
}

/** The run's log, as a publisher sees it. */
export interface EventLogWriter {
  /** Gives the event its place and writes it. Throws when it can't; the event then has no place. */
  append(event: NewEvent): CrewEvent;
  /** Resolves when all that was appended is on disk. */
  sync(): Promise<void>;
}

/** The log could not take an event: nothing may be done any more that would have to be written down. */
export class LogFailed extends Error {
  override readonly name = "LogFailed";
}

export interface Publisher {
  /**
   * Appends to the log, waits for the disk when the event is of the durable kind, folds it into the run's state and
   * tells the bus: in this order, exactly once, and in the order of publishing. Rejects when the log can't take it;
   * then nobody has been told. After a failed sync nothing more is told: a state without that event would be false.
   */
  publish(event: NewEvent): Promise<CrewEvent>;
}

export function createPublisher(options: {
  log: EventLogWriter;
  bus: EventBus;
  fold: (event: CrewEvent) => void;
  /** A subscriber threw, or the bus was taken away. Never stops a run. */
  onSubscriberError: (message: string, event: CrewEvent) => void;
}): Publisher {
  const { log, bus, fold, onSubscriberError } = options;
  let told: Promise<unknown> = Promise.resolve();

  function tell(event: CrewEvent): CrewEvent {
    fold(event);
    try {
      bus.emit(event.type, event);
    } catch (error) {
      onSubscriberError(messageOf(error), event);
    }
    return event;
  }

  async function settle(event: CrewEvent, before: Promise<unknown>): Promise<CrewEvent> {
    const onDisk = EVENT_DURABILITY[event.type] === "sync" ? log.sync() : undefined;
    // both are awaited even when the first fails, so that no rejection is left unheard
    const [earlier, synced] = await Promise.allSettled([before, onDisk]);
    if (earlier.status === "rejected") throw earlier.reason;
    if (synced.status === "rejected") throw synced.reason;
    return tell(event);
  }

  return {
    async publish(event) {
      const placed = log.append(event);
      const settled = settle(placed, told);
      // heard by the next event's turn; if none follows, by whoever published this one
      settled.catch(() => undefined);
      told = settled;
      return settled;
    },
  };
}
