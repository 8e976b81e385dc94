import { UserError } from "../system/errors.ts";
import { agreeToCommands } from "./agreed-commands.ts";
import { buildManifest, type RunRequest } from "./build-manifest.ts";
import { runConfigOf } from "./run-config.ts";
import { withBaseCommit } from "./run-worktrees.ts";
import type { Session } from "./session.ts";
import type { ShownRun } from "./shown-run.ts";

/**
 * Makes a run of this session's project and starts it: driven by the session, or, when asked for in the background,
 * by a process of its own. `wake`: the end of a background run begins a turn of the model. Throws a UserError for
 * what the user can mend.
 */
export async function startRun(session: Session, request: RunRequest, wake: boolean): Promise<ShownRun> {
  const [runs, catalog, { config, problems }] = await Promise.all([
    session.runs(),
    session.catalog(),
    session.config(),
  ]);
  if (session.closed) throw new UserError("session-ended", "The session ended before the run began; start it again.");
  if (problems.length > 0)
    session.context?.ui.notify(`${problems[0]?.message} /team-doctor shows all that could not be used.`, "warning");
  const built = buildManifest(catalog, request, {
    ...newRunId(session),
    sessionId: session.id,
    cwd: session.cwd,
    model: session.model,
    thinking: session.pi.getThinkingLevel(),
    config: runConfigOf(config),
  });
  const manifest = await withBaseCommit(session, built);
  const origin = catalog.workflows.get(manifest.workflow)?.source.origin ?? "project";
  await agreeToCommands(session, manifest, origin);
  return request.background ? (await session.background()).start(manifest, wake) : runs.start(manifest);
}

/** Ids sort by the time their runs were made. */
export function newRunId({ world }: Session): { runId: string; createdAt: string } {
  const createdAt = new Date(world.clock.now()).toISOString();
  const time = createdAt.slice(0, 23).replaceAll(/[-:.]/g, "").replace("T", "-");
  return { runId: `${time}-${world.random.hex(4)}`, createdAt };
}
