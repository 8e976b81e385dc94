import type { ExtensionAPI } from "@mariozechner/pi-coding-agent";
import { messageOf } from "../system/errors.ts";
import { registerCommands } from "./commands.ts";
import { teamDepth } from "./config.ts";
import { Session } from "./session.ts";
import { meterSession } from "./session-meter.ts";
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
      goOn(session, event.reason === "startup");
    } catch (error) {
      session = null;
      if (ctx.hasUI) ctx.ui.notify(`pi-foreman could not start: ${messageOf(error)}`, "error");
    }
  });

  pi.on("session_shutdown", async ({ reason }) => {
    const ending = session;
    session = null;
    await ending?.close(reason === "quit");
  });

  meterSession(pi, () => session?.meter ?? null);
  registerCommands(pi, () => session);
}

/** What earlier sessions left is gone on with, when there are runs at all; the session does not wait for it. */
function goOn(session: Session, starting: boolean): void {
  session
    .hasRuns()
    .then(async (some) => some && (await session.recovery()).begin(starting))
    .catch((error: unknown) =>
      session.world.log.error("earlier runs were not gone on with", { error: messageOf(error) }),
    );
}
