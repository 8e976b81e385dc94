import { join } from "node:path";
import { diagnosticOf, RECENT_EVENTS_MAX, type WorkerSight } from "../export/diagnostic.ts";
import { diagnosticHtml } from "../export/diagnostic-html.ts";
import { attemptFolder, displayPath, exportsFolder } from "../store/layout.ts";
import { isDegraded } from "../store/run-log-reader.ts";
import type { RunView } from "../store/run-store.ts";
import { heartbeatAgeMs } from "../supervision/heartbeat.ts";
import { messageOf, UserError } from "../system/errors.ts";
import { openRedactor } from "../system/redaction-sources.ts";
import type { World } from "../system/world.ts";
import { readAttemptFacts } from "../workers/attempt-facts.ts";
import type { Command } from "./commands.ts";
import { ENV } from "./config.ts";
import { packageVersion } from "./package-folder.ts";
import type { Session } from "./session.ts";

/** `/team-export [run]`: the one run under way when none is named, else the newest. */
export const exportCommand: Command = async ({ session, args }) => (await exportRun(session, args)).said;

/** Writes all about a run, without secrets, as JSON and as a page. Throws a UserError when it can't be written. */
export async function exportRun(session: Session, named: string): Promise<{ runId: string; said: string }> {
  const { world, agentDir, cwd } = session;
  const { store } = await session.runs();
  const shown = named === "" ? await session.shownRuns() : [];
  const only = shown.length === 1 ? shown[0]?.run.manifest.runId : undefined;
  const runId = only ?? (await store.find(named));
  // one of its own, to tell how much it masked
  const redactor = await openRedactor({ files: world.files, env: ENV, agentDir });
  const diagnostic = diagnosticOf(await factsOf(session, runId), redactor);
  const stamp = diagnostic.exportedAt.replace(/\D/g, "").slice(0, 17);
  const base = join(exportsFolder(store.crewRoot), `${runId}-${stamp}`);
  const files = [`${base}.json`, `${base}.html`] as const;
  await write(world, exportsFolder(store.crewRoot), [
    [files[0], `${JSON.stringify(diagnostic, null, 2)}\n`],
    [files[1], diagnosticHtml(diagnostic)],
  ]);
  const masked = Object.values(redactor.count()).reduce((sum, count) => sum + count, 0);
  const values = masked === 1 ? "1 value was masked" : `${masked} values were masked`;
  const paths = files.map((path) => `  ${displayPath(path, cwd)}`);
  const note = `${values} as secret. Look at them before you hand them on: they hold goals, errors and what agents said.`;
  return { runId, said: [`Run ${runId} is exported:`, ...paths, note].join("\n") };
}

async function factsOf(session: Session, runId: string) {
  const { world } = session;
  const [runs, { config }] = await Promise.all([session.runs(), session.config()]);
  const known = await runs.view(runId);
  const { crewRoot } = runs.store;
  const { events, health } = await runs.store.log(runId);
  const view = { ...known, health, degraded: isDegraded(health) };
  const counts = config.observability.enabled && config.telemetry.enabled;
  const version = await packageVersion(world.files);
  return {
    now: world.clock.now(),
    view,
    events: events.slice(-RECENT_EVENTS_MAX),
    deadLetters: (await runs.deadLetters.ofRun(runId)).letters,
    workers: await workersOf(world, crewRoot, view),
    env: ENV,
    about: { "pi-foreman": version, node: process.version, platform: `${process.platform} ${process.arch}` },
    metrics: counts ? (await session.telemetry()).registry.snapshot() : null,
  };
}

/** Of each task that was begun, the worker of its last attempt. */
async function workersOf(world: World, crewRoot: string, { manifest, state }: RunView): Promise<WorkerSight[]> {
  const sights = state.tasks.map(async ({ taskId, attempts }) => {
    const attempt = attempts.at(-1)?.attempt;
    if (attempt === undefined) return [];
    const folder = attemptFolder(crewRoot, manifest.runId, taskId, attempt);
    const { heartbeat, process, ended } = await readAttemptFacts(world, folder);
    const silentMs = heartbeat === null ? null : heartbeatAgeMs(heartbeat, world.clock.now());
    return [{ taskId, attempt, lastSeenAt: heartbeat?.lastSeenAt ?? null, silentMs, process, ended }];
  });
  return (await Promise.all(sights)).flat();
}

async function write({ files }: World, folder: string, texts: readonly (readonly [string, string])[]): Promise<void> {
  try {
    await files.makeFolder(folder);
    const facts = await files.facts(folder);
    if (facts?.kind !== "directory") throw new Error(`it is a ${facts?.kind ?? "missing folder"}`);
    await files.writeAtomic(join(folder, ".gitignore"), "*\n");
    for (const [path, text] of texts) await files.writeAtomic(path, text);
  } catch (error) {
    throw new UserError("export", `Nothing was exported: ${folder} can't be written (${messageOf(error)}). Mend it.`, {
      cause: error,
    });
  }
}
