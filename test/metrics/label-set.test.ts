import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { expect, test } from "vitest";
import { LABEL_CHARS_MAX, LabelSet, OVERFLOW_LABEL } from "../../src/metrics/label-set.ts";
import type { SeriesLabels } from "../../src/metrics/snapshot.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

interface Cell {
  readonly labels: SeriesLabels;
  total: number;
}

function cells(names: string[], seriesMax = 1000) {
  const warnings: string[] = [];
  const set = new LabelSet<Cell>({
    names,
    seriesMax,
    create: (labels) => ({ labels, total: 0 }),
    onOverflow: () => warnings.push("over"),
  });
  return { set, warnings };
}

const value = fc.oneof(
  fc.string(),
  fc.constantFrom("a", "b", "constructor", "__proto__", ""),
  fc.integer(),
  fc.boolean(),
);

test("the order of labels in the literal does not matter, nor whether a value is a number or its text", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(value, value, value), { minLength: 1, maxLength: 40 }), (tuples) => {
      const { set } = cells(["a", "b", "c"]);
      for (const [a, b, c] of tuples) {
        const first = set.at({ a, b, c });
        expect(set.at({ c, a, b })).toBe(first);
        expect(set.at({ b: String(b), c: String(c), a: String(a) })).toBe(first);
        expect(first.labels).toEqual({ a: String(a), b: String(b), c: String(c) });
      }
      expect(set.size).toBe(new Set(tuples.map((tuple) => JSON.stringify(tuple.map(String)))).size);
    }),
  );
});

test("any sequence of finds and removals agrees with a plain Map", () => {
  const step = fc.record({
    a: fc.constantFrom("x", "y", "z"),
    b: fc.constantFrom("1", "2", 1, 2),
    remove: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { set } = cells(["a", "b"]);
      const model = new Map<string, number>();
      for (const { a, b, remove } of steps) {
        const key = `${a}|${b}`;
        const cell = set.at({ a, b });
        expect(cell.total).toBe(model.get(key) ?? 0);
        cell.total++;
        model.set(key, (model.get(key) ?? 0) + 1);
        if (remove) {
          set.remove(cell);
          model.delete(key);
        }
      }
      expect(set.size).toBe(model.size);
      expect(new Map([...set.series()].map(({ labels, total }) => [`${labels["a"]}|${labels["b"]}`, total]))).toEqual(
        model,
      );
    }),
  );
});

test.each([1, 2, 3, 4])("hundreds of tuples of %i labels stay apart, however alike they are", (count) => {
  const names = ["a", "b", "c", "d"].slice(0, count);
  const { set } = cells(names, 5000);
  const model = new Map<string, Cell>();
  const alike = ["", "x", "aaaa1", "1aaaa", "aa1aa", "aaaaa", "aaaab", "baaaa"];
  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < alike.length ** Math.min(count, 3); n++) {
      const values = names.map((_, i) => alike[Math.floor(n / alike.length ** i) % alike.length] ?? "");
      const cell = set.at(Object.fromEntries(names.map((name, i) => [name, values[i] ?? ""])));
      expect(Object.values(cell.labels)).toEqual(values);
      expect(model.get(values.join("|")) ?? cell).toBe(cell);
      model.set(values.join("|"), cell);
    }
  }
  expect(set.size).toBe(model.size);
});

test("what every object inherits is no value of a label", () => {
  const { set } = cells(["constructor"]);
  expect(set.at({}).labels).toEqual({ constructor: "" });
});

test("over the cap everything unseen shares one series: totals stay true and nothing is evicted", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(30), { maxLength: 200 }), fc.integer({ min: 1, max: 10 }), (ids, max) => {
      const { set, warnings } = cells(["id"], max);
      for (const id of ids) set.at({ id }).total++;
      const distinct = new Set(ids).size;
      const all = [...set.series()];
      expect(all.reduce((sum, cell) => sum + cell.total, 0)).toBe(ids.length);
      expect(set.size).toBe(distinct > max ? max + 1 : distinct);
      expect(warnings).toHaveLength(distinct > max ? 1 : 0);
      const kept = [...new Set(ids)].slice(0, max);
      for (const id of kept) expect(set.at({ id }).total).toBe(ids.filter((other) => other === id).length);
    }),
  );
});

test("a tuple that is called overflow itself is the overflow series, not a second one like it", () => {
  const { set } = cells(["id"], 1);
  const own = set.at({ id: OVERFLOW_LABEL });
  expect(set.at({ id: "unseen" })).toBe(own);
  expect(set.size).toBe(1);
});

test("an undeclared name throws and names what is declared", () => {
  const { set } = cells(["status"]);
  expect(() => set.at({ state: "x" })).toThrow('unknown label "state": declared are status');
  expect(() => set.at({ status: "x", extra: "y" })).toThrow('unknown label "extra"');
  expect(() => set.matching({ state: "x" })).toThrow("unknown label");
  const unlabelled = cells([]).set;
  unlabelled.at(undefined);
  expect(() => unlabelled.at({ status: "x" })).toThrow("none are declared");
  expect(unlabelled.at({})).toBe(unlabelled.at(undefined));
});

test("a caller's labels object may be changed and used again", () => {
  const { set } = cells(["a"]);
  const labels = { a: "1" };
  const first = set.at(labels);
  labels.a = "2";
  expect(set.at(labels)).not.toBe(first);
});

test("a failed lookup does not leave half a tuple behind in the cache", () => {
  const { set } = cells(["a", "b"]);
  const xy = set.at({ a: "x", b: "y" });
  set.at({ a: "x", b: "y" });
  expect(() => set.at({ a: "x", b: "new", c: "?" })).toThrow();
  expect(set.at({ a: "x", b: "y" })).toBe(xy);
});

test("a missing label is the empty value and long values are cut", () => {
  const { set } = cells(["a", "b"]);
  expect(set.at({ a: "x" })).toBe(set.at({ a: "x", b: "" }));
  expect(set.at(undefined).labels).toEqual({ a: "", b: "" });
  const long = set.at({ a: "x".repeat(5000), b: "" });
  expect(long.labels["a"]).toHaveLength(LABEL_CHARS_MAX);
  expect(set.at({ a: "x".repeat(5000), b: "" })).toBe(long);
});

test.each([
  ["is cut", 1_000_000],
  ["is a small part of a large text", 100],
])("a value that %s keeps nothing of the rest in memory", (_what, chars) => {
  const { set } = cells(["a"], 150);
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  for (let n = 0; n < 200; n++) set.at({ a: Buffer.alloc(1_000_000, `${n} `).toString("latin1").slice(0, chars) });
  collectGarbage();
  expect(set.size).toBe(151);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(4_000_000);
});

test("values are cut between whole characters, and half a character is the replacement character", () => {
  const { set } = cells(["a"]);
  const before = "x".repeat(LABEL_CHARS_MAX - 1);
  const cut = set.at({ a: `${before}\u{1f600}y` });
  expect(cut.labels["a"]).toBe(before);
  expect(set.at({ a: `${before}\u{1f601}` })).toBe(cut);
  const half = set.at({ a: "a\ud800" });
  expect(half.labels["a"]).toBe("a\ufffd");
  expect([set.at({ a: "a\udfff" }), set.at({ a: "a\ufffd" })]).toEqual([half, half]);
  expect(set.matching({ a: "a\udc00" })).toEqual([half]);
  expect(set.at({ a: "\u{1f600}" }).labels["a"]).toBe("\u{1f600}");
  set.remove(half);
  expect(set.matching({ a: "a\ufffd" })).toEqual([]);
});
