import type { CrewEvent, CrewEventType, EventOf } from "../events/crew-event.ts";
import { CREW_EVENT_TYPES } from "../events/event-durability.ts";
import { messageOf } from "../system/errors.ts";

/** A decision about every event: what it moves, or `null` for nothing, on purpose. A missing one does not compile. */
export type MetricTable = { readonly [T in CrewEventType]: ((event: EventOf<T>) => void) | null };

/** What a subscriber needs of a bus; `pi.events` has it. `on` returns the unsubscribe. */
export interface EventSource {
  on(channel: string, handler: (data: unknown) => void): () => void;
}

/**
 * Lets the bus move a table's metrics, until the returned function is called (twice does no harm). A partial table is
 * a user's own mapping. What is not an event of ours is ignored; what a table throws goes to `onProblem`, once per
 * event type, and neither reaches the bus.
 */
export function subscribeMetricTable(
  bus: EventSource,
  table: Partial<MetricTable>,
  onProblem: (message: string) => void,
): () => void {
  const unsubscribers: Array<() => void> = [];
  for (const type of CREW_EVENT_TYPES) {
    // the table's key and the event's type are the same by construction; TypeScript can't follow that
    const move = table[type] as ((event: CrewEvent) => void) | null | undefined;
    if (!move) continue;
    let told = false;
    const handle = (data: unknown) => {
      if (!isEventOn(type, data)) return;
      try {
        move(data);
      } catch (error) {
        if (told) return;
        told = true;
        onProblem(`${type} of run ${data.runId} could not be counted: ${messageOf(error)}`);
      }
    };
    unsubscribers.push(bus.on(type, handle));
  }
  return () => {
    for (const unsubscribe of unsubscribers.splice(0)) unsubscribe();
  };
}

/** Another extension may emit on our channel: the envelope is checked, the event's own fields are not. */
function isEventOn(type: CrewEventType, data: unknown): data is CrewEvent {
  if (typeof data !== "object" || data === null) return false;
  const envelope = data as Record<string, unknown>;
  return (
    envelope["v"] === 1 &&
    envelope["type"] === type &&
    Number.isSafeInteger(envelope["seq"]) &&
    typeof envelope["runId"] === "string"
  );
}
