import { taskOf } from "../runs/run-state.ts";
import type { OpenRun } from "../store/run-store.ts";
import { messageOf } from "../system/errors.ts";
import type { RunService } from "./run-service.ts";
import type { Session } from "./session.ts";
import { tellInLog } from "./tell-in-log.ts";

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
  runId: string,
  taskId: string,
  newRunId: string,
): Promise<string> {
  const runs = await session.runs();
  const said: string[] = [];
  await markLetters(runs, runId, taskId, newRunId).catch((error: unknown) => {
    said.push(` The dead letter could not be marked as redriven, and stays open: ${messageOf(error)}`);
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
  const told = await tellInLog(world, runs, runId, {
    asked: { kind: "redrive", taskId, newRunId },
    isTold: (state) => taskOf(state, taskId)?.redrivenAs.includes(newRunId) === true,
    why: "a redrive was told",
  });
  return told ? "" : ` Nobody who drives run ${runId} has answered yet: its log tells of it once somebody has.`;
}
