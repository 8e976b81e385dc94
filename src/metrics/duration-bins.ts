/**
 * A bin is a 64th of a power of two: the upper bits of a double are its number, and its middle is at most 0.8 % off any
 * value in it (the "fast" index mapping of DDSketch).
 */
const SUB_BITS = 14;
const DOUBLE = new Float64Array(1);
const WORDS = new Uint32Array(DOUBLE.buffer);
/** Which of the words has the upper bits: the second, but for a few machines. */
const UPPER = new Uint8Array(Uint32Array.of(1).buffer)[0] as 0 | 1;
const SHORTEST = 2 ** -14;
const LONGEST = 2 ** 31;
const FIRST = upperBits(SHORTEST);
const BINS = upperBits(LONGEST) - FIRST + 2;
const EXACT_MAX = 200_000;

interface Bin {
  values: number[];
  sorted: boolean;
}

/**
 * Durations in seconds, to be asked for quantiles while they come and go. Exact up to `exactMax` values; above, counts
 * alone are kept, and a quantile is at most 1 % off.
 * It stays inexact until it is made anew, also when it shrinks.
 */
export class DurationBins {
  readonly #counts = new Int32Array(BINS);
  readonly #exactMax: number;
  #bins: (Bin | undefined)[] | null = [];
  #total = 0;

  constructor(exactMax = EXACT_MAX) {
    this.#exactMax = exactMax;
    if (exactMax === 0) this.#bins = null;
  }

  get count(): number {
    return this.#total;
  }

  get exact(): boolean {
    return this.#bins !== null;
  }

  add(seconds: number): void {
    const at = binOf(seconds);
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.#total++;
    if (this.#bins === null) return;
    if (this.#total > this.#exactMax) {
      this.#bins = null;
      return;
    }
    const bin = this.#bins[at];
    if (bin) {
      bin.values.push(seconds);
      bin.sorted = false;
    } else this.#bins[at] = { values: [seconds], sorted: true };
  }

  addRows(seconds: Float64Array, rows: Uint32Array): void {
    if (this.#bins !== null) {
      for (let i = 0; i < rows.length; i++) this.add(seconds[rows[i] as number] as number);
      return;
    }
    const counts = this.#counts;
    for (let i = 0; i < rows.length; i++) {
      const at = binOf(seconds[rows[i] as number] as number);
      counts[at] = (counts[at] as number) + 1;
    }
    this.#total += rows.length;
  }

  /** The number of the first bin that has any, and how many fell into it and each behind it; to be added elsewhere. */
  bins(): number[] {
    if (this.#total === 0) return [];
    const counts = this.#counts;
    let first = 0;
    while (counts[first] === 0) first++;
    let end = BINS;
    while (counts[end - 1] === 0) end--;
    return [first, ...counts.subarray(first, end)];
  }

  /** Of bins that keep counts alone. */
  addBins(bins: readonly number[]): void {
    const counts = this.#counts;
    for (let i = 1, at = bins[0] as number; i < bins.length; i++, at++) {
      counts[at] = (counts[at] as number) + (bins[i] as number);
      this.#total += bins[i] as number;
    }
  }

  /** Of a value that was added before. */
  remove(seconds: number): void {
    const at = binOf(seconds);
    this.#counts[at] = (this.#counts[at] as number) - 1;
    this.#total--;
    const values = this.#bins?.[at]?.values;
    if (values) values.splice(values.indexOf(seconds), 1);
  }

  /**
   * The `q`-quantile, interpolated between its two neighbours at `(n - 1) * q` (type 7 of Hyndman & Fan 1996, what
   * spreadsheets, NumPy and SQL's `percentile_cont` say). 0 when there is nothing.
   */
  quantile(q: number): number {
    if (this.#total === 0) return 0;
    const rank = (this.#total - 1) * q;
    const low = this.#at(Math.floor(rank));
    const share = rank - Math.floor(rank);
    return share === 0 ? low : low + (this.#at(Math.ceil(rank)) - low) * share;
  }

  /** The value with `rank` smaller ones before it. */
  #at(rank: number): number {
    let before = 0;
    for (let i = 0; i < BINS; i++) {
      const count = this.#counts[i] as number;
      if (rank < before + count) return this.#inBin(i, rank - before);
      before += count;
    }
    return 0;
  }

  #inBin(at: number, rank: number): number {
    const bin = this.#bins?.[at];
    if (!bin) return middleOf(at);
    if (!bin.sorted) bin.values.sort((a, b) => a - b);
    bin.sorted = true;
    return bin.values[rank] as number;
  }
}

/** 0 for what is shorter than 0.1 ms; one for all that is longer than 68 years. */
function binOf(seconds: number): number {
  if (!(seconds >= SHORTEST)) return 0;
  return seconds >= LONGEST ? BINS - 1 : upperBits(seconds) - FIRST + 1;
}

function middleOf(bin: number): number {
  return bin === 0 ? 0 : (lowerBound(bin) + lowerBound(bin + 1)) / 2;
}

function lowerBound(bin: number): number {
  WORDS[1 - UPPER] = 0;
  WORDS[UPPER] = (bin - 1 + FIRST) << SUB_BITS;
  return DOUBLE[0] as number;
}

function upperBits(value: number): number {
  DOUBLE[0] = value;
  return (WORDS[UPPER] as number) >>> SUB_BITS;
}
