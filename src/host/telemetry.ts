import { type ExporterCounts, Exporters } from "../export/exporter.ts";
import type { HttpServer } from "../export/http-server.ts";
import type { Otlp, OtlpStatus } from "../export/otlp-exporter.ts";
import type { RoleOfTask } from "../export/otlp-traces.ts";
import { Buckets } from "../metrics/buckets.ts";
import { type LiveWork, registerLiveWork, subscribeCrewMetrics } from "../metrics/crew-metrics.ts";
import { MetricHistory, STEP_MS } from "../metrics/history.ts";
import { subscribeMetricTable } from "../metrics/metric-table.ts";
import { createMetricRegistry, type MetricRegistry } from "../metrics/registry.ts";
import { registerSessionMetrics, type SessionMetrics } from "../metrics/session-metrics.ts";
import type { MetricsSnapshot } from "../metrics/snapshot.ts";
import { findCrewRoot, metricsRoot } from "../store/layout.ts";
import { MetricSink } from "../store/metric-sink.ts";
import { messageOf, UserError } from "../system/errors.ts";
import type { Redactor } from "../system/redaction.ts";
import type { Clock } from "../system/world.ts";
import { ENV } from "./config.ts";
import type { Config } from "./config-schema.ts";
import { inTurn } from "./in-turn.ts";
import { packageVersion } from "./package-folder.ts";
import { openToPlugins } from "./plugins.ts";
import type { Session } from "./session.ts";
import type { ShownRun } from "./shown-run.ts";
import { Ending } from "./telemetry-ending.ts";
import { tellEarlierLosses, tellLoss } from "./telemetry-loss.ts";

/** What a last push may take when the session ends. */
const LAST_PUSH_MS = 3000;
/** All that is to be ended then, side by side. */
const END_MS = 4000;

/** What is under way, with the manifests of its runs. */
interface WatchedWork extends LiveWork {
  runs(): Iterable<Pick<ShownRun, "run">>;
}

/** A session's metrics, and what of them leaves its memory: the daily file, and exporters the user has asked for. */
export interface Telemetry {
  readonly registry: MetricRegistry;
  /** Kept from the first call on. */
  history(): MetricHistory;
  /** Null when nothing is sent by OTLP. */
  otlp(): OtlpStatus | null;
  /** The textfile's, and those of other extensions. */
  exporters(): readonly ExporterCounts[];
  /** Serves the metrics over HTTP; where they are served already, when they are. Throws a UserError. */
  serve(port: number): Promise<HttpServer>;
  /** False when nothing was served. */
  stopServing(): Promise<boolean>;
  /** Lets the work under way be measured. */
  watchWork(work: WatchedWork): void;
  /** What of the settings can't be used and what was not counted, a sentence each. */
  readonly problems: readonly string[];
  /** Writes and sends what is left, within seconds. To be called while the metrics are still registered. */
  dispose(): Promise<void>;
}

/** What has been started by then is ended when it throws. */
export async function startTelemetry(session: Session, config: Config): Promise<Telemetry> {
  const ending = new Ending(session.world, END_MS);
  try {
    return await start(session, config, ending);
  } catch (error) {
    await ending.dispose();
    throw error;
  }
}

async function start(session: Session, config: Config, ending: Ending): Promise<Telemetry> {
  const { world, facts } = session;
  const { clock } = world;
  const problems = await tellEarlierLosses(session);
  const registry = openRegistry(session, config, ending, problems);
  let work: WatchedWork = { silences: () => [], runs: () => [] };
  const sessionMetrics = config.observability.enabled ? count(session, registry, ending) : null;
  if (sessionMetrics) registerLiveWork(registry, { silences: () => work.silences(), runs: () => work.runs() });
  const snapshot = () => registry.snapshot();
  const exporters = new Exporters({ clock, snapshot, warn: world.log.warn });
  ending.wait(() => exporters.end(LAST_PUSH_MS));
  // of this process alone: a session may be open in two
  const instance = `${session.id}-${world.random.hex(4)}`;
  const { textfile, enabled } = config.telemetry;
  if (textfile !== "") {
    const { createTextfileExporter } = await inTurn(() => import("../export/textfile.ts"));
    exporters.add(createTextfileExporter(world, textfile, instance));
  }
  const sink = enabled ? keepFile(session, registry, config, await session.redactor()) : null;
  const roleOfTask = (runId: string, taskId: string) => roleIn(work.runs(), runId, taskId);
  const otlp = await startOtlp(session, registry, config, { ending, problems, instance, roleOfTask }).catch(
    (error: unknown) => {
      problems.push(`nothing is sent by OTLP: ${messageOf(error)}`);
      return null;
    },
  );
  ending.wait(async () => {
    await otlp?.dispose(LAST_PUSH_MS);
    if (otlp !== null) await tellLoss(session, instance, otlp.status().channels);
  });
  ending.wait(async () => sink?.close());
  const server = openServer(async (port) => {
    const { serveMetrics } = await inTurn(() => import("./project-routes.ts"));
    return serveMetrics(session, registry, port, config.http.host);
  }, ending);
  // other extensions come last: what they register takes no name of ours
  ending.release(openToPlugins({ bus: session.bus, registry, exporters }));
  // kept until now: what is told to a start that fails is lost
  if (sessionMetrics) facts.countWith(sessionMetrics);
  else facts.forget();
  return {
    registry,
    history: lazyHistory(snapshot, clock, ending),
    watchWork: (given) => {
      work = given;
    },
    otlp: () => otlp?.status() ?? null,
    exporters: () => exporters.counts(),
    ...server,
    // read late: other extensions' histograms may come any time
    get problems() {
      return [...problems, ...uncounted(facts), ...unknownBuckets(config.observability, registry)];
    },
    dispose: () => ending.dispose(),
  };
}

function openRegistry({ world }: Session, config: Config, ending: Ending, problems: string[]): MetricRegistry {
  const { warn } = world.log;
  const buckets = usableBuckets(config.observability.buckets, problems);
  const registry = createMetricRegistry({ warn, clock: world.clock, buckets });
  ending.release(() => registry.dispose());
  return registry;
}

/** All metrics, moved by the bus and the host. Where nothing is counted there are none: zeros would be no true numbers. */
function count({ bus }: Session, registry: MetricRegistry, ending: Ending): SessionMetrics {
  const sessionMetrics = registerSessionMetrics(registry);
  ending.release(subscribeCrewMetrics(bus, registry));
  return sessionMetrics;
}

function lazyHistory(snapshot: () => MetricsSnapshot, clock: Clock, ending: Ending): () => MetricHistory {
  let history: MetricHistory | null = null;
  return () => {
    if (history !== null) return history;
    const kept = new MetricHistory();
    history = kept;
    const sample = () => kept.sample(snapshot(), clock.monotonicMs());
    sample();
    const timer = clock.every(STEP_MS, sample);
    ending.release(() => timer[Symbol.dispose]());
    return kept;
  };
}

function openServer(
  listen: (port: number) => Promise<HttpServer>,
  ending: Ending,
): Pick<Telemetry, "serve" | "stopServing"> {
  let server: Promise<HttpServer> | null = null;
  const serve = async (port: number) => {
    if (ending.begun) throw new UserError("ended", "Nothing is served: this session has ended. Ask in the new one.");
    server ??= listen(port).catch((error: unknown) => {
      server = null;
      throw error;
    });
    return server;
  };
  const stopServing = async () => {
    const serving = server;
    server = null;
    await (await serving?.catch(() => null))?.close();
    return serving !== null;
  };
  ending.wait(async () => void (await stopServing()));
  return { serve, stopServing };
}

function uncounted({ dropped }: Session["facts"]): string[] {
  if (dropped === 0) return [];
  return [`${dropped} facts of this session were not counted: they came before its metrics, and were too many`];
}

function unknownBuckets({ enabled, buckets }: Config["observability"], registry: MetricRegistry): string[] {
  const unknown = Object.keys(enabled ? buckets : {}).filter((name) => registry.get(name)?.kind !== "histogram");
  return unknown.map((name) => `observability.buckets: no histogram is called ${name}; /team-metrics lists them all`);
}

function usableBuckets(given: Config["observability"]["buckets"], problems: string[]): typeof given {
  const usable = Object.entries(given).filter(([name, bounds]) => {
    try {
      return new Buckets(bounds).bounds.length > 0;
    } catch (error) {
      problems.push(`observability.buckets: those of ${name} can't be used: ${messageOf(error)}`);
      return false;
    }
  });
  return Object.fromEntries(usable);
}

function keepFile(session: Session, registry: MetricRegistry, config: Config, redactor: Redactor): MetricSink {
  const { world, cwd, agentDir } = session;
  return new MetricSink({
    world,
    // a project without runs is not given a folder for the sake of a session's own metrics
    crewRoot: async () => (await findCrewRoot(world.files, cwd, agentDir)) ?? metricsRoot(cwd, agentDir),
    session: session.id,
    startedAtMs: session.startedAt,
    snapshot: () => registry.snapshot(),
    redact: (labels) => redactor.value(labels),
    retentionDays: config.observability.metricRetentionDays,
  });
}

async function startOtlp(
  session: Session,
  registry: MetricRegistry,
  { observability, otlp: { enabled, ...configured } }: Config,
  parts: { ending: Ending; problems: string[]; instance: string; roleOfTask: RoleOfTask },
): Promise<Otlp | null> {
  const { ending, problems, instance, roleOfTask } = parts;
  if (enabled && !observability.enabled)
    problems.push("otlp.enabled sends nothing: nothing is counted, because observability.enabled is false");
  if (!enabled || !observability.enabled) return null;
  const { world, bus } = session;
  const { endpoint, ...rest } = configured;
  const { readOtlpEnvironment } = await inTurn(() => import("../export/otlp-environment.ts"));
  const read = readOtlpEnvironment(ENV, endpoint === "" ? rest : configured);
  problems.push(...read.problems);
  if (read.settings === null) return null;
  const { createOtlp } = await inTurn(() => import("../export/otlp-exporter.ts"));
  const otlp = createOtlp({
    ...{ settings: read.settings, clock: world.clock, random: world.random, log: world.log },
    version: await packageVersion(world.files),
    instanceId: instance,
    startMs: session.startedAt,
    snapshot: () => registry.snapshot(),
    roleOfTask,
  });
  ending.release(subscribeMetricTable(bus, otlp.events, registry.warn));
  return otlp;
}

function roleIn(runs: ReturnType<WatchedWork["runs"]>, runId: string, taskId: string): string {
  for (const { run } of runs)
    if (run.manifest.runId === runId) return run.manifest.tasks.find((it) => it.taskId === taskId)?.role ?? "";
  return "";
}
