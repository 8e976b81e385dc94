import type { RunOwner } from "../events/crew-event.ts";
import { attemptUnderWay, isTerminal, type RunState } from "../runs/run-state.ts";
import { cancelWaiting } from "../store/inbox.ts";
import { attemptFolder } from "../store/layout.ts";
import type { RunView } from "../store/run-store.ts";
import { detectInterruptedRuns, type RunFacts } from "../supervision/recovery-plan.ts";
import { UserError } from "../system/errors.ts";
import { isSameProcess } from "../system/same-process.ts";
import type { Processes, World } from "../system/world.ts";
import type { Standstill } from "../views/standstill.ts";
import { formatDuration } from "../views/units.ts";
import { readAttemptFacts } from "../workers/attempt-facts.ts";

/** By another process, as is proved. */
export function isDrivenElsewhere(processes: Processes, owner: RunOwner): boolean {
  return !isSameProcess(owner, processes.self()) && processes.alive(owner) === "alive";
}

/** As its owner's process tells. A stopped owner is not gone: its run is nobody else's. */
export function driverStandstill(
  { status, owner }: Pick<RunState, "status" | "owner">,
  processes: Pick<Processes, "look">,
): Standstill | null {
  if (isTerminal(status)) return null;
  if (owner === null) return { kind: "unattended" };
  const { liveness, stopped } = processes.look(owner);
  if (liveness === "dead") return { kind: "unattended" };
  return stopped ? { kind: "stopped", pid: owner.pid } : null;
}

/**
 * Before a run is gone on with whose owner can't be proved gone, and may be on another machine or in another container.
 * Throws a UserError when that gave a sign of life, in this or another of its runs, within its `deadMs`.
 */
export function requireSilence(run: RunFacts, others: readonly RunFacts[], nowMs: number): void {
  const { runId, owner } = run.state;
  if (run.owner !== "unknown" || owner === null) return;
  const all = [run, ...others.filter(({ state }) => state.runId !== runId)];
  if (detectInterruptedRuns(all, nowMs).some((plan) => plan.runId === runId)) return;
  const text = `Run ${runId} may still be driven by process ${owner.pid} on another machine or in another container, which gave a sign of life in the last ${formatDuration(run.deadMs)}. When it has been silent for as long, /team-resume ${runId} goes on with the run.`;
  throw new UserError("owner-heard-of", text);
}

/** The run with a cancel that nobody who drives it has taken yet. */
export async function withAskedCancel({ files }: Pick<World, "files">, view: RunView): Promise<RunView> {
  if (isTerminal(view.state.status) || view.state.cancelAsked !== null) return view;
  return { ...view, state: { ...view.state, cancelAsked: await cancelWaiting(files, view.folder) } };
}

/** What recovery judges a run by: its log, its owner's process, its workers' folders, and what nobody has taken yet. */
export async function factsOfRun(world: World, crewRoot: string, view: RunView): Promise<RunFacts> {
  const { state } = await withAskedCancel(world, view);
  const workers = await Promise.all(
    state.tasks.flatMap((task) => {
      const attempt = attemptUnderWay(task)?.attempt;
      if (attempt === undefined) return [];
      const { taskId } = task;
      const folder = attemptFolder(crewRoot, state.runId, taskId, attempt);
      return readAttemptFacts(world, folder).then((facts) => ({ taskId, attempt, ...facts }));
    }),
  );
  const owner = state.owner === null ? "unknown" : world.processes.alive(state.owner);
  const { deadMs } = view.manifest.config.reliability.heartbeat;
  return { state, lastEventSeq: view.seq, lastEventAt: view.writtenAt, owner, workers, deadMs };
}
