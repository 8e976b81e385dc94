import { messageOf } from "../system/errors.ts";
import type { Clock, Log } from "../system/world.ts";
import { Buckets, DEFAULT_BOUNDS } from "./buckets.ts";
import {
  type Counter,
  LabelledWindowedCounter,
  type MetricSetup,
  plainCounter,
  RETENTION_MS,
  type WindowedCounter,
} from "./counter.ts";
import { type Collect, type Gauge, LabelledGauge } from "./gauge.ts";
import { type Histogram, LabelledHistogram } from "./histogram.ts";
import type { MetricsSnapshot, MetricUnit } from "./snapshot.ts";

/** Series per metric before the overflow series. */
export const SERIES_MAX = 1000;

const NAME = /^crew\.[a-z]+\.[a-z][a-z_]*$/;
const LABEL = /^[a-z][a-z_]*$/;

export type Metric = Counter | Gauge | Histogram;

export interface RegistryOptions {
  /** Hears, once per metric, that the series cap was passed or that a `collect` threw. */
  warn?: Log["warn"];
  seriesMax?: number;
  /** For windowed counters, which can't be registered without one. */
  clock?: Pick<Clock, "monotonicMs">;
  /** Bounds by metric name, from the user's configuration; they win over those at registration. */
  buckets?: Readonly<Record<string, readonly number[]>>;
}

export interface MetricOptions<L extends string> {
  /** Label names, `a-z` and `_`. Values must be few: never an id of a run, task or session (but for live gauges). */
  labels?: readonly L[];
  /** Default `count`. */
  unit?: MetricUnit;
}

/** One session's metrics. Registering throws on a bad name and on a second use of one. */
export interface MetricRegistry {
  registerCounter<const L extends string = never>(name: string, help: string, options?: MetricOptions<L>): Counter<L>;
  /** `retentionMs`: how far back rates can look, 1 h unless given. Throws when the registry has no clock. */
  registerWindowedCounter<const L extends string = never>(
    name: string,
    help: string,
    options?: MetricOptions<L> & { retentionMs?: number },
  ): WindowedCounter<L>;
  registerGauge<const L extends string = never>(
    name: string,
    help: string,
    options?: MetricOptions<L> & { collect?: Collect<L> },
  ): Gauge<L>;
  registerHistogram<const L extends string = never>(
    name: string,
    help: string,
    options?: MetricOptions<L> & { buckets?: readonly number[] },
  ): Histogram<L>;
  /** Where a metric's problem is told: the callback the registry was created with. */
  readonly warn: Log["warn"];
  /** The metric of that name; its labels are checked when used, not when compiled. */
  get(name: string): Metric | undefined;
  snapshot(): MetricsSnapshot;
  /** Forgets all metrics; handles still held go on counting, unseen. Registering throws from then on. */
  dispose(): void;
}

export function createMetricRegistry(options: RegistryOptions = {}): MetricRegistry {
  return new Registry(options);
}

class Registry implements MetricRegistry {
  readonly #metrics = new Map<string, Metric>();
  readonly warn: Log["warn"];
  readonly #seriesMax: number;
  readonly #bounds: Readonly<Record<string, readonly number[]>>;
  readonly #clock: RegistryOptions["clock"];
  #defaultBuckets: Buckets | null = null;
  #disposed = false;

  constructor(options: RegistryOptions) {
    this.warn = options.warn ?? (() => undefined);
    this.#seriesMax = options.seriesMax ?? SERIES_MAX;
    this.#bounds = options.buckets ?? {};
    this.#clock = options.clock;
  }

  registerCounter<const L extends string = never>(name: string, help: string, options: MetricOptions<L> = {}) {
    return this.#add<Counter<L>>(plainCounter(this.#setup(name, help, options)));
  }

  registerWindowedCounter<const L extends string = never>(
    name: string,
    help: string,
    options: MetricOptions<L> & { retentionMs?: number } = {},
  ) {
    const clock = this.#clock;
    if (clock === undefined) throw new Error(`metric ${name}: a windowed counter needs a registry with a clock`);
    const { retentionMs = RETENTION_MS } = options;
    const setup = { ...this.#setup(name, help, options), retentionMs, monotonicMs: () => clock.monotonicMs() };
    return this.#add<WindowedCounter<L>>(new LabelledWindowedCounter(setup));
  }

  registerGauge<const L extends string = never>(
    name: string,
    help: string,
    options: MetricOptions<L> & { collect?: Collect<L> } = {},
  ) {
    let warned = false;
    const onCollectError = (error: unknown) => {
      if (!warned) this.warn(`metric ${name} could not be computed: ${messageOf(error)}`);
      warned = true;
    };
    const collect = (options.collect as Collect<string> | undefined) ?? null;
    const setup = { ...this.#setup(name, help, options), collect, onCollectError };
    return this.#add<Gauge<L>>(new LabelledGauge(setup));
  }

  registerHistogram<const L extends string = never>(
    name: string,
    help: string,
    options: MetricOptions<L> & { buckets?: readonly number[] } = {},
  ) {
    const setup = this.#setup(name, help, options);
    const bounds = (Object.hasOwn(this.#bounds, name) ? this.#bounds[name] : undefined) ?? options.buckets;
    if (!bounds) this.#defaultBuckets ??= new Buckets(DEFAULT_BOUNDS);
    const buckets = bounds ? new Buckets(bounds) : (this.#defaultBuckets as Buckets);
    return this.#add<Histogram<L>>(new LabelledHistogram({ ...setup, buckets }));
  }

  get(name: string): Metric | undefined {
    return this.#metrics.get(name);
  }

  snapshot(): MetricsSnapshot {
    return Array.from(this.#metrics.values(), (metric) => metric.snapshot());
  }

  dispose(): void {
    this.#disposed = true;
    this.#metrics.clear();
  }

  #setup(name: string, help: string, options: MetricOptions<string>): MetricSetup {
    if (this.#disposed) throw new Error(`metric ${name}: the registry is disposed`);
    if (!NAME.test(name)) throw new Error(`bad metric name "${name}": it must match ${NAME.source}`);
    if (this.#metrics.has(name)) throw new Error(`a metric named ${name} is already registered`);
    const labelNames = Object.freeze([...(options.labels ?? [])]);
    for (const label of labelNames) {
      if (!LABEL.test(label))
        throw new Error(`metric ${name}: bad label name "${label}": it must match ${LABEL.source}`);
      if (label === "le") throw new Error(`metric ${name}: the label name "le" belongs to histogram buckets`);
    }
    if (new Set(labelNames).size < labelNames.length) throw new Error(`metric ${name}: a label is declared twice`);
    const seriesMax = this.#seriesMax;
    const onOverflow = () =>
      this.warn(`metric ${name} has ${seriesMax} series; further ones are counted together as "overflow"`);
    return { name, help, unit: options.unit ?? "count", labelNames, seriesMax, onOverflow };
  }

  /** The instruments' classes take any labels; what the caller declared is known to the type it gets back. */
  #add<M>(metric: unknown): M {
    const typed = metric as Metric;
    this.#metrics.set(typed.name, typed);
    return metric as M;
  }
}
