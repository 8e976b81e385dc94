import { type RunManifest, tasksToDo } from "../runs/manifest.ts";
import { taskOf } from "../runs/run-state.ts";
import type { OpenRun, RunView } from "../store/run-store.ts";
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
 * Keeps which failed tasks of runs another one does again that goes on with them: in their dead letters, and, of the run
 * that it goes on with itself, in the log, where its owner tells it. Never rejects, as that is under way: gives what the
 * user has to know, empty when all is kept. What is kept already stays as it is.
 */
export async function recordContinuation(
  session: Session,
  family: readonly RunView[],
  { runId: newRunId, resumedFrom, tasks, kept }: RunManifest,
): Promise<string> {
  const runs = await session.runs();
  const again = new Set(tasksToDo({ tasks, kept }));
  const said: string[] = [];
  for (const { state } of family)
    for (const { taskId, redrivenAs } of state.tasks.filter(
      (task) => task.status === "failed" && again.has(task.taskId),
    )) {
      if (redrivenAs.includes(newRunId)) continue;
      said.push(await markLetters(runs, state.runId, taskId, newRunId));
      if (state.runId === resumedFrom) said.push(await tellSource(session, runs, state.runId, taskId, newRunId));
    }
  return [...new Set(said)].join("");
}

async function markLetters(runs: RunService, runId: string, taskId: string, newRunId: string): Promise<string> {
  try {
    const { letters } = await runs.deadLetters.ofRun(runId);
    for (const letter of letters) if (letter.taskId === taskId) await runs.deadLetters.redriven(letter, newRunId);
    return "";
  } catch (error) {
    return ` The dead letter could not be marked as redriven, and stays open: ${messageOf(error)}`;
  }
}

async function tellSource(
  { world }: Session,
  runs: RunService,
  runId: string,
  taskId: string,
  newRunId: string,
): Promise<string> {
  try {
    const told = await tellInLog(world, runs, runId, {
      asked: { kind: "redrive", taskId, newRunId },
      isTold: (state) => taskOf(state, taskId)?.redrivenAs.includes(newRunId) === true,
      why: "a redrive was told",
    });
    return told ? "" : ` Nobody who drives run ${runId} has answered yet: its log tells of it once somebody has.`;
  } catch (error) {
    return ` That could not be told in the log of run ${runId}: ${messageOf(error)}.`;
  }
}
