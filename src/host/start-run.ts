import type { ExtensionAPI } from "@mariozechner/pi-coding-agent";
import { UserError } from "../system/errors.ts";
import { buildManifest, type RunRequest } from "./build-manifest.ts";
import type { ActiveRun } from "./run-service.ts";
import type { Session } from "./session.ts";

/** Makes a run of this session's project and starts driving it. Throws a UserError for what the user can mend. */
export async function startRun(pi: ExtensionAPI, session: Session, request: RunRequest): Promise<ActiveRun> {
  const [runs, catalog, { config, problems }] = await Promise.all([
    session.runs(),
    session.catalog(),
    session.config(),
  ]);
  if (session.closed) throw new UserError("session-ended", "The session ended before the run began; start it again.");
  if (problems.length > 0)
    session.context?.ui.notify(`${problems[0]?.message} /team-doctor shows all that could not be used.`, "warning");
  const manifest = buildManifest(catalog, request, {
    ...newRunId(session),
    sessionId: session.id,
    cwd: session.cwd,
    model: session.model,
    thinking: pi.getThinkingLevel(),
    attemptTimeoutSec: config.limits.attemptTimeoutSec,
  });
  return runs.start(manifest);
}

/** Ids sort by the time their runs were made. */
export function newRunId({ world }: Session): { runId: string; createdAt: string } {
  const createdAt = new Date(world.clock.now()).toISOString();
  const time = createdAt.slice(0, 23).replaceAll(/[-:.]/g, "").replace("T", "-");
  return { runId: `${time}-${world.random.hex(4)}`, createdAt };
}
