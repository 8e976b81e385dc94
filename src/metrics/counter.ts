import { type AnyLabels, type LabelMatch, LabelSet, type Labels } from "./label-set.ts";
import type { CounterSnapshot, MetricFacts, SeriesLabels } from "./snapshot.ts";

/** One series, for hot paths: no label lookup, no allocation. */
export interface BoundCounter {
  /** Throws on a negative, NaN or infinite delta. */
  inc(delta?: number): void;
}

/** A number that only grows. `L` is the union of its declared label names. */
export interface Counter<L extends string = string> extends MetricFacts {
  readonly kind: "counter";
  /** Adds `delta` (1) to the series of these labels. Throws on a negative, NaN or infinite delta. */
  inc(...args: [L] extends [never] ? [labels?: Labels<L>, delta?: number] : [labels: Labels<L>, delta?: number]): void;
  /** The handle of one series, created at 0 when it is new. */
  labels(labels: Labels<L>): BoundCounter;
  /** Sum of the series these labels match, of all without labels; 0 when there is none. */
  value(match?: LabelMatch<L>): number;
  snapshot(): CounterSnapshot;
}

/** How a registry builds any metric. */
export interface MetricSetup extends MetricFacts {
  readonly seriesMax: number;
  readonly onOverflow: () => void;
}

class CounterSeries implements BoundCounter {
  readonly labels: SeriesLabels;
  value = 0;

  constructor(labels: SeriesLabels) {
    this.labels = labels;
  }

  inc(delta = 1): void {
    if (!isDelta(delta)) throw badDelta(delta);
    this.value += delta;
  }
}

export class LabelledCounter implements MetricFacts {
  readonly kind = "counter";
  readonly name: string;
  readonly help: string;
  readonly unit: MetricFacts["unit"];
  readonly labelNames: readonly string[];
  readonly #set: LabelSet<CounterSeries>;

  constructor(setup: MetricSetup) {
    this.name = setup.name;
    this.help = setup.help;
    this.unit = setup.unit;
    this.labelNames = setup.labelNames;
    this.#set = new LabelSet({ ...setup, names: setup.labelNames, create: (labels) => new CounterSeries(labels) });
    if (setup.labelNames.length === 0) this.#set.at(undefined);
  }

  inc(labels?: AnyLabels, delta = 1): void {
    if (!isDelta(delta)) throw badDelta(delta);
    this.#set.at(labels).value += delta;
  }

  labels(labels?: AnyLabels): BoundCounter {
    return this.#set.at(labels);
  }

  value(match?: AnyLabels): number {
    return this.#set.matching(match).reduce((sum, series) => sum + series.value, 0);
  }

  snapshot(): CounterSnapshot {
    const { kind, name, help, unit, labelNames } = this;
    const series = this.#set.series().map(({ labels, value }) => ({ labels, value }));
    return { kind, name, help, unit, labelNames, series };
  }
}

/** Finite and not negative. */
export function isDelta(delta: number): boolean {
  return Number.isFinite(delta) && delta >= 0;
}

export function badDelta(delta: number): RangeError {
  return new RangeError(`a counter only grows: it can't be increased by ${delta}`);
}
