import type { MetricTable } from "../metrics/metric-table.ts";
import type { MetricsSnapshot } from "../metrics/snapshot.ts";
import { messageOf } from "../system/errors.ts";
import type { Clock, Log, Random } from "../system/world.ts";
import { GenAiMetrics } from "./gen-ai-metrics.ts";
import { type ChannelParts, type ChannelStatus, OtlpChannel } from "./otlp-channel.ts";
import type { OtlpSettings } from "./otlp-environment.ts";
import type { Teller } from "./otlp-json.ts";
import { OtlpMetricsEncoder } from "./otlp-metrics.ts";
import { resourceAttributes } from "./otlp-resource.ts";
import { MetricsSignal, type PushedSignal, TracesSignal } from "./otlp-signals.ts";
import { OtlpSpansEncoder } from "./otlp-spans.ts";
import { type RoleOfTask, RunSpans } from "./otlp-traces.ts";
import { PushLoop } from "./push-loop.ts";

export interface OtlpOptions {
  readonly settings: OtlpSettings;
  readonly clock: Clock;
  readonly random: Pick<Random, "next">;
  readonly log: Log;
  /** Of this package. */
  readonly version: string;
  /** Must differ between sessions, also between those of one process. */
  readonly instanceId: string;
  /** When the metrics began to count: milliseconds since 1970. */
  readonly startMs: number;
  /** The metrics as they are now. */
  readonly snapshot: () => MetricsSnapshot;
  /** For work that began before events were heard. */
  readonly roleOfTask: RoleOfTask;
}

export interface OtlpStatus {
  /** Of the signals that are sent. */
  readonly channels: readonly ChannelStatus[];
}

/** Metrics and spans on their way to a collector, from now until disposal. */
export interface Otlp {
  /** What to do with each event: give it to `subscribeMetricTable`. */
  readonly events: Partial<MetricTable>;
  status(): OtlpStatus;
  /**
   * Sends what is left and resolves within `limitMs`; what was not taken by then is counted as lost. Keeps the process
   * alive that long at most. Idempotent.
   */
  dispose(limitMs: number): Promise<void>;
}

export function createOtlp(options: OtlpOptions): Otlp {
  const { settings, clock, log, version, startMs, snapshot } = options;
  const teller: Teller = {
    resource: resourceAttributes(options, settings),
    scope: { name: "pi-foreman", version },
  };
  const genAi = new GenAiMetrics(log.warn);
  const channel = (signal: ChannelParts["signal"]) => {
    const target = settings[signal];
    return target === null ? null : new OtlpChannel({ ...options, signal, target });
  };
  const [toMetrics, toTraces] = [channel("metrics"), channel("traces")];
  const onError = (error: unknown) => log.error("OTLP: a push went wrong", { error: messageOf(error) });
  const encoder = new OtlpMetricsEncoder(teller, startMs);
  const extra = () => genAi.snapshot();
  const metrics = toMetrics && new MetricsSignal({ channel: toMetrics, encoder, clock, snapshot, extra });
  const spansEncoder = new OtlpSpansEncoder(teller);
  const traces = toTraces && new TracesSignal({ channel: toTraces, encoder: spansEncoder, onError });
  const spans = new RunSpans((span) => {
    genAi.countSpan(span);
    traces?.add(span);
  }, options.roleOfTask);
  const signals = [metrics, traces].filter((it) => it !== null);
  const loops = signals.map((signal) => {
    const intervalMs = signal === metrics ? settings.intervalMs : settings.traceIntervalMs;
    const waitMs = () => signal.channel.waitMs();
    return new PushLoop({ intervalMs, waitMs, clock, push: () => signal.tick(), onError });
  });
  let disposed: Promise<void> | null = null;
  return {
    events: withUsage(spans.table, genAi),
    status: () => ({ channels: signals.map((it) => it.channel.status()) }),
    dispose: (limitMs) => {
      disposed ??= finish({ signals, loops, clock, onError }, limitMs);
      return disposed;
    },
  };
}

function withUsage(table: Partial<MetricTable>, genAi: GenAiMetrics): Partial<MetricTable> {
  return {
    ...table,
    "crew.task.attempt_finished": (event) => {
      genAi.countUsage(event);
      table["crew.task.attempt_finished"]?.(event);
    },
  };
}

interface Ending {
  readonly signals: readonly PushedSignal[];
  readonly loops: readonly PushLoop[];
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

async function finish({ signals, loops, clock, onError }: Ending, limitMs: number): Promise<void> {
  for (const loop of loops) loop[Symbol.dispose]();
  const done = new AbortController();
  const flushed = Promise.all(signals.map((signal) => signal.finish().catch(onError)));
  // sockets are not waited for by the process, and its end must not come before ours
  await Promise.race([flushed, clock.sleep(limitMs, done.signal)]);
  done.abort();
  for (const { channel } of signals) channel.stop();
  await flushed;
}
