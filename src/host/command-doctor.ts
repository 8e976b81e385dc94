import type { Catalog } from "../runs/definitions.ts";
import { runPaths } from "../store/layout.ts";
import { isDegraded } from "../store/run-log-reader.ts";
import { codeOf, messageOf } from "../system/errors.ts";
import { safeText } from "../system/safe-text.ts";
import { logNote } from "../views/log-note.ts";
import { counted } from "../views/units.ts";
import type { Command, CommandCall } from "./commands.ts";
import { hasRoom } from "./disk-room.ts";
import { findSdkEntry } from "./host-process.ts";
import { loadConfig } from "./load-config.ts";
import { packageVersion } from "./package-folder.ts";
import type { Session } from "./session.ts";
import type { Telemetry } from "./telemetry.ts";

/** Runs whose logs are looked at, the newest. */
const LOGS_MAX = 50;

/** `/team-doctor`: what works, what does not, and what to do about it. Changes nothing but the run folder it checks. */
export const doctorCommand: Command = async (call) => {
  const { session } = call;
  const catalog = await session.catalog();
  const lines = [
    `pi-foreman ${await packageVersion(session.world.files)} on Node ${process.versions.node}`,
    ...(await checks(call)),
    ...(await logs(call.session)),
    "",
    ...definitions(catalog, projectTrust(call.ctx)),
    ...(await configuration(session)),
    ...telemetry(await session.telemetry()),
  ];
  // names of files may hold anything, line ends too
  return lines.map((line) => safeText(line, { multiline: false })).join("\n");
};

async function checks({ session }: CommandCall): Promise<string[]> {
  const { model } = session;
  const sdk = await findSdkEntry(session.world.files, process.argv[1]);
  const root = await session.runs().then(
    async ({ store: { crewRoot } }) => {
      const ok = await hasRoom(session.world.files, crewRoot, "begin");
      return { ok, text: `runs are kept in ${crewRoot}${ok ? "" : ", whose disk is full: make room"}` };
    },
    (error: unknown) => ({ ok: false, text: messageOf(error) }),
  );
  return [
    check(model !== null, model !== null ? `model ${model}` : "no model is configured: use /model or /login"),
    check(
      sdk !== null,
      sdk === null ? "the host's SDK was not found: workers can't be started" : "the host's SDK was found",
    ),
    check(root.ok, root.text),
    check(true, `agent folder ${session.agentDir}`),
  ];
}

/** Of the newest runs; one that can't be read at all tells why. */
async function logs(session: Session): Promise<string[]> {
  const unreadable: string[] = [];
  const views = await session.runs().then(
    (runs) =>
      runs.views(LOGS_MAX, (runId, error) => {
        // whoever was making it was killed before there was a run, or is at it
        const { events } = runPaths(runs.store.crewRoot, runId);
        if (codeOf(error) === "unknown-run" && session.world.files.factsNow(events) === null) return;
        unreadable.push(`✗ run ${runId}: ${messageOf(error)}`);
      }),
    // where runs can't be kept, that is told above
    () => [],
  );
  const notes: string[] = [];
  // one after another: a log may be long
  for (const { manifest } of views) notes.push(...(await logNotes(session, manifest.runId)));
  if (unreadable.length + notes.length > 0) return [...unreadable, ...notes];
  return views.length === 0 ? [] : [check(true, `the logs of the newest runs (${views.length}) are whole`)];
}

async function logNotes(session: Session, runId: string): Promise<string[]> {
  try {
    const { health } = await (await session.runs()).store.log(runId);
    const note = logNote(health);
    return note === null ? [] : [`${isDegraded(health) ? "✗" : "·"} run ${runId}: its log ${note}`];
  } catch (error) {
    return [`✗ run ${runId}: ${messageOf(error)}`];
  }
}

/** Newer hosts ask the user whether they trust a project; null where the host has no such question. */
function projectTrust(ctx: object): boolean | null {
  const asked = ctx as { isProjectTrusted?: () => boolean };
  return typeof asked.isProjectTrusted === "function" ? asked.isProjectTrusted() : null;
}

function definitions(catalog: Catalog, trusted: boolean | null): string[] {
  const { agents, teams, workflows, problems } = catalog;
  const project = [...agents.values(), ...teams.values(), ...workflows.values()].filter(
    (it) => it.source.origin === "project",
  );
  const untrusted = trusted === false && project.length > 0;
  const warning = `! you have not trusted this project in Pi, and it brings ${counted(project.length, "definition")}: read what a team says before you run it`;
  return [
    `${counted(agents.size, "agent")}, ${counted(teams.size, "team")}, ${counted(workflows.size, "workflow")}`,
    ...(untrusted ? [warning] : []),
    ...project.map((it) => `  from the project${untrusted ? ", untrusted" : ""}: ${it.source.file}`),
    ...problems.map((it) => `${it.severity === "error" ? "✗" : "!"} ${it.file}:${it.line}: ${it.message}`),
  ];
}

/** Read anew: what the session took at its start may be mended by now. */
async function configuration({ world, agentDir, cwd }: Session): Promise<string[]> {
  const { problems } = await loadConfig(world.files, agentDir, cwd);
  return problems.length === 0 ? ["configuration: no problems"] : problems.map((problem) => `✗ ${problem.message}`);
}

function telemetry({ problems, otlp, exporters }: Telemetry): string[] {
  const channels = otlp()?.channels ?? [];
  return [
    ...problems.map((problem) => `! ${problem}`),
    ...channels.map(({ signal, host, accepted, failed, itemsLost, itemsRejected, lastError, lastWarning }) =>
      accepted + failed + itemsLost === 0
        ? `· OTLP ${signal} to ${host}: not tried yet`
        : check(
            lastError === null && itemsLost + itemsRejected === 0,
            `OTLP ${signal} to ${host}: ${counted(accepted, "request")} accepted, ${counted(itemsRejected, "item")} rejected, ${itemsLost} lost` +
              ((lastError ?? lastWarning) ? ` (${lastError ?? lastWarning})` : ""),
          ),
    ),
    ...exporters().map(({ name, pushed, failed, skipped, lastError }) =>
      pushed + failed === 0
        ? `· ${name}: not tried yet`
        : check(
            lastError === null,
            `${name}: pushed ${counted(pushed, "time")}, ${failed} failed, ${skipped} skipped${lastError ? ` (${lastError})` : ""}`,
          ),
    ),
  ];
}

function check(ok: boolean, text: string): string {
  return `${ok ? "✓" : "✗"} ${text}`;
}
