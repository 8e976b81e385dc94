import type { EventBus } from "../events/publisher.ts";
import { CompositeExporter, type Exporter } from "../export/exporter.ts";
import { type MetricTable, subscribeMetricTable } from "../metrics/metric-table.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { Clock } from "../system/world.ts";

/** Told on the bus when a session is open, with a `ForemanReady`. Listen for it in the extension's factory. */
export const FOREMAN_READY = "crew.foreman.ready";

const PUSH_EVERY_MS = 60_000;
/** What all plugged-in exporters together may take when the session ends. */
const LAST_PUSH_MS = 2000;

/** What another extension gets; good until its session ends. */
export interface ForemanReady {
  readonly v: 1;
  /** Of this session. Own metrics are called `crew.<word>.<name>`; `get` finds those that are there. */
  readonly registry: MetricRegistry;
  /** Own mappings: what each event named shall move. */
  countEvents(table: Partial<MetricTable>): void;
  /** Pushed to each minute and at the session's end. What it throws is told to our log and reaches nobody. */
  addExporter(exporter: Exporter): void;
}

/**
 * Tells other extensions that this session's metrics are there, and runs what they plug in. Returns its end, to be
 * called while the metrics are still registered: a last push and the disposal of each exporter. Never rejects.
 */
export function openToPlugins(from: {
  bus: EventBus;
  registry: MetricRegistry;
  clock: Pick<Clock, "every" | "sleep">;
}): () => Promise<void> {
  const { bus, registry, clock } = from;
  const exporters: CompositeExporter[] = [];
  const stops: Array<() => void> = [];
  const ready: ForemanReady = {
    v: 1,
    registry,
    countEvents: (table) => void stops.push(subscribeMetricTable(bus, table, registry.warn)),
    addExporter: (exporter) => void exporters.push(new CompositeExporter([exporter], registry.warn)),
  };
  const timer = clock.every(PUSH_EVERY_MS, () => {
    for (const exporter of exporters) void exporter.push(registry.snapshot());
  });
  bus.emit(FOREMAN_READY, ready);

  return async () => {
    timer[Symbol.dispose]();
    for (const stop of stops.splice(0)) stop();
    const ends = exporters
      .splice(0)
      .map((exporter) => exporter.push(registry.snapshot()).then(() => exporter.dispose()));
    if (ends.length === 0) return;
    const done = new AbortController();
    const all = Promise.all(ends).then(() => done.abort());
    await Promise.race([all, clock.sleep(LAST_PUSH_MS, done.signal)]);
  };
}
