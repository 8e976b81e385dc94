import { outputWidth } from "./output.ts";
import { reportEnd } from "./run-report.ts";
import type { Session } from "./session.ts";
import type { ShownRun } from "./shown-run.ts";

/** Tells a run's end once, in the session that shows it, where the model can read it too. */
export function announceEnd(session: Session, shown: ShownRun): void {
  shown.done
    .then(async (end) => {
      if (session.closed) return;
      const content = await reportEnd(session, shown, end, outputWidth());
      // the session may have been replaced meanwhile, and its pi be stale
      if (session.closed) return;
      const { runId } = shown.run.manifest;
      // the model that started a run in the background goes on with what came of it
      const options = shown.wake ? { triggerTurn: true, deliverAs: "followUp" as const } : {};
      session.pi.sendMessage({ customType: "foreman-run", content, display: true, details: { runId } }, options);
    })
    .catch((error: unknown) => session.world.log.warn("a run's end could not be told", { error: String(error) }));
}
