import type { RunOwner } from "../events/crew-event.ts";
import { attemptUnderWay, isTerminal, type RunState } from "../runs/run-state.ts";
import { cancelWaiting } from "../store/inbox.ts";
import { attemptFolder } from "../store/layout.ts";
import type { RunView } from "../store/run-store.ts";
import type { RunFacts } from "../supervision/recovery-plan.ts";
import { isSameProcess } from "../system/same-process.ts";
import type { Processes, World } from "../system/world.ts";
import type { Standstill } from "../views/standstill.ts";
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

/** What recovery judges a run by: its log, its owner's process, its workers' folders, and what nobody has taken yet. */
export async function factsOfRun(world: World, crewRoot: string, view: RunView): Promise<RunFacts> {
  const cancelAsked = view.state.cancelAsked ?? (await cancelWaiting(world.files, view.folder));
  const state = { ...view.state, cancelAsked };
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
