import type { SeriesLabels } from "./snapshot.ts";

export type LabelValue = string | number | boolean;

/** Labels where the declared names are not known to the compiler. */
export type AnyLabels = Readonly<Record<string, LabelValue | undefined>>;

type NoLabels = Readonly<Record<string, never>>;

/** All declared labels; nothing (or `{}`) for a metric that declares none. */
export type Labels<L extends string> = [L] extends [never] ? NoLabels | undefined : Readonly<Record<L, LabelValue>>;

/** Some of the declared labels: every series that has these values is meant. */
export type LabelMatch<L extends string> = [L] extends [never] ? NoLabels : Readonly<Partial<Record<L, LabelValue>>>;

/** The value of every label of the series that takes what comes over the cap. */
export const OVERFLOW_LABEL = "overflow";

/** Longer label values are cut: names of models and tools come from others. */
export const LABEL_CHARS_MAX = 256;

type Trie<S> = Map<string, Trie<S> | S>;

/**
 * Finds the series of a label tuple: the last tuple by comparing values, any other through a Map per declared name.
 * No key is built and nothing is allocated (building a key costs at least 90 ns).
 *
 * The order of labels in the literal never matters, `1` and `"1"` are one series, and a missing label is the empty
 * value, as in Prometheus. An undeclared name throws when its tuple is first seen. Over `seriesMax` series, unseen
 * tuples share one overflow series: totals stay true, and nothing is evicted.
 *
 * Trap: never cache by identity of the labels object; a caller may change it.
 */
export class LabelSet<S extends { readonly labels: SeriesLabels }> {
  readonly names: readonly string[];
  readonly #seriesMax: number;
  readonly #create: (labels: SeriesLabels) => S;
  readonly #onOverflow: () => void;
  readonly #series = new Set<S>();
  readonly #root: Trie<S> = new Map();
  /** The last tuple, and the node its value is found in at each depth. Beyond depth 0 valid while `#lastSeries` is set. */
  readonly #lastValues: string[];
  readonly #lastPath: Trie<S>[];
  #lastSeries: S | null = null;
  #overflow: S | null = null;
  #overflowed = false;

  /** `onOverflow` is called once, at the first tuple over the cap. */
  constructor(options: {
    names: readonly string[];
    seriesMax: number;
    create: (labels: SeriesLabels) => S;
    onOverflow: () => void;
  }) {
    // a copy: V8 reads a frozen array in a loop more slowly (5 ns an element in Node 20)
    this.names = [...options.names];
    this.#seriesMax = options.seriesMax;
    this.#create = options.create;
    this.#onOverflow = options.onOverflow;
    this.#lastValues = options.names.map(() => "");
    this.#lastPath = options.names.map(() => this.#root);
  }

  get size(): number {
    return this.#series.size;
  }

  /** In order of creation. */
  series(): S[] {
    return [...this.#series];
  }

  /** The series of these labels, created when it is new. Throws on an undeclared name. */
  at(labels: AnyLabels | undefined): S {
    const names = this.names;
    const series = this.#lastSeries;
    if (labels === undefined || names.length === 0) return this.#without(labels);
    if (series === null) return this.#walk(labels, 0, labels[names[0] as string]);
    const last = this.#lastValues;
    for (let i = 0; i < names.length; i++) {
      const value = labels[names[i] as string];
      if (value !== last[i]) return this.#walk(labels, i, value);
    }
    return series;
  }

  /** The series that have all the given values; all series when nothing is given. Throws on an undeclared name. */
  matching(match: AnyLabels | undefined): S[] {
    const wanted = Object.entries(match ?? {}).filter(([, value]) => value !== undefined);
    for (const [name] of wanted) this.#requireDeclared(name);
    return [...this.#series].filter((series) => wanted.every(([name, value]) => series.labels[name] === text(value)));
  }

  /** Forgets a series; a later `at` makes a new one. */
  remove(series: S): void {
    if (!this.#series.delete(series)) return;
    this.#lastSeries = null;
    if (series === this.#overflow) this.#overflow = null;
    removePath(
      this.#root,
      this.names.map((name) => series.labels[name] ?? ""),
      0,
    );
  }

  /** From where the tuple departs from the last one: `value` is the one at `depth`. */
  #walk(labels: AnyLabels, depth: number, value: LabelValue | undefined): S {
    const names = this.names;
    let wanted = value;
    let node: Trie<S> | S | undefined = this.#lastPath[depth];
    for (let i = depth; ; ) {
      node = typeof wanted === "string" ? (node as Trie<S>).get(wanted) : undefined;
      if (node === undefined) {
        this.#lastSeries = null;
        return this.#resolve(this.#canonical(labels));
      }
      this.#lastValues[i] = wanted as string;
      if (++i === names.length) break;
      this.#lastPath[i] = node as Trie<S>;
      wanted = labels[names[i] as string];
    }
    this.#lastSeries = node as S;
    return node as S;
  }

  /** No labels given, or none declared. */
  #without(labels: AnyLabels | undefined): S {
    const only = this.#lastSeries;
    if (labels === undefined && this.names.length === 0 && only !== null) return only;
    const series = this.#resolve(this.#canonical(labels ?? {}));
    if (this.names.length === 0) this.#lastSeries = series;
    return series;
  }

  #canonical(labels: AnyLabels): string[] {
    for (const name of Object.keys(labels)) this.#requireDeclared(name);
    return this.names.map((name) => text(Object.hasOwn(labels, name) ? labels[name] : undefined));
  }

  #requireDeclared(name: string): void {
    if (this.names.includes(name)) return;
    const declared = this.names.length === 0 ? "none are declared" : `declared are ${this.names.join(", ")}`;
    throw new Error(`unknown label "${name}": ${declared}`);
  }

  #resolve(values: readonly string[]): S {
    const found = this.#lookup(values);
    if (found !== undefined) return found;
    if (this.#series.size < this.#seriesMax) return this.#insert(values);
    if (!this.#overflowed) {
      this.#overflowed = true;
      this.#onOverflow();
    }
    if (this.#overflow === null) {
      const overflow = values.map(() => OVERFLOW_LABEL);
      this.#overflow = this.#lookup(overflow) ?? this.#insert(overflow);
    }
    return this.#overflow;
  }

  #lookup(values: readonly string[]): S | undefined {
    if (values.length === 0) return this.#series.values().next().value;
    let node: Trie<S> | S | undefined = this.#root;
    for (const value of values) {
      node = (node as Trie<S>).get(value);
      if (node === undefined) return undefined;
    }
    return node as S;
  }

  #insert(values: readonly string[]): S {
    const labels: Record<string, string> = {};
    for (const [i, name] of this.names.entries()) labels[name] = values[i] ?? "";
    const series = this.#create(Object.freeze(labels));
    this.#series.add(series);
    let node = this.#root;
    for (const value of values.slice(0, -1)) {
      const next = (node.get(value) as Trie<S> | undefined) ?? new Map();
      node.set(value, next);
      node = next;
    }
    const leaf = values.at(-1);
    if (leaf !== undefined) node.set(leaf, series);
    return series;
  }
}

function text(value: LabelValue | undefined): string {
  const whole = value === undefined || value === null ? "" : String(value);
  return whole.length > LABEL_CHARS_MAX ? whole.slice(0, LABEL_CHARS_MAX) : whole;
}

/** Takes a path and the branches it leaves empty out of a trie. */
function removePath<S>(node: Trie<S>, values: readonly string[], depth: number): void {
  const value = values[depth];
  if (value === undefined) return;
  const next = node.get(value);
  if (depth < values.length - 1 && next instanceof Map) removePath(next, values, depth + 1);
  if (depth === values.length - 1 || (next instanceof Map && next.size === 0)) node.delete(value);
}
