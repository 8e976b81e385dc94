import type { EventBus } from "../events/publisher.ts";
import type { Exporter, Exporters } from "../export/exporter.ts";
import { type MetricTable, subscribeMetricTable } from "../metrics/metric-table.ts";
import type { MetricRegistry } from "../metrics/registry.ts";

/** Told on the bus when a session is open, with a `ForemanReady`. Listen for it in the extension's factory. */
export const FOREMAN_READY = "crew.foreman.ready";

/** What another extension gets; good until its session ends, and without effect from then on. */
export interface ForemanReady {
  readonly v: 1;
  /** Of this session. Own metrics are called `crew.<word>.<name>`; `get` finds those that are there. */
  readonly registry: MetricRegistry;
  /** Own mappings: what each event named shall move. */
  countEvents(table: Partial<MetricTable>): void;
  /** Pushed to each minute and at the session's end. What it throws is told to our log and reaches nobody. */
  addExporter(exporter: Exporter): void;
}

/** Tells other extensions that this session's metrics are there. Returns the end of their listening. */
export function openToPlugins(from: { bus: EventBus; registry: MetricRegistry; exporters: Exporters }): () => void {
  const { bus, registry, exporters } = from;
  const stops: Array<() => void> = [];
  let ended = false;
  const ready: ForemanReady = {
    v: 1,
    registry,
    countEvents: (table) => {
      if (!ended) stops.push(subscribeMetricTable(bus, table, registry.warn));
    },
    addExporter: (exporter) => exporters.add(exporter),
  };
  bus.emit(FOREMAN_READY, ready);

  return () => {
    ended = true;
    for (const stop of stops.splice(0)) stop();
  };
}
