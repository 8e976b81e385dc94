import type { ExtensionAPI } from "@mariozechner/pi-coding-agent";
import { outputWidth } from "./output.ts";
import { reportEnd } from "./run-report.ts";
import type { ActiveRun } from "./run-service.ts";
import type { Session } from "./session.ts";

/** Tells a run's end once, in the session that drives it, where the model can read it too. */
export function announceEnd(pi: ExtensionAPI, session: Session, active: ActiveRun): void {
  active.done
    .then(async (end) => {
      if (session.closed) return;
      const content = await reportEnd(session, active, end, outputWidth());
      // the session may have been replaced meanwhile, and its pi be stale
      if (session.closed) return;
      const { runId } = active.run.manifest;
      pi.sendMessage({ customType: "foreman-run", content, display: true, details: { runId } });
    })
    .catch((error: unknown) => session.world.log.warn("a run's end could not be told", { error: String(error) }));
}
