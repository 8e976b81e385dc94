import { isTerminal, type RunState } from "../runs/run-state.ts";
import { withdrawRequest } from "../store/inbox.ts";
import type { InboxRequest } from "../store/inbox-request.ts";
import type { OpenRun } from "../store/run-store.ts";
import type { World } from "../system/world.ts";
import type { RunService } from "./run-service.ts";

/** What is to stand in the log of a run, whoever owns that. */
export interface ToTell {
  asked: InboxRequest;
  isTold(state: RunState): boolean | Promise<boolean>;
  /** Why this process let go of the run, where that had ended. */
  why: string;
}

/**
 * Has something told in a run's log: by its owner, which is asked, or, where the run has ended, by this process, which
 * owns it for as long as that takes. False when its owner has not answered yet: the next one does. Rejects when it
 * could not be told.
 */
export async function tellInLog(world: World, runs: RunService, runId: string, toTell: ToTell): Promise<boolean> {
  const { asked, isTold, why } = toTell;
  const { state, folder } = await runs.view(runId);
  if (!isTerminal(state.status)) {
    const { id, answered } = await runs.ask(runId, asked);
    if (!answered && !isTerminal((await runs.view(runId)).state.status)) return false;
    // it ended without taking that
    if (!answered) await withdrawRequest(world.files, folder, id);
  }
  for (const mayAdd of [true, false]) {
    const now = (await runs.view(runId)).state;
    if (await isTold(now)) return true;
    if (mayAdd && isTerminal(now.status)) await addToEnded(runs, runId, asked, why);
  }
  throw new Error("its owner did not take it");
}

async function addToEnded(runs: RunService, runId: string, asked: InboxRequest, why: string): Promise<void> {
  const prepare = async (run: OpenRun) => {
    // it is ours by now: the answer is this process's own
    await runs.ask(runId, asked);
    await run.publisher.publish({ type: "crew.run.released", reason: why });
  };
  // who drove it to its end here has it for a moment more
  await runs.active.find(({ run }) => run.manifest.runId === runId)?.done;
  await (await runs.takeOver(runId, { prepare }))?.done;
}
