import type { ExtensionAPI } from "@mariozechner/pi-coding-agent";
import type { RunView } from "../store/run-store.ts";
import { messageOf } from "../system/errors.ts";
import { isSameProcess } from "../system/same-process.ts";
import { announceEnd } from "./announce-end.ts";
import { showProgress } from "./run-display.ts";
import type { Session } from "./session.ts";

const LOOKED_AT_MAX = 50;

/**
 * Goes on with the runs that the session before in this same Pi let go of: at once and without asking, because their
 * workers are still at it. A run that can't be taken is told in the log.
 */
export async function takeOverReleased(pi: ExtensionAPI, session: Session): Promise<void> {
  const runs = await session.runs();
  for (const id of (await runs.store.ids()).slice(0, LOOKED_AT_MAX)) {
    if (session.closed) return;
    try {
      const view = await runs.view(id);
      const active = isOurs(session, view) ? await runs.takeOver(id) : null;
      if (!active) continue;
      showProgress(session, active);
      announceEnd(pi, session, active);
    } catch (error) {
      session.world.log.error("a run of the session before was not taken over", { runId: id, error: messageOf(error) });
    }
  }
}

/** Let go of by this very process, and of this folder: any other run may have been planted, or is another Pi's. */
function isOurs({ world, cwd }: Session, { manifest, state }: RunView): boolean {
  const { status, releasedBy } = state;
  return (
    status === "running" &&
    releasedBy !== null &&
    isSameProcess(releasedBy, world.processes.self()) &&
    manifest.cwd === cwd
  );
}
