import type { RunOwner } from "../events/crew-event.ts";
import type { EventBus } from "../events/publisher.ts";
import { isTerminal } from "../runs/run-state.ts";
import { LogFenced } from "../store/run-log.ts";
import type { OpenRun, RunStore } from "../store/run-store.ts";
import { messageOf } from "../system/errors.ts";
import { isSameProcess } from "../system/same-process.ts";
import type { World } from "../system/world.ts";

/** What a new owner does between its claim and driving on. */
export interface TakeOver {
  prepare?: (run: OpenRun) => Promise<void>;
  /** Takes it only to end it. */
  cancelReason?: string;
  /** The user wants it, though the owner can't be proved gone: it is on another machine, or in another container. */
  confirmed?: boolean;
}

/**
 * Nobody has it, or its owner is provably gone, or was we ourselves and lost it with its log. `confirmed`: the user wants
 * it where nothing can be proved.
 */
export function mayTake({ processes }: Pick<World, "processes">, owner: RunOwner | null, confirmed = false): boolean {
  if (owner === null || isSameProcess(owner, processes.self())) return true;
  const liveness = processes.alive(owner);
  return liveness === "dead" || (confirmed && liveness === "unknown");
}

/** Makes this process the run's owner; false when another one was faster. */
export function claimRun({ processes, random }: Pick<World, "processes" | "random">, run: OpenRun): Promise<boolean> {
  return run.claim({ ...processes.self(), nonce: random.hex(8) });
}

/**
 * A run whose log failed under this owner, read anew and claimed again: nothing is assumed of what was written and not
 * acknowledged. What the bus has not heard is told. LogFenced when another process has it by now.
 */
export async function reopenRun(
  { world, store, bus }: { world: World; store: RunStore; bus: EventBus },
  { manifest, toldSeq }: OpenRun,
): Promise<OpenRun | LogFenced> {
  const run = await store.open(manifest.runId, bus, toldSeq);
  try {
    if (mayTake(world, run.state.owner) && (await claimRun(world, run))) {
      // its end was in the log after all; when that can't be told, what was told already must not be told again
      if (isTerminal(run.state.status))
        await run.publisher
          .publish({ type: "crew.run.released", reason: "the run has ended" })
          .catch((error: unknown) => world.log.warn("a run was not let go of", { error: messageOf(error) }));
      return run;
    }
  } catch (error) {
    run.close();
    throw error;
  }
  run.close();
  return new LogFenced(run.state.owner);
}
