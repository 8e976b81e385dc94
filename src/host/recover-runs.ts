import { join } from "node:path";
import type { ExtensionAPI } from "@mariozechner/pi-coding-agent";
import { isTerminal, type RunState } from "../runs/run-state.ts";
import { attemptFolder, runPaths } from "../store/layout.ts";
import type { OpenRun, RunView } from "../store/run-store.ts";
import { INTERRUPTED } from "../supervision/failure-kind.ts";
import { answerStep, type RecoveryStep, recoveryStep } from "../supervision/recovery-decision.ts";
import { detectInterruptedRuns, type RecoveryPlan, type RunFacts } from "../supervision/recovery-plan.ts";
import { codeOf, messageOf } from "../system/errors.ts";
import type { ProcessIdentity, World } from "../system/world.ts";
import { closeAttempt, readAttemptFacts, readRemains } from "../workers/attempt-facts.ts";
import { announceEnd } from "./announce-end.ts";
import { showProgress } from "./run-display.ts";
import type { RunService } from "./run-service.ts";
import type { Session } from "./session.ts";

const LOOKED_AT_MAX = 100;

/** What became of runs that their owner left behind: facts → plan → the user's word → done. */
export async function recoverRuns(pi: ExtensionAPI, session: Session): Promise<void> {
  // without anybody to tell, an interrupted run stays as it is, and is listed
  if (!session.context?.hasUI) return;
  const runs = await session.runs();
  const views = await unendedRuns(session, runs);
  for (const view of views) if (wasLetGo(session, view)) await goOn(pi, session, runs, view);
  const facts = await Promise.all(views.map((view) => factsOf(session, runs, view)));
  const { config } = await session.config();
  for (const interrupted of detectInterruptedRuns(facts, session.world.clock.now())) {
    if (session.closed) return;
    const { autoRecover } = config.reliability;
    const step = recoveryStep(interrupted, { autoRecover, canAsk: true, askedBefore: false });
    try {
      await apply(pi, session, runs, step);
    } catch (error) {
      const { runId } = interrupted.plan;
      session.world.log.error("an interrupted run was not recovered", { runId, error: messageOf(error) });
      session.context?.ui.notify(
        `Run ${runId} was interrupted and could not be recovered: ${messageOf(error)}`,
        "error",
      );
    }
  }
}

/** Of this folder: a run of another one was not made here, whoever put it here. */
async function unendedRuns(session: Session, runs: RunService): Promise<RunView[]> {
  const views: RunView[] = [];
  for (const id of (await runs.store.ids()).slice(0, LOOKED_AT_MAX)) {
    const view = await runs.view(id).catch(() => null);
    if (view && !isTerminal(view.state.status) && view.manifest.cwd === session.cwd) views.push(view);
  }
  return views;
}

/** By a Pi on this machine that has ended since: its user quit, and meant the run to go on next time. */
function wasLetGo({ world }: Session, { state: { status, owner, releasedBy } }: RunView): boolean {
  return status === "running" && owner === null && releasedBy !== null && world.processes.alive(releasedBy) === "dead";
}

async function goOn(pi: ExtensionAPI, session: Session, runs: RunService, { manifest }: RunView): Promise<void> {
  const taken = session.closed ? null : await runs.takeOver(manifest.runId);
  if (!taken) return;
  session.context?.ui.notify(
    `Run ${manifest.runId} goes on where the last session left it. /team-cancel ${manifest.runId} ends it.`,
    "info",
  );
  showProgress(session, taken);
  announceEnd(pi, session, taken);
}

async function factsOf(session: Session, runs: RunService, { state, seq, writtenAt }: RunView): Promise<RunFacts> {
  const workers = await Promise.all(
    openAttempts(state).map(async ({ taskId, attempt }) => {
      const folder = attemptFolder(runs.store.crewRoot, state.runId, taskId, attempt);
      return { taskId, attempt, ...(await readAttemptFacts(session.world, folder)) };
    }),
  );
  const owner = state.owner === null ? "unknown" : session.world.processes.alive(state.owner);
  return { state, lastEventSeq: seq, lastEventAt: writtenAt, owner, workers };
}

function openAttempts(state: RunState): { taskId: string; attempt: number }[] {
  return state.tasks.flatMap(({ taskId, status, attempts }) => {
    const last = attempts.at(-1);
    return status === "running" && last?.status === "running" ? [{ taskId, attempt: last.attempt }] : [];
  });
}

async function apply(pi: ExtensionAPI, session: Session, runs: RunService, step: RecoveryStep): Promise<void> {
  const { plan } = step;
  switch (step.kind) {
    case "none":
      return;
    case "ask":
      return apply(pi, session, runs, answerStep(plan, await ask(session, runs, plan)));
    case "close": {
      const taken = await runs.takeOver(plan.runId, { cancelReason: step.reason });
      await taken?.done;
      if (taken)
        session.context?.ui.notify(
          `Run ${plan.runId} was interrupted and is closed; nothing it did is lost. /team-resume ${plan.runId} continues it.`,
          "warning",
        );
      return;
    }
    case "resume": {
      const prepare = async (run: OpenRun) => {
        for (const attempt of plan.interruptedAttempts) await endInterrupted(session, runs, run, attempt);
        await run.publisher.publish({ type: "crew.run.resumed", ...step.resumed });
      };
      const taken = await runs.takeOver(plan.runId, { prepare });
      if (!taken) return;
      showProgress(session, taken);
      announceEnd(pi, session, taken);
    }
  }
}

/** One session asks, however many are open: the one whose name is in the run's folder. */
async function ask(session: Session, runs: RunService, plan: RecoveryPlan): Promise<"confirm" | "decline" | "none"> {
  const { context, world } = session;
  const file = join(runPaths(runs.store.crewRoot, plan.runId).folder, "asking.json");
  if (!context || !(await mayAsk(world, file))) return "none";
  const { resumableTasks, preservedTasks, adoptableTasks, runId } = plan;
  const facts = [
    `kept as they are: ${list(preservedTasks)}`,
    `worker still at work: ${list(adoptableTasks)}`,
    `done again or still to do: ${list(resumableTasks)}`,
  ];
  try {
    const yes = await context.ui.confirm(
      `Continue the interrupted run ${runId}?`,
      `${facts.join("\n")}\nNo cancels it.`,
    );
    if (session.closed) return "none";
    return yes ? "confirm" : "decline";
  } finally {
    await world.files.remove(file);
  }
}

async function mayAsk({ files, processes }: World, file: string): Promise<boolean> {
  const self = JSON.stringify(processes.self());
  try {
    await files.writeNew(file, self);
    return true;
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
  const asker = parseIdentity(await files.readText(file));
  if (asker !== null && processes.alive(asker) !== "dead") return false;
  await files.writeAtomic(file, self);
  return true;
}

function parseIdentity(text: string | null): ProcessIdentity | null {
  try {
    return text === null ? null : (JSON.parse(text) as ProcessIdentity | null);
  } catch {
    return null;
  }
}

function list(tasks: readonly string[]): string {
  return tasks.length === 0 ? "none" : tasks.join(", ");
}

/** Its worker went down with the owner: what it used is counted, and it does not count as a try. */
async function endInterrupted(
  session: Session,
  runs: RunService,
  run: OpenRun,
  { taskId, attempt }: { taskId: string; attempt: number },
): Promise<void> {
  const { world } = session;
  const folder = attemptFolder(runs.store.crewRoot, run.manifest.runId, taskId, attempt);
  await closeAttempt(world, folder);
  const { tokens, costUsd, model } = await readRemains(world, folder);
  const record = run.state.tasks.find((task) => task.taskId === taskId)?.attempts.find((it) => it.attempt === attempt);
  await run.publisher.publish({
    type: "crew.task.attempt_finished",
    taskId,
    attempt,
    outcome: "lost",
    durationMs: record ? Math.max(0, world.clock.now() - record.startedAt) : 0,
    tokens,
    costUsd,
    failureKind: "lost",
    error: { kind: INTERRUPTED, message: "The worker went down with the process that drove the run." },
    ...(model === null ? {} : { model }),
  });
}
