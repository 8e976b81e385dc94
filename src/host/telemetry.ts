import { CompositeExporter, type Exporter, type ExporterCounts } from "../export/exporter.ts";
import type { HttpServer } from "../export/http-server.ts";
import type { Otlp, OtlpStatus } from "../export/otlp-exporter.ts";
import { createTextfileExporter } from "../export/textfile.ts";
import { Buckets } from "../metrics/buckets.ts";
import { type LiveWork, registerLiveWork, subscribeCrewMetrics } from "../metrics/crew-metrics.ts";
import { MetricHistory, STEP_MS } from "../metrics/history.ts";
import { subscribeMetricTable } from "../metrics/metric-table.ts";
import { createMetricRegistry, type MetricRegistry } from "../metrics/registry.ts";
import { registerSessionMetrics } from "../metrics/session-metrics.ts";
import { findCrewRoot, metricsRoot } from "../store/layout.ts";
import { MetricSink } from "../store/metric-sink.ts";
import { Disposer } from "../system/disposer.ts";
import { messageOf } from "../system/errors.ts";
import { collectSecretValues, createRedactor } from "../system/redaction.ts";
import { ENV } from "./config.ts";
import type { Config } from "./config-schema.ts";
import { packageVersion } from "./package-folder.ts";
import { openToPlugins } from "./plugins.ts";
import type { Session } from "./session.ts";

const TEXTFILE_EVERY_MS = 60_000;
/** What exporters may take when the session ends. */
const LAST_PUSH_MS = 3000;

/** A session's metrics, and what of them leaves its memory: the daily file, and exporters the user has asked for. */
export interface Telemetry {
  readonly registry: MetricRegistry;
  readonly history: MetricHistory;
  /** Null when nothing is sent. */
  otlp(): OtlpStatus | null;
  exporters(): readonly ExporterCounts[];
  /** Serves the metrics over HTTP; where they are served already, when they are. Throws a UserError. */
  serve(port: number): Promise<HttpServer>;
  /** False when nothing was served. */
  stopServing(): Promise<boolean>;
  /** Lets the work under way be measured. */
  watchWork(work: LiveWork): void;
  /** What of the settings could not be used, a sentence each. */
  readonly problems: readonly string[];
  /** Writes and sends what is left, within seconds. To be called while the metrics are still registered. */
  dispose(): Promise<void>;
}

export async function startTelemetry(session: Session, config: Config): Promise<Telemetry> {
  const { world } = session;
  const disposer = new Disposer((error) => world.log.error("a release failed", { error: messageOf(error) }));
  const problems: string[] = [];
  const registry = count(session, config, disposer, problems);
  let work: LiveWork = { silences: () => [], runs: () => [] };
  registerLiveWork(registry, { silences: () => work.silences(), runs: () => work.runs() });
  const snapshot = () => registry.snapshot();
  const history = new MetricHistory();
  const sample = () => history.sample(snapshot(), world.clock.monotonicMs());
  sample();
  disposer.use(world.clock.every(STEP_MS, sample));
  if (config.telemetry.enabled) keepFile(session, registry, config, disposer);
  const exporters = new CompositeExporter(textfileExporters(session, config), world.log.warn);
  if (config.telemetry.textfile !== "") {
    disposer.use(world.clock.every(TEXTFILE_EVERY_MS, () => void exporters.push(snapshot())));
    disposer.defer(() => exporters.push(snapshot()).then(() => exporters.dispose()));
  }
  const otlp = await startOtlp(session, registry, config, disposer, problems);
  let server: Promise<HttpServer> | null = null;
  const serve = (port: number) => {
    server ??= startServer(session, registry, port, config.http.host).catch((error: unknown) => {
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
  disposer.defer(async () => void (await stopServing()));
  return {
    registry,
    history,
    watchWork: (given) => {
      work = given;
    },
    otlp: () => otlp?.status() ?? null,
    exporters: () => exporters.counts(),
    serve,
    stopServing,
    problems,
    dispose: () => disposer.dispose(),
  };
}

/** The metrics, moved by the bus, by what the host tells, and by other extensions. */
function count(session: Session, config: Config, disposer: Disposer, problems: string[]): MetricRegistry {
  const { world, bus, facts } = session;
  const { warn } = world.log;
  const buckets = usableBuckets(config.observability.buckets, problems);
  const registry = createMetricRegistry({ warn, clock: world.clock, buckets });
  disposer.defer(() => registry.dispose());
  const sessionMetrics = registerSessionMetrics(registry);
  const stopCounting = subscribeCrewMetrics(bus, registry);
  if (config.observability.enabled) {
    facts.tell(sessionMetrics);
    disposer.defer(stopCounting);
  } else {
    facts.forget();
    stopCounting();
  }
  disposer.defer(openToPlugins({ bus, registry, clock: world.clock }));
  return registry;
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

async function startServer(
  session: Session,
  registry: MetricRegistry,
  port: number,
  host: string,
): Promise<HttpServer> {
  const { serveMetrics } = await import("./serve-metrics.ts");
  return serveMetrics(session, registry, port, host);
}

function keepFile(session: Session, registry: MetricRegistry, config: Config, disposer: Disposer): void {
  const { world, cwd, agentDir } = session;
  const redactor = createRedactor({ secretValues: collectSecretValues(ENV) });
  const sink = new MetricSink({
    world,
    // a project without runs is not given a folder for the sake of a session's own metrics
    crewRoot: async () => (await findCrewRoot(world.files, cwd, agentDir)) ?? metricsRoot(cwd, agentDir),
    session: session.id,
    snapshot: () => registry.snapshot(),
    redact: (labels) => Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, redactor.text(value)])),
    retentionDays: config.observability.metricRetentionDays,
  });
  disposer.defer(() => sink.close());
}

function textfileExporters({ world }: Session, { telemetry }: Config): Exporter[] {
  return telemetry.textfile === "" ? [] : [createTextfileExporter(world.files, telemetry.textfile)];
}

async function startOtlp(
  session: Session,
  registry: MetricRegistry,
  { otlp: { enabled, ...configured } }: Config,
  disposer: Disposer,
  problems: string[],
): Promise<Otlp | null> {
  if (!enabled) return null;
  const { world, bus } = session;
  const { endpoint, ...rest } = configured;
  const { readOtlpEnvironment } = await import("../export/otlp-environment.ts");
  const read = readOtlpEnvironment(ENV, endpoint === "" ? rest : configured);
  problems.push(...read.problems);
  if (read.settings === null) return null;
  const { createOtlp } = await import("../export/otlp-exporter.ts");
  const otlp = createOtlp({
    ...{ settings: read.settings, clock: world.clock, random: world.random, log: world.log },
    version: await packageVersion(world.files),
    instanceId: `${session.id}-${world.random.hex(4)}`,
    startMs: session.startedAt,
    snapshot: () => registry.snapshot(),
  });
  const stop = subscribeMetricTable(bus, otlp.events, registry.warn);
  disposer.defer(async () => {
    stop();
    await otlp.dispose(LAST_PUSH_MS);
    tellLoss(session, otlp.status());
  });
  return otlp;
}

function tellLoss({ world }: Session, { channels }: OtlpStatus): void {
  for (const { signal, host, itemsLost, lastError } of channels)
    if (itemsLost > 0) world.log.warn("telemetry was lost", { signal, host, itemsLost, lastError });
}
