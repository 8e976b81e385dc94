import type { CrewEventFields } from "../events/crew-event.ts";
import { workEndOf } from "../runs/endings.ts";
import { isTerminal } from "../runs/run-state.ts";
import { attemptFolder } from "../store/layout.ts";
import type { OpenRun } from "../store/run-store.ts";
import { INTERRUPTED } from "../supervision/failure-kind.ts";
import type { RecoveryStep } from "../supervision/recovery-decision.ts";
import type { RecoveryPlan } from "../supervision/recovery-plan.ts";
import type { World } from "../system/world.ts";
import { closeAttempt, readAttemptFacts, readLastSign, readRemains } from "../workers/attempt-facts.ts";
import { attemptTags, giveUpAttempt } from "../workers/attempt-folder.ts";
import { endTagged } from "../workers/attempt-processes.ts";
import type { TakeOver } from "./claim-run.ts";

const SWEEP_MS_MAX = 1000;

/** What the new owner of an interrupted run does before it drives on. Plain data. */
export interface Resumption {
  proof: RecoveryPlan["proof"];
  interruptedAttempts: RecoveryPlan["interruptedAttempts"];
  resumed: CrewEventFields["crew.run.resumed"];
}

export function resumptionOf({ plan, resumed }: Extract<RecoveryStep, { kind: "resume" }>): Resumption {
  return { proof: plan.proof, interruptedAttempts: plan.interruptedAttempts, resumed };
}

/** How a run is taken over to go on with it; of one that was let go of there is nothing to tell before. */
export function takingOver(world: World, crewRoot: string, resumption: Resumption | null): TakeOver {
  if (resumption === null) return {};
  const prepare = (run: OpenRun) => applyResumption(world, crewRoot, resumption, run);
  return { prepare, confirmed: resumption.proof === "silence" };
}

/**
 * The first that a new owner tells. Once for each interruption, also when this owner dies over it and another one comes:
 * the run's state has the reason until the run goes on, is let go of, or ends.
 */
export async function tellInterrupted(reason: RecoveryPlan["proof"], { state, publisher }: OpenRun): Promise<void> {
  if (isTerminal(state.status) || state.reason !== null) return;
  await publisher.publish({ type: "crew.run.interrupted", reason });
}

/**
 * Tells of the interruption, ends the attempts nobody is at any more, and tells that the run goes on. Where another owner
 * has brought it to its end meanwhile there is nothing to go on with.
 */
async function applyResumption(
  world: World,
  crewRoot: string,
  { proof, interruptedAttempts, resumed }: Resumption,
  run: OpenRun,
): Promise<void> {
  if (isTerminal(run.state.status)) return;
  await tellInterrupted(proof, run);
  const begun: string[] = [];
  for (const attempt of interruptedAttempts)
    if (!(await endInterrupted(world, crewRoot, run, attempt))) begun.push(attempt.taskId);
  await run.publisher.publish({
    type: "crew.run.resumed",
    ...resumed,
    resumableTasks: resumed.resumableTasks.filter((taskId) => !begun.includes(taskId)),
    adoptedTasks: [...resumed.adoptedTasks, ...begun],
  });
}

/**
 * Its worker went down with the owner: what it used is counted, and it does not count as a try. False when there is
 * somebody at it after all: a worker that was given it just before the owner died, and began it since it was planned.
 */
async function endInterrupted(
  world: World,
  crewRoot: string,
  run: OpenRun,
  { taskId, attempt }: { taskId: string; attempt: number },
): Promise<boolean> {
  const { runId } = run.manifest;
  const folder = attemptFolder(crewRoot, runId, taskId, attempt);
  const record = run.state.tasks.find((task) => task.taskId === taskId)?.attempts.find((it) => it.attempt === attempt);
  if (record?.status !== "running") return true;
  if (!(await closeAttempt(world, folder))) {
    const { process, ended } = await readAttemptFacts(world, folder);
    if (ended || process === "alive") return false;
    if (process !== "dead") {
      await giveUpAttempt(world.files, folder);
      // its worker may have written its end just before
      if ((await readAttemptFacts(world, folder)).ended) return false;
    }
  }
  // what the worker had started is in groups of its own and did not go down with it
  await endTagged(world, attemptTags({ runId, taskId, attempt }, record.workerId), SWEEP_MS_MAX);
  const { tokens, costUsd, model } = await readRemains(world, folder, record.workerKind);
  // it was at work until its last sign of life, and not until somebody came; of one that nobody had begun there is none
  const seenAt = (await readLastSign(world, folder)) ?? record.startedAt;
  const finishedAt = workEndOf(seenAt, record.startedAt, world.clock.now());
  await run.publisher.publish({
    type: "crew.task.attempt_finished",
    taskId,
    attempt,
    outcome: "lost",
    durationMs: finishedAt - record.startedAt,
    finishedAt,
    tokens,
    costUsd,
    failureKind: "lost",
    error: { kind: INTERRUPTED, message: "The worker went down with the process that drove the run." },
    ...(model === null ? {} : { model }),
  });
  return true;
}
