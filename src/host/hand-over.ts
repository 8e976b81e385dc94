import type { ExtensionAPI } from "@mariozechner/pi-coding-agent";
import { findCrewRoot } from "../store/layout.ts";
import { messageOf } from "../system/errors.ts";
import { announceEnd } from "./announce-end.ts";
import { showProgress } from "./run-display.ts";
import type { Session } from "./session.ts";

const LOOKED_AT_MAX = 50;

/**
 * Goes on with the runs that the session before in this same Pi let go of: at once and without asking, because their
 * workers are still at it. Never rejects.
 */
export async function takeOverReleased(pi: ExtensionAPI, session: Session): Promise<void> {
  try {
    if ((await findCrewRoot(session.world.files, session.cwd, session.agentDir)) === null) return;
    const runs = await session.runs();
    for (const id of (await runs.store.ids()).slice(0, LOOKED_AT_MAX)) {
      const view = await runs.view(id).catch(() => null);
      if (view?.state.status !== "running" || view.state.owner !== null) continue;
      if (session.closed) return;
      const active = await runs.takeOver(id);
      if (!active) continue;
      showProgress(session, active);
      announceEnd(pi, session, active);
    }
  } catch (error) {
    session.world.log.error("runs of the session before could not be taken over", { error: messageOf(error) });
  }
}
