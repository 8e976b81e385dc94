import type { RecordDeadLetter } from "../runs/task-run.ts";
import type { DeadLetters } from "../store/dead-letters.ts";
import { messageOf } from "../system/errors.ts";
import type { Notification } from "./notification-router.ts";

/** Tells the user something beside the work. Never throws. */
export type Notify = (notification: Notification) => void;

/** Keeps a run's dead letters. One that can't be written fails nothing else, but the user sees it. */
export function deadLetterRecorder(deadLetters: DeadLetters, notify: Notify, runId: string): RecordDeadLetter {
  return async (taskId, letter) => {
    try {
      await deadLetters.add({ runId, taskId, ...letter });
      return true;
    } catch (error) {
      notify({
        id: `deadletter_unwritten_${runId}_${taskId}`,
        severity: "error",
        source: "dead-letters",
        message:
          `Task ${taskId} of run ${runId} was given up, but could not be kept as a dead letter: ${messageOf(error)} ` +
          `Once that is mended, /team-deadletters add ${runId} ${taskId} keeps it.`,
        runId,
      });
      return false;
    }
  };
}
