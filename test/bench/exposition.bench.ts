/**
 * A scrape beside prom-client's, from the registry to the bytes, in one process: `npx tsx
 * test/bench/exposition.bench.ts`. Trust the ratios of one run. A missed goal is printed, no more.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as prom from "prom-client";
import { Exposition } from "../../src/export/exposition.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const ROUNDS = 21;

const GOAL = 0.25;

interface Pair {
  name: string;
  /** Scrapes per sample. */
  calls: number;
  ours: () => Buffer;
  theirs: () => Promise<Buffer>;
}

/** Counters named by letters, each with as many series. */
function counters(metrics: number, seriesEach: number): Pair {
  const [ourRegistry, theirRegistry] = [createMetricRegistry(), new prom.Registry()];
  for (let n = 0; n < metrics; n++) {
    const name = String.fromCharCode(97 + Math.floor(n / 26), 97 + (n % 26));
    const ours = ourRegistry.registerCounter(`crew.bench.${name}`, "h", { labels: ["id"] });
    const settings = { name: `crew_bench_${name}_total`, help: "h", labelNames: ["id"], registers: [theirRegistry] };
    const theirs = new prom.Counter(settings);
    for (let id = 0; id < seriesEach; id++) {
      ours.inc({ id: `series ${id}` }, n * 31 + id);
      theirs.inc({ id: `series ${id}` }, n * 31 + id);
    }
  }
  return pair(`${metrics} counters x ${seriesEach} series`, 20, ourRegistry, theirRegistry);
}

/** The default 13 bounds; values from a fixed generator, with fractions, so that sums have many digits. */
function histogram(series: number, unit: "count" | "ms"): Pair {
  const [ourRegistry, theirRegistry] = [createMetricRegistry(), new prom.Registry()];
  const ours = ourRegistry.registerHistogram("crew.bench.hist", "h", { labels: ["id"], unit });
  const name = unit === "ms" ? "crew_bench_hist_seconds" : "crew_bench_hist";
  const buckets = ours.bounds.map((bound) => (unit === "ms" ? bound / 1000 : bound));
  const theirs = new prom.Histogram({ name, help: "h", labelNames: ["id"], buckets, registers: [theirRegistry] });
  for (let i = 0; i < series * 40; i++) {
    const value = ((i * 2_654_435_761) % 4_294_967_296) / 300_000;
    ours.observe({ id: `series ${i % series}` }, value);
    theirs.observe({ id: `series ${i % series}` }, unit === "ms" ? value / 1000 : value);
  }
  return pair(`histogram of ${series} series x 13 bounds, ${unit}`, 1, ourRegistry, theirRegistry);
}

function pair(name: string, calls: number, ours: ReturnType<typeof createMetricRegistry>, theirs: prom.Registry): Pair {
  const exposition = new Exposition("text");
  return {
    name,
    calls,
    ours: () => Buffer.from(exposition.render(ours.snapshot())),
    theirs: async () => Buffer.from(await theirs.metrics()),
  };
}

/** Microseconds; each pays for its own garbage only. */
async function cost(scrape: () => unknown, calls: number): Promise<number> {
  collectGarbage();
  const from = process.hrtime.bigint();
  for (let i = 0; i < calls; i++) await scrape();
  return Number(process.hrtime.bigint() - from) / 1000 / calls;
}

async function measure({ name, calls, ours, theirs }: Pair): Promise<string> {
  const [our, their]: [number[], number[]] = [[], []];
  for (let round = -5; round < ROUNDS; round++) {
    const costs = [await cost(ours, calls), await cost(theirs, calls)] as const;
    if (round < 0) continue;
    our.push(costs[0]);
    their.push(costs[1]);
  }
  // the lower quartile: on a shared machine a round is only ever made slower
  const typical = (costs: number[]) => costs.sort((a, b) => a - b)[costs.length >> 2] as number;
  const ratio = typical(our) / typical(their);
  const bytes = [ours().length, (await theirs()).length];
  const verdict = `${GOAL} ${ratio <= GOAL ? "met" : "MISSED"}`;
  const cells = [typical(our).toFixed(0), typical(their).toFixed(0), ratio.toFixed(3), verdict, ...bytes];
  return name.padEnd(44) + cells.map((cell) => String(cell).padStart(12)).join("");
}

const titles = ["ours us", "prom us", "ratio", "goal", "our bytes", "prom bytes"];
console.log(`node ${process.version}, a scrape with its snapshot, lower quartiles of ${ROUNDS}`);
console.log("".padEnd(44) + titles.map((title) => title.padStart(12)).join(""));
for (const one of [counters(100, 10), histogram(1000, "count"), histogram(1000, "ms")]) console.log(await measure(one));
