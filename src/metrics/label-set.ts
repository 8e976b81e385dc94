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

/** Half a character has no UTF-8: exports would make one series of two, so that it is one from the start. */
const LONE_SURROGATE = /[\ud800-\udfff]/gu;

type Trie<S> = Map<string, Trie<S> | S>;

/** A tuple seen before; `b` and `c` are empty where fewer names are declared. */
interface Seen<S> {
  readonly a: string;
  readonly b: string;
  readonly c: string;
  readonly series: S;
}

/** A power of two. */
const SLOTS = 128;

/** Of a set that has met no tuple yet: never written to. */
const NONE_SEEN: readonly null[] = new Array<null>(SLOTS).fill(null);

/**
 * Finds the series of a label tuple: up to three labels in a table of tuples seen before, by comparing values; else
 * through a Map per declared name. No key is built and nothing is allocated (building a key costs at least 90 ns).
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
  #seen: readonly (Seen<S> | null)[] = NONE_SEEN;
  /** Of a set without names. */
  #only: S | null = null;
  #overflow: S | null = null;
  #overflowed = false;

  /** `onOverflow` is called once, at the first tuple over the cap. */
  constructor(options: {
    names: readonly string[];
    seriesMax: number;
    create: (labels: SeriesLabels) => S;
    onOverflow: () => void;
  }) {
    // a copy: V8 reads a frozen array more slowly (5 ns an element in Node 20)
    this.names = [...options.names];
    this.#seriesMax = options.seriesMax;
    this.#create = options.create;
    this.#onOverflow = options.onOverflow;
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
    const count = names.length;
    if (labels === undefined) return this.#only ?? this.#resolve({});
    if (count === 0 || count > 3) return this.#find(labels);
    // written out: a loop over the names would double what this costs
    const a = labels[names[0] as string];
    const b = count > 1 ? labels[names[1] as string] : "";
    const c = count > 2 ? labels[names[2] as string] : "";
    if (typeof a !== "string" || typeof b !== "string" || typeof c !== "string") return this.#resolve(labels);
    const slot = (mix(a) + 5 * mix(b) + 7 * mix(c)) & (SLOTS - 1);
    const seen = this.#seen[slot] as Seen<S> | null;
    if (seen !== null && seen.a === a && seen.b === b && seen.c === c) return seen.series;
    const series = this.#find(labels);
    // the first of a slot stays: writing anew at each meeting of two would cost more than the maps
    if (seen === null) this.#remember(slot, this.#ownTuple(series, a, b, c));
    return series;
  }

  #remember(slot: number, seen: Seen<S> | null): void {
    const own = this.#seen === NONE_SEEN ? [...NONE_SEEN] : (this.#seen as (Seen<S> | null)[]);
    own[slot] = seen;
    this.#seen = own;
  }

  /** With the series' own texts: the caller's may hold far larger ones in memory. Null when they are not the same. */
  #ownTuple(series: S, a: string, b: string, c: string): Seen<S> | null {
    const [ownA = "", ownB = "", ownC = ""] = this.names.map((name) => series.labels[name]);
    return ownA === a && ownB === b && ownC === c ? { a: ownA, b: ownB, c: ownC, series } : null;
  }

  /** The series that have all the given values; all series when nothing is given. Throws on an undeclared name. */
  matching(match: AnyLabels | undefined): S[] {
    const given = Object.entries(match ?? {}).filter(([, value]) => value !== undefined);
    for (const [name] of given) this.#requireDeclared(name);
    const wanted = given.map(([name, value]) => [name, text(value)] as const);
    return [...this.#series].filter((series) => wanted.every(([name, value]) => series.labels[name] === value));
  }

  /** Forgets a series; a later `at` makes a new one. */
  remove(series: S): void {
    if (!this.#series.delete(series)) return;
    this.#seen = NONE_SEEN;
    this.#only = null;
    if (series === this.#overflow) this.#overflow = null;
    removePath(this.#root, this.#path(series.labels), 0);
  }

  #find(labels: AnyLabels): S {
    let node: Trie<S> | S | undefined = this.#root;
    // only texts stand in the maps: what is not one is not found here
    for (const name of this.names) {
      node = (node as Trie<S>).get(labels[name] as string);
      if (node === undefined) return this.#resolve(labels);
    }
    return this.names.length === 0 ? this.#resolve(labels) : (node as S);
  }

  /** As texts in the order of the names; one empty text where none are declared. */
  #path(labels: AnyLabels): string[] {
    if (this.names.length === 0) return [""];
    return this.names.map((name) => text(labels[name]));
  }

  #requireDeclared(name: string): void {
    if (this.names.includes(name)) return;
    const declared = this.names.length === 0 ? "none are declared" : `declared are ${this.names.join(", ")}`;
    throw new Error(`unknown label "${name}": ${declared}`);
  }

  #resolve(labels: AnyLabels): S {
    for (const name in labels) this.#requireDeclared(name);
    const path = this.#path(labels);
    const found = this.#lookup(path);
    if (found !== undefined) return found;
    if (this.#series.size < this.#seriesMax) return this.#insert(path);
    if (this.#overflow !== null) return this.#overflow;
    if (!this.#overflowed) this.#onOverflow();
    this.#overflowed = true;
    const overflow = path.map(() => OVERFLOW_LABEL);
    this.#overflow = this.#lookup(overflow) ?? this.#insert(overflow);
    return this.#overflow;
  }

  #lookup(path: readonly string[]): S | undefined {
    let node: Trie<S> | S | undefined = this.#root;
    for (const value of path) {
      node = (node as Trie<S>).get(value);
      if (node === undefined) return undefined;
    }
    return node as S;
  }

  #insert(given: readonly string[]): S {
    const path = given.map(detached);
    const labels = Object.fromEntries(this.names.map((name, i) => [name, path[i] ?? ""]));
    const series = this.#create(Object.freeze(labels));
    this.#series.add(series);
    if (this.names.length === 0) this.#only = series;
    let node = this.#root;
    for (const value of path.slice(0, -1)) {
      const next = (node.get(value) as Trie<S> | undefined) ?? new Map();
      node.set(value, next);
      node = next;
    }
    node.set(path.at(-1) as string, series);
    return series;
  }
}

/** A cheap hash: it only spreads tuples over the slots. */
function mix(value: string): number {
  const { length } = value;
  return length === 0 ? 0 : length + 3 * value.charCodeAt(length >> 1) + value.charCodeAt(length - 1);
}

/** What is no value (a label left out, what every object inherits) is empty. */
function text(value: unknown): string {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "string") return "";
  return (value.length > LABEL_CHARS_MAX ? cut(value) : value).replace(LONE_SURROGATE, "\ufffd");
}

/** Between whole characters. */
function cut(value: string): string {
  const isHalved = (value.codePointAt(LABEL_CHARS_MAX - 1) as number) > 0xffff;
  return value.slice(0, isHalved ? LABEL_CHARS_MAX - 1 : LABEL_CHARS_MAX);
}

/**
 * The same text in memory of its own: a part of a text keeps the whole of it alive. As the name of a property V8 has
 * each text once, as it has literals, and need not look at characters to compare two of them.
 */
function detached(value: string): string {
  const [own = ""] = Object.keys({ [Buffer.from(value, "utf16le").toString("utf16le")]: 0 });
  return own;
}

/** Takes a path and the branches it leaves empty out of a trie. */
function removePath<S>(node: Trie<S>, path: readonly string[], depth: number): void {
  const value = path[depth] as string;
  const next = node.get(value);
  if (depth < path.length - 1 && next instanceof Map) removePath(next, path, depth + 1);
  if (depth === path.length - 1 || (next instanceof Map && next.size === 0)) node.delete(value);
}
