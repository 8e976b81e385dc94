import type { InboxRequest } from "../store/inbox-request.ts";
import type { OpenRun } from "../store/run-store.ts";
import type { RunService } from "./run-service.ts";

/** Answers a request about an ended run, which this process owns for as long as that takes. `why` it let go of it. */
export async function addToEnded(runs: RunService, runId: string, asked: InboxRequest, why: string): Promise<void> {
  const prepare = async (run: OpenRun) => {
    // it is ours by now: the answer is this process's own
    await runs.ask(runId, asked);
    await run.publisher.publish({ type: "crew.run.released", reason: why });
  };
  // who drove it to its end here has it for a moment more
  await runs.active.find(({ run }) => run.manifest.runId === runId)?.done;
  await (await runs.takeOver(runId, { prepare }))?.done;
}
