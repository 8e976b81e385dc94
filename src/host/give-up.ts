import type { CrewEventFields } from "../events/crew-event.ts";
import { isTerminal } from "../runs/run-state.ts";
import type { OpenRun } from "../store/run-store.ts";
import { dueDeadLetter } from "../supervision/dead-letter-decision.ts";
import { UserError } from "../system/errors.ts";
import { failedTask } from "./redrive.ts";
import type { RunService } from "./run-service.ts";
import type { Session } from "./session.ts";

/** Keeps a failed task as a dead letter, and tells it in the run's log. Gives what the user is told. */
export async function giveUpByHand(session: Session, run: string, taskId: string): Promise<string> {
  const runs = await session.runs();
  const view = await runs.view(await runs.store.find(run));
  const task = failedTask(view, taskId);
  const { runId } = view.manifest;
  const live = runs.active.find((active) => active.run.manifest.runId === runId);
  if (!live && !isTerminal(view.state.status))
    throw new UserError(
      "not-ours",
      `Run ${runId} is driven by another process; add its dead letter there, or when it ended.`,
    );
  const fields = dueDeadLetter(task, { kind: "manual" }, []);
  if (!fields) throw new UserError("not-failed", `Task ${taskId} of run ${runId} can't be given up.`);
  const { letter, added } = await runs.deadLetters.add({ runId, taskId, ...fields });
  if (!task.deadLetters.includes("manual")) await tell(runs, live?.run ?? runId, taskId, fields);
  if (!added) return `Task ${taskId} of run ${runId} is dead letter ${letter.id} already.`;
  return `Task ${taskId} of run ${runId} is dead letter ${letter.id} now. /team-redrive ${letter.id} runs it again.`;
}

/** An ended run is owned for as long as it takes to tell this. */
async function tell(
  runs: RunService,
  run: OpenRun | string,
  taskId: string,
  fields: CrewEventFields["crew.task.deadletter"],
): Promise<void> {
  const event = { type: "crew.task.deadletter" as const, taskId, ...fields };
  if (typeof run !== "string") {
    await run.publisher.publish(event);
    return;
  }
  const prepare = async ({ publisher }: OpenRun) => {
    await publisher.publish(event);
    await publisher.publish({ type: "crew.run.released", reason: "a dead letter was added" });
  };
  const taken = await runs.takeOver(run, { prepare });
  await taken?.done;
}
