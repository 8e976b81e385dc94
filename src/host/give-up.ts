import { isTerminal, taskOf } from "../runs/run-state.ts";
import type { OpenRun, RunView } from "../store/run-store.ts";
import { UserError } from "../system/errors.ts";
import { giveUpTask } from "./owner-requests.ts";
import { failedTask } from "./redrive.ts";
import type { RunService } from "./run-service.ts";
import type { Session } from "./session.ts";

/** Keeps a failed task as a dead letter, and tells it in the run's log. Gives what the user is told. */
export async function giveUpByHand(session: Session, run: string, taskId: string): Promise<string> {
  const runs = await session.runs();
  const view = await runs.view(await runs.store.find(run));
  const { runId } = view.manifest;
  failedTask(view, taskId);
  const before = await manualLetter(runs, runId, taskId);
  const answered = isTerminal(view.state.status)
    ? await addToEnded(runs, view, taskId)
    : (await runs.ask(runId, { kind: "deadletter", taskId })).answered;
  if (!answered)
    return `Another Pi drives run ${runId}; it was asked to give task ${taskId} up and has not answered yet. /team-deadletters shows when it has.`;
  const letter = await manualLetter(runs, runId, taskId);
  if (!letter)
    throw new UserError("not-given-up", `Task ${taskId} of run ${runId} was not given up; its owner's log says why.`);
  if (before) return `Task ${taskId} of run ${runId} is dead letter ${letter.id} already.`;
  return `Task ${taskId} of run ${runId} is dead letter ${letter.id} now. /team-redrive ${letter.id} runs it again.`;
}

async function manualLetter(runs: RunService, runId: string, taskId: string) {
  const { letters } = await runs.deadLetters.ofRun(runId);
  return letters.find((letter) => letter.taskId === taskId && letter.reason === "manual");
}

/** An ended run is owned for as long as it takes to tell this. */
async function addToEnded(runs: RunService, { manifest, state }: RunView, taskId: string): Promise<boolean> {
  const told = taskOf(state, taskId)?.deadLetters.includes("manual");
  if (told && (await manualLetter(runs, manifest.runId, taskId))) return true;
  const prepare = async (run: OpenRun) => {
    await giveUpTask(run, runs.deadLetters, taskId);
    await run.publisher.publish({ type: "crew.run.released", reason: "a dead letter was added" });
  };
  const taken = await runs.takeOver(manifest.runId, { prepare });
  await taken?.done;
  return true;
}
