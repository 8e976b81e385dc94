import type { DeadLetter } from "../store/dead-letter-lines.ts";
import { type DeadLetters, deadLetterId } from "../store/dead-letters.ts";
import { countDeadLetter, deadLetterAlertId, NO_DEAD_LETTERS } from "../supervision/dead-letter-decision.ts";
import { messageOf } from "../system/errors.ts";
import { counted } from "../views/units.ts";
import type { Notify } from "./record-dead-letter.ts";

const DEDUP_MS = 3_600_000;

/**
 * Tells when this letter, which is on disk, is one too many; resolves when that is told and never rejects. Who ends a
 * task awaits it first: after its run's end a notice reaches neither the run's log nor who follows the run.
 */
export type DeadLetterAlert = (letter: Pick<DeadLetter, "runId" | "taskId" | "reason">) => Promise<void>;

/**
 * Alerts when more than `threshold` dead letters of the project were written within an hour, once an hour. It goes by
 * the letters that are kept, so that a restart neither forgets any nor alerts again: of all sessions, the one whose
 * letter is one too many tells.
 */
export function deadLetterAlert(
  deadLetters: Pick<DeadLetters, "list">,
  threshold: number,
  notify: Notify,
): DeadLetterAlert {
  // an old run may be given a letter today, and whether an alert is due hangs on the one before: all of them count
  const list = shared(() => deadLetters.list({ limit: Number.POSITIVE_INFINITY }));
  return async ({ runId, taskId, reason }) => {
    try {
      const { letters } = await list();
      if (!isOneTooMany({ id: deadLetterId(runId, taskId, reason), runId }, letters, threshold)) return;
      notify({
        id: deadLetterAlertId(runId),
        severity: "error",
        source: "dead-letters",
        message: `More than ${counted(threshold, "task")} ${threshold === 1 ? "was" : "were"} given up within an hour, the last in run ${runId}. /team-deadletters lists them.`,
        dedupMs: DEDUP_MS,
        runId,
      });
    } catch (error) {
      notify(uncounted(error, runId));
    }
  };
}

/** One at a time: who asks while one is under way gets the next, together with all who ask until that begins. */
function shared<T>(look: () => Promise<T>): () => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | null = null;
  return () => {
    if (next) return next;
    const mine = last.then(() => {
      next = null;
      return look();
    });
    next = mine;
    last = mine.catch(() => undefined);
    return mine;
  };
}

function isOneTooMany(
  { id, runId }: { id: string; runId: string },
  newestFirst: readonly DeadLetter[],
  threshold: number,
): boolean {
  let rate = NO_DEAD_LETTERS;
  // of one millisecond: its run's in the order of writing, after those of other runs, looked at before it was there
  const isOwn = (letter: DeadLetter) => Number(letter.runId === runId);
  for (const letter of newestFirst.toReversed().sort((a, b) => timeOf(a) - timeOf(b) || isOwn(a) - isOwn(b))) {
    const counted = countDeadLetter(rate, timeOf(letter), threshold);
    if (letter.id === id) return counted.alert;
    rate = counted.rate;
  }
  return false;
}

function timeOf({ timestamp }: DeadLetter): number {
  return Date.parse(timestamp);
}

function uncounted(error: unknown, runId: string): Parameters<Notify>[0] {
  const message = `Dead letters can't be counted, so that too many of them raise no alert: ${messageOf(error)}`;
  return { id: "deadletter_uncounted", severity: "warning", source: "dead-letters", message, runId };
}
