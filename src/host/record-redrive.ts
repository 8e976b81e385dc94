import { isTerminal, taskOf } from "../runs/run-state.ts";
import { withdrawRequest } from "../store/inbox.ts";
import type { OpenRun, RunView } from "../store/run-store.ts";
import { messageOf } from "../system/errors.ts";
import { addToEnded } from "./add-to-ended.ts";
import type { RunService } from "./run-service.ts";
import type { Session } from "./session.ts";

/** Tells in the run's log, once, that its task is done again by another run; false when that did not fail. */
export async function tellRedriven(run: OpenRun, taskId: string, newRunId: string): Promise<boolean> {
  const task = taskOf(run.state, taskId);
  if (task?.status !== "failed") return false;
  if (!task.redrivenAs.includes(newRunId))
    await run.publisher.publish({ type: "crew.task.redriven", taskId, newRunId });
  return true;
}

/**
 * Keeps with the run whose task is done again that it is, and as what: in its dead letters, and in its log, where its
 * owner tells it. Never rejects, as the new run is under way: gives what the user has to know, empty when all is kept.
 */
export async function recordRedrive(
  session: Session,
  { manifest: { runId } }: RunView,
  taskId: string,
  newRunId: string,
): Promise<string> {
  const runs = await session.runs();
  const said: string[] = [];
  await markLetters(runs, runId, taskId, newRunId).catch((error: unknown) => {
    said.push(` The dead letter could not be marked as redriven: ${messageOf(error)}`);
  });
  await tellSource(session, runs, runId, taskId, newRunId)
    .then((waiting) => said.push(waiting))
    .catch((error: unknown) => said.push(` That could not be told in the log of run ${runId}: ${messageOf(error)}.`));
  return said.join("");
}

async function markLetters(runs: RunService, runId: string, taskId: string, newRunId: string): Promise<void> {
  const { letters } = await runs.deadLetters.ofRun(runId);
  for (const letter of letters) if (letter.taskId === taskId) await runs.deadLetters.redriven(letter, newRunId);
}

async function tellSource(
  { world }: Session,
  runs: RunService,
  runId: string,
  taskId: string,
  newRunId: string,
): Promise<string> {
  const asked = { kind: "redrive", taskId, newRunId } as const;
  const { state, folder } = await runs.view(runId);
  if (!isTerminal(state.status)) {
    const { id, answered } = await runs.ask(runId, asked);
    if (!answered && !isTerminal((await runs.view(runId)).state.status))
      return ` Nobody who drives run ${runId} has answered yet: its log tells of it once somebody has.`;
    // it ended without taking that
    if (!answered) await withdrawRequest(world.files, folder, id);
  }
  for (const mayAdd of [true, false]) {
    const now = (await runs.view(runId)).state;
    if (taskOf(now, taskId)?.redrivenAs.includes(newRunId)) return "";
    if (mayAdd && isTerminal(now.status)) await addToEnded(runs, runId, asked, "a redrive was told");
  }
  throw new Error("its owner did not take it");
}
