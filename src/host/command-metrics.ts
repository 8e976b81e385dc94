import { reachNote } from "../export/http-guard.ts";
import { UserError } from "../system/errors.ts";
import { matchesGlob } from "../system/glob.ts";
import { renderMetricsTable } from "../views/metrics-table.ts";
import type { Command } from "./commands.ts";
import { RUNS_COMPARED_MAX, regressionsIn, workflowSampleOf } from "./regressions.ts";
import type { Session } from "./session.ts";
import { openTaskMetrics, renderScoreboard, scoreboardKeys, windowOf } from "./task-history.ts";
import { portOf, refuseStray, splitWords } from "./words.ts";

const USAGE =
  "Usage: /team-metrics [glob] [--json], /team-metrics --by model|role|team|workflow, or several with commas, [--window 24h], " +
  "/team-metrics --serve [--port 9091], /team-metrics --stop.";

const NOTHING_COUNTED = "Nothing is counted: observability.enabled is false in the configuration.";

/** `/team-metrics [glob] [--json]`: what this session counted; `--serve [--port n]`, `--stop`: the same over HTTP. */
export const metricsCommand: Command = async ({ session, args, width }) => {
  const { words, options, flags } = splitWords(args, ["port", "by", "window"], ["json", "serve", "stop"]);
  const [glob, ...more] = words;
  refuseStray(more, USAGE);
  if (flags.has("serve") && flags.has("json"))
    throw new UserError("usage", `--json does not go with --serve. ${USAGE}`);
  if (flags.has("serve")) return serve(session, options.get("port"));
  const by = options.get("by");
  if (by !== undefined) return scoreboard(session, by, options.get("window"));
  if (options.has("window")) throw new UserError("usage", `--window goes with --by. ${USAGE}`);
  if (options.has("port")) throw new UserError("usage", `--port goes with --serve. ${USAGE}`);
  if (flags.has("stop"))
    return (await (await session.telemetry()).stopServing()) ? "Nothing is served any more." : "Nothing was served.";
  if (!flags.has("json")) return metricsText(session, glob, width);
  const snapshot = (await session.telemetry()).registry.snapshot();
  const chosen = snapshot.filter(({ name }) => glob === undefined || matchesGlob(glob, name));
  return JSON.stringify({ session: session.id, startedAt: new Date(session.startedAt).toISOString(), metrics: chosen });
};

/** What this session counted, as a table; the metrics that the glob names, or all. */
export async function metricsText(session: Session, glob: string | undefined, width: number): Promise<string> {
  const { config } = await session.config();
  if (!config.observability.enabled) return NOTHING_COUNTED;
  const snapshot = (await session.telemetry()).registry.snapshot();
  return renderMetricsTable(snapshot, glob === undefined ? { width } : { width, glob }).join("\n");
}

async function serve(session: Session, given: string | undefined): Promise<string> {
  const { config } = await session.config();
  const port = portOf(given);
  const { url } = await (await session.telemetry()).serve(port ?? config.http.port);
  if (port && (new URL(url).port || "80") !== String(port))
    throw new UserError(
      "served",
      `It is served already, at ${url}. /team-metrics --stop ends that; then choose ${port}.`,
    );
  const ends = "until the session ends or /team-metrics --stop";
  return [
    `${url} shows this project's runs; ${url}metrics is for Prometheus, ${ends}.`,
    ...(config.observability.enabled ? [] : [`${url}metrics is empty: ${NOTHING_COUNTED}`]),
    ...reachNote(config.http.host),
  ].join("\n");
}

/** Over the tasks kept of this project, whichever session ran them; then what has become worse. */
async function scoreboard(session: Session, given: string, window: string | undefined): Promise<string> {
  const by = scoreboardKeys(given);
  const tasks = await openTaskMetrics(session.world, session.cwd, session.agentDir);
  const rows = await tasks.scoreboard({ windowMs: windowOf(window), by });
  const views = (await session.hasRuns()) ? await (await session.runs()).views(RUNS_COMPARED_MAX) : [];
  return [...renderScoreboard(rows, by), ...regressionsIn(views.map(workflowSampleOf))].join("\n");
}
