import type { MetricSetup } from "./counter.ts";
import { type AnyLabels, type LabelMatch, LabelSet, type Labels } from "./label-set.ts";
import type { GaugeSnapshot, MetricFacts, SeriesLabels } from "./snapshot.ts";

/** One series. After the series was removed, the next write brings it back. */
export interface BoundGauge {
  /** Throws on NaN or an infinite value, as `add` does. */
  set(value: number): void;
  add(delta: number): void;
}

/**
 * Called at each read; what it sets is the whole gauge, the series of the read before are gone. What it throws goes
 * to the registry's `warn`, and the gauge is empty for that read.
 */
export type Collect<L extends string> = (set: (labels: Labels<L>, value: number) => void) => void;

/** A number as it is now. `L` is the union of its declared label names. */
export interface Gauge<L extends string = string> extends MetricFacts {
  readonly kind: "gauge";
  /** Throws on NaN or an infinite value. Over the series cap the last writer wins in the overflow series. */
  set(labels: Labels<L>, value: number): void;
  add(labels: Labels<L>, delta: number): void;
  /** Removes the series these labels match and says how many; all without labels. */
  remove(match?: LabelMatch<L>): number;
  labels(labels: Labels<L>): BoundGauge;
  /** Sum of the series these labels match; NaN when there is none. */
  value(match?: LabelMatch<L>): number;
  snapshot(): GaugeSnapshot;
}

interface GaugeSeries {
  readonly labels: SeriesLabels;
  value: number;
  removed: boolean;
}

export interface GaugeSetup extends MetricSetup {
  readonly collect: Collect<string> | null;
  readonly onCollectError: (error: unknown) => void;
}

export class LabelledGauge implements MetricFacts {
  readonly kind = "gauge";
  readonly name: string;
  readonly help: string;
  readonly unit: MetricFacts["unit"];
  readonly labelNames: readonly string[];
  readonly #set: LabelSet<GaugeSeries>;
  readonly #collect: Collect<string> | null;
  readonly #onCollectError: (error: unknown) => void;

  constructor(setup: GaugeSetup) {
    this.name = setup.name;
    this.help = setup.help;
    this.unit = setup.unit;
    this.labelNames = setup.labelNames;
    this.#collect = setup.collect;
    this.#onCollectError = setup.onCollectError;
    const create = (labels: SeriesLabels): GaugeSeries => ({ labels, value: 0, removed: false });
    this.#set = new LabelSet({ ...setup, names: setup.labelNames, create });
    if (setup.labelNames.length === 0 && setup.collect === null) this.#set.at(undefined);
  }

  set(labels: AnyLabels | undefined, value: number): void {
    requireFinite(value);
    this.#set.at(labels).value = value;
  }

  add(labels: AnyLabels | undefined, delta: number): void {
    requireFinite(delta);
    this.#set.at(labels).value += delta;
  }

  remove(match?: AnyLabels): number {
    const gone = this.#set.matching(match);
    for (const series of gone) {
      series.removed = true;
      this.#set.remove(series);
    }
    return gone.length;
  }

  labels(labels?: AnyLabels): BoundGauge {
    let series = this.#set.at(labels);
    const live = (): GaugeSeries => {
      if (series.removed) series = this.#set.at(series.labels);
      return series;
    };
    return {
      set: (value) => {
        requireFinite(value);
        live().value = value;
      },
      add: (delta) => {
        requireFinite(delta);
        live().value += delta;
      },
    };
  }

  value(match?: AnyLabels): number {
    this.#recompute();
    const found = this.#set.matching(match);
    return found.length === 0 ? Number.NaN : found.reduce((sum, series) => sum + series.value, 0);
  }

  snapshot(): GaugeSnapshot {
    this.#recompute();
    const { kind, name, help, unit, labelNames } = this;
    const series = this.#set.series().map(({ labels, value }) => ({ labels, value }));
    return { kind, name, help, unit, labelNames, series };
  }

  #recompute(): void {
    if (this.#collect === null) return;
    this.remove();
    try {
      this.#collect((labels, value) => this.set(labels, value));
    } catch (error) {
      this.remove();
      this.#onCollectError(error);
    }
  }
}

function requireFinite(value: number): void {
  if (!Number.isFinite(value)) throw new RangeError(`a gauge takes finite numbers, not ${value}`);
}
