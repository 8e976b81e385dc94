import type { ExtensionAPI } from "@mariozechner/pi-coding-agent";
import { messageOf } from "../system/errors.ts";
import { registerCommands } from "./commands.ts";
import { teamDepth } from "./config.ts";
import { Session } from "./session.ts";
import { registerTeamTool } from "./team-tool.ts";

/**
 * What Pi calls. Only registrations happen here: some invocations load extensions without ever opening a session, and
 * a factory that throws keeps the host from starting.
 */
export default function foreman(pi: ExtensionAPI): void {
  // in a worker our tool and commands would only invite teams within teams
  if (teamDepth() > 0) return;
  let session: Session | null = null;

  pi.on("session_start", (event, ctx) => {
    // RPC's new_session tells the same session twice
    if (session && !session.closed && session.id === ctx.sessionManager.getSessionId()) return;
    void session?.close();
    try {
      session = new Session(pi, ctx);
      registerTeamTool(pi, ctx, () => session);
      if (event.reason !== "startup") handOver(pi, session);
    } catch (error) {
      session = null;
      if (ctx.hasUI) ctx.ui.notify(`pi-foreman could not start: ${messageOf(error)}`, "error");
    }
  });

  pi.on("session_shutdown", async () => {
    const ending = session;
    session = null;
    await ending?.close();
  });

  registerCommands(pi, () => session);
}

/** Loaded when there may be something to take over; the session does not wait for it. */
function handOver(pi: ExtensionAPI, session: Session): void {
  import("./hand-over.ts")
    .then(({ takeOverReleased }) => takeOverReleased(pi, session))
    .catch((error: unknown) => session.world.log.error("hand-over failed", { error: messageOf(error) }));
}
