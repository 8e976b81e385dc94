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
    requireDelta(delta);
    this.add(delta);
  }

  /** `delta` is finite and not negative. */
  add(delta: number): void {
    this.value += delta;
  }
}

class LabelledCounter<S extends CounterSeries = CounterSeries> implements MetricFacts {
  readonly kind = "counter";
  readonly name: string;
  readonly help: string;
  readonly unit: MetricFacts["unit"];
  readonly labelNames: readonly string[];
  protected readonly set: LabelSet<S>;

  constructor(setup: MetricSetup, create: (labels: SeriesLabels) => S) {
    this.name = setup.name;
    this.help = setup.help;
    this.unit = setup.unit;
    this.labelNames = setup.labelNames;
    this.set = new LabelSet({ ...setup, names: setup.labelNames, create });
    if (setup.labelNames.length === 0) this.set.at(undefined);
  }

  inc(labels?: AnyLabels, delta = 1): void {
    requireDelta(delta);
    this.set.at(labels).add(delta);
  }

  labels(labels?: AnyLabels): BoundCounter {
    return this.set.at(labels);
  }

  value(match?: AnyLabels): number {
    return this.set.matching(match).reduce((sum, series) => sum + series.value, 0);
  }

  snapshot(): CounterSnapshot {
    const { kind, name, help, unit, labelNames } = this;
    const series = this.set.series().map(({ labels, value }) => ({ labels, value }));
    return { kind, name, help, unit, labelNames, series };
  }
}

export function plainCounter(setup: MetricSetup): LabelledCounter {
  return new LabelledCounter(setup, (labels) => new CounterSeries(labels));
}

function requireDelta(delta: number): void {
  if (!(Number.isFinite(delta) && delta >= 0))
    throw new RangeError(`a counter only grows: it can't be increased by ${delta}`);
}

/** Without a `retentionMs` of its own. */
export const RETENTION_MS = 3_600_000;

/** One slot is a sixtieth of the retention; the one more is the slot that a window begins within. */
const SLOTS = 60;
const RING = SLOTS + 1;

/** A counter that also knows how much it grew lately. Exported as a counter, with its whole value. */
export interface WindowedCounter<L extends string = string> extends Counter<L> {
  readonly retentionMs: number;
  /**
   * Growth per second over the last `durationMs`, at most the retention, of the series these labels match; of all
   * without labels. What the sixtieth of the retention that the window begins within holds is taken as spread evenly.
   * Throws unless `durationMs` is above 0.
   */
  rate(match: LabelMatch<L> | undefined, durationMs: number): number;
}

interface WindowSetup extends MetricSetup {
  readonly retentionMs: number;
  /** Milliseconds from an arbitrary start; a clock that may be set would tear the window. */
  readonly monotonicMs: () => number;
}

/** Sixty-one numbers, however many events. */
class WindowSeries extends CounterSeries {
  readonly #slots = new Float64Array(RING);
  readonly #slotNow: () => number;
  /** Number of the newest slot since the clock's start. */
  #newest: number;

  /** `slotNow` in slots, with the fraction of the slot under way. */
  constructor(labels: SeriesLabels, slotNow: () => number) {
    super(labels);
    this.#slotNow = slotNow;
    this.#newest = Math.floor(slotNow());
  }

  override add(delta: number): void {
    const at = this.#moveTo(this.#slotNow()) % RING;
    this.#slots[at] = (this.#slots[at] as number) + delta;
    this.value += delta;
  }

  /** Growth within the last `slots` slots. */
  last(slots: number): number {
    const now = this.#slotNow();
    const newest = this.#moveTo(now);
    const from = Math.max(now, newest) - slots;
    const first = Math.floor(from);
    let sum = 0;
    for (let slot = Math.max(first, newest - SLOTS, 0); slot <= newest; slot++) {
      const share = slot === first ? first + 1 - from : 1;
      sum += (this.#slots[slot % RING] as number) * share;
    }
    return sum;
  }

  /** Empties the slots that time has passed over; a clock that goes back counts into the newest one. */
  #moveTo(slotNow: number): number {
    const now = Math.floor(slotNow);
    if (now > this.#newest) {
      for (let slot = Math.max(this.#newest + 1, now - SLOTS); slot <= now; slot++) this.#slots[slot % RING] = 0;
      this.#newest = now;
    }
    return this.#newest;
  }
}

export class LabelledWindowedCounter extends LabelledCounter<WindowSeries> {
  readonly retentionMs: number;

  constructor(setup: WindowSetup) {
    const { retentionMs, monotonicMs } = setup;
    if (!(Number.isFinite(retentionMs) && retentionMs >= SLOTS)) {
      throw new RangeError(`metric ${setup.name}: retentionMs must be at least ${SLOTS}, not ${retentionMs}`);
    }
    const slotNow = () => (monotonicMs() * SLOTS) / retentionMs;
    super(setup, (labels) => new WindowSeries(labels, slotNow));
    this.retentionMs = retentionMs;
  }

  rate(match: AnyLabels | undefined, durationMs: number): number {
    if (!(durationMs > 0)) throw new RangeError(`a rate is over more than 0 ms, not ${durationMs}`);
    const windowMs = Math.min(durationMs, this.retentionMs);
    const slots = (windowMs * SLOTS) / this.retentionMs;
    const grown = this.set.matching(match).reduce((sum, series) => sum + series.last(slots), 0);
    return grown / (windowMs / 1000);
  }
}
