import type { EventOf } from "../events/crew-event.ts";
import type { EventBus } from "../events/publisher.ts";
import { countDeadLetter, deadLetterAlertId, NO_DEAD_LETTERS } from "../supervision/dead-letter-decision.ts";
import type { Notify } from "./record-dead-letter.ts";

const DEDUP_MS = 3_600_000;

/** Alerts when more than `threshold` tasks of the project were given up within an hour. Returns the unsubscribe. */
export function alertOnDeadLetters(bus: Pick<EventBus, "on">, threshold: number, notify: Notify): () => void {
  let rate = NO_DEAD_LETTERS;
  return bus.on("crew.task.deadletter", (data) => {
    // the bus is the host's: what it carries is not typed
    const { runId, ts } = data as EventOf<"crew.task.deadletter">;
    const counted = countDeadLetter(rate, ts, threshold);
    rate = counted.rate;
    if (!counted.alert) return;
    notify({
      id: deadLetterAlertId(runId),
      severity: "error",
      source: "dead-letters",
      message: `More than ${threshold} tasks were given up within an hour, the last in run ${runId}. /team-deadletters lists them.`,
      dedupMs: DEDUP_MS,
      runId,
    });
  });
}
