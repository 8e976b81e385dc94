import { type RunState, taskOf } from "../runs/run-state.ts";
import type { RecordDeadLetter } from "../runs/task-run.ts";
import type { DeadLetters } from "../store/dead-letters.ts";
import type { OpenRun } from "../store/run-store.ts";
import { dueDeadLetter } from "../supervision/dead-letter-decision.ts";
import { messageOf, UserError } from "../system/errors.ts";
import type { DeadLetterAlert } from "./dead-letter-alert.ts";
import type { Notification } from "./notification-router.ts";
import { failedTask } from "./redrive.ts";
import type { RunService } from "./run-service.ts";
import type { Session } from "./session.ts";
import { tellInLog } from "./tell-in-log.ts";

/** Tells the user something beside the work. Never throws. */
export type Notify = (notification: Notification) => void;

/** What keeping a dead letter takes. */
export interface KeepingParts {
  deadLetters: DeadLetters;
  deadLetterAlert: DeadLetterAlert;
  notify: Notify;
}

/** Keeps a run's dead letters. One that can't be written fails nothing else, but the user sees it. */
export function deadLetterRecorder(parts: KeepingParts, runId: string): RecordDeadLetter {
  const { deadLetters, deadLetterAlert, notify } = parts;
  return async (taskId, letter) => {
    try {
      await deadLetters.add({ runId, taskId, ...letter });
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
    // before the letter is told: the next owner of a run whose owner dies here looks again
    await deadLetterAlert({ runId, taskId, reason: letter.reason });
    return true;
  };
}

/** Keeps a failed task as a dead letter and tells it, each once; false when it did not fail. */
export async function giveUpTask(
  run: OpenRun,
  { deadLetters, deadLetterAlert }: Omit<KeepingParts, "notify">,
  taskId: string,
): Promise<boolean> {
  const { runId } = run.manifest;
  const task = taskOf(run.state, taskId);
  const letter = task ? dueDeadLetter(task, { kind: "manual" }, []) : null;
  if (!task || !letter) return false;
  await deadLetters.add({ runId, taskId, ...letter });
  if (task.deadLetters.includes("manual")) return true;
  await deadLetterAlert({ runId, taskId, reason: letter.reason });
  await run.publisher.publish({ type: "crew.task.deadletter", taskId, ...letter });
  return true;
}

/** Keeps a failed task as a dead letter, and tells it in the run's log. Gives what the user is told. */
export async function giveUpByHand(session: Session, run: string, taskId: string): Promise<string> {
  const runs = await session.runs();
  const view = await runs.view(await runs.store.find(run));
  const { runId } = view.manifest;
  failedTask(view, taskId);
  const { letters } = await runs.deadLetters.ofRun(runId);
  const open = letters.find((letter) => letter.taskId === taskId && letter.status === "open");
  if (open && open.reason !== "manual") return `Task ${taskId} of run ${runId} is dead letter ${open.id} already.`;
  const before = await manualLetter(runs, runId, taskId);
  const asked = { kind: "deadletter", taskId } as const;
  const isTold = async (state: RunState) =>
    isToldByHand(state, taskId) && (await manualLetter(runs, runId, taskId)) !== undefined;
  if (
    !(await isTold(view.state)) &&
    !(await tellInLog(session.world, runs, runId, { asked, isTold, why: "a dead letter was added" }))
  )
    return `Another Pi drives run ${runId}; it was asked to give task ${taskId} up and has not answered yet. /team-deadletters shows when it has.`;
  const letter = await manualLetter(runs, runId, taskId);
  if (!letter)
    throw new UserError("not-given-up", `Task ${taskId} of run ${runId} was not given up; its owner's log says why.`);
  if (before) return `Task ${taskId} of run ${runId} is dead letter ${letter.id} already.`;
  return `Task ${taskId} of run ${runId} is dead letter ${letter.id} now. /team-redrive ${letter.id} runs it again.`;
}

function isToldByHand(state: RunState, taskId: string): boolean {
  return taskOf(state, taskId)?.deadLetters.includes("manual") === true;
}

async function manualLetter(runs: RunService, runId: string, taskId: string) {
  const { letters } = await runs.deadLetters.ofRun(runId);
  return letters.find((letter) => letter.taskId === taskId && letter.reason === "manual");
}
