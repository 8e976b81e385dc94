import type { EventOf } from "../events/crew-event.ts";
import type { EventBus } from "../events/publisher.ts";
import type { DeadLetter } from "../store/dead-letter-lines.ts";
import { deadLetterId } from "../store/dead-letters.ts";
import { countDeadLetter, deadLetterAlertId, NO_DEAD_LETTERS } from "../supervision/dead-letter-decision.ts";
import { messageOf } from "../system/errors.ts";
import { counted } from "../views/units.ts";
import type { Notify } from "./record-dead-letter.ts";
import type { RunService } from "./run-service.ts";

const DEDUP_MS = 3_600_000;

interface AlertedRuns {
  readonly active: readonly { run: { manifest: { runId: string } } }[];
  readonly deadLetters: Pick<RunService["deadLetters"], "list">;
}

/**
 * Alerts when more than `threshold` tasks of the project were given up within an hour, once an hour. It goes by the
 * letters that are kept, so that a restart neither forgets any nor alerts again: of all sessions, the one whose letter
 * is one too many tells. A session that only follows a run leaves its letters to the one that drives it. Returns the
 * unsubscribe, which resolves when a count under way is over.
 */
export function alertOnDeadLetters(
  bus: Pick<EventBus, "on">,
  runs: AlertedRuns,
  threshold: number,
  notify: Notify,
): () => Promise<void> {
  let turn: Promise<void> = Promise.resolve();

  async function look({ runId, taskId = "", reason }: EventOf<"crew.task.deadletter">): Promise<void> {
    const { letters } = await runs.deadLetters.list({ limit: Number.POSITIVE_INFINITY });
    if (!isOneTooMany(deadLetterId(runId, taskId, reason), letters, threshold)) return;
    notify({
      id: deadLetterAlertId(runId),
      severity: "error",
      source: "dead-letters",
      message: `More than ${counted(threshold, "task")} ${threshold === 1 ? "was" : "were"} given up within an hour, the last in run ${runId}. /team-deadletters lists them.`,
      dedupMs: DEDUP_MS,
      runId,
    });
  }

  const stop = bus.on("crew.task.deadletter", (data) => {
    // the bus is the host's: what it carries is not typed
    const event = data as EventOf<"crew.task.deadletter">;
    if (!runs.active.some(({ run }) => run.manifest.runId === event.runId)) return;
    turn = turn.then(() => look(event)).catch((error: unknown) => notify(uncounted(error)));
  });
  return () => {
    stop();
    return turn;
  };
}

/** Letters that the user made by hand are no sign of trouble. */
function isOneTooMany(id: string, letters: readonly DeadLetter[], threshold: number): boolean {
  let rate = NO_DEAD_LETTERS;
  const automatic = letters.filter(({ reason }) => reason !== "manual");
  // of those of one millisecond it is the last: the others may have been looked at before it was there
  const isIt = (letter: DeadLetter) => Number(letter.id === id);
  for (const letter of automatic.sort((a, b) => timeOf(a) - timeOf(b) || isIt(a) - isIt(b))) {
    const counted = countDeadLetter(rate, timeOf(letter), threshold);
    if (letter.id === id) return counted.alert;
    rate = counted.rate;
  }
  return false;
}

function timeOf({ timestamp }: DeadLetter): number {
  return Date.parse(timestamp);
}

function uncounted(error: unknown): Parameters<Notify>[0] {
  const message = `Dead letters can't be counted, so that too many of them raise no alert: ${messageOf(error)}`;
  return { id: "deadletter_uncounted", severity: "warning", source: "dead-letters", message };
}
