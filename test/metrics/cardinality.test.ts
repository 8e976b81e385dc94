import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { createMetricRegistry } from "../../src/metrics/registry.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** A million series of one number each would take a hundred times this. */
const HEAP_BYTES_MAX = 4 * 1024 * 1024;

test("a million events with a million label values: bounded memory, one overflow series, one warning, nothing evicted", () => {
  const warnings: string[] = [];
  const metrics = createMetricRegistry({ warn: (message) => void warnings.push(message) });
  const counter = metrics.registerCounter("crew.a.count", "", { labels: ["id", "team"] });
  const took = metrics.registerHistogram("crew.a.took", "", { labels: ["id"] });
  const recent = createMetricRegistry({ clock: { monotonicMs: () => 0 } }).registerWindowedCounter("crew.a.b", "", {
    labels: ["id"],
  });
  const tell = (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      counter.inc({ id: `id-${i}`, team: "a" });
      took.observe({ id: `id-${i}` }, 1);
      recent.inc({ id: `id-${i}` });
    }
  };
  tell(0, 2000);
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  tell(2000, 1_000_000);
  collectGarbage();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(HEAP_BYTES_MAX);
  expect(warnings).toEqual([
    'metric crew.a.count has 1000 series; further ones are counted together as "overflow"',
    'metric crew.a.took has 1000 series; further ones are counted together as "overflow"',
  ]);
  expect([counter.value(), took.count(), recent.value()]).toEqual([1e6, 1e6, 1e6]);
  expect(counter.value({ id: "overflow" })).toBe(1e6 - 1000);
  expect(metrics.snapshot().map(({ series }) => series.length)).toEqual([1001, 1001]);
  expect([counter.value({ id: "id-0" }), counter.value({ id: "id-999" })]).toEqual([1, 1]);
  counter.inc({ id: "id-0", team: "a" });
  expect(counter.value({ id: "id-0" })).toBe(2);
});
