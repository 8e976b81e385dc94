/**
 * Our instruments beside prom-client's, hot in one process: `npx tsx test/bench/metrics.bench.ts`. Trust the ratios of
 * one run, not the nanoseconds of two. A missed goal is printed, no more.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as prom from "prom-client";
import { DURATION_BOUNDS_MS } from "../../src/metrics/buckets.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const ROUNDS = 21;
const STATUSES = ["completed", "failed", "cancelled", "skipped"];
const TEAMS = ["default", "research"];
/** Log-normal, from a fixed generator: median 400, long tail. */
const VALUES = Float64Array.from({ length: 4096 }, (_, i) => {
  const uniform = (offset: number) => (((i + offset) * 2_654_435_761) % 4_294_967_296) / 4_294_967_296 + 1e-9;
  return Math.exp(6 + 1.5 * Math.sqrt(-2 * Math.log(uniform(1))) * Math.cos(2 * Math.PI * uniform(7919)));
});

interface Case {
  name: string;
  ours: (i: number) => unknown;
  theirs: (i: number) => unknown | Promise<unknown>;
  /** Calls per sample. */
  calls: number;
  /** Ratio to reach. */
  goal: number;
}

const status = (i: number) => STATUSES[i & 3] as string;
const team = (i: number) => TEAMS[(i >> 2) & 1] as string;
const observed = (i: number) => VALUES[i & 4095] as number;

function cases(): Case[] {
  const theirRegistry = new prom.Registry();
  const metrics = createMetricRegistry();
  const labels = ["status", "team"] as const;
  const theirs = { help: "h", labelNames: [...labels], registers: [theirRegistry] };
  const counter = metrics.registerCounter("crew.bench.counter", "h", { labels });
  const theirCounter = new prom.Counter({ name: "counter", ...theirs });
  const hist = metrics.registerHistogram("crew.bench.hist", "h", { labels });
  const theirHist = new prom.Histogram({ name: "hist", ...theirs, buckets: [...hist.bounds] });
  const long = metrics.registerHistogram("crew.bench.long", "h", { labels, buckets: DURATION_BOUNDS_MS });
  const theirLong = new prom.Histogram({ name: "long", ...theirs, buckets: [...DURATION_BOUNDS_MS] });
  // other metrics with other label names, as in a session: the call sites inside are megamorphic
  for (let n = 0; n < 20; n++) {
    const name = String.fromCharCode(97 + n);
    const other = metrics.registerCounter(`crew.other.${name}`, "h", { labels: [`x${name}`.replace("xx", "x"), name] });
    for (let i = 0; i < 1000; i++) other.inc({ [`x${name}`.replace("xx", "x")]: "1", [name]: "2" } as never);
  }
  const bound = counter.labels({ status: "completed", team: "default" });
  const theirBound = theirCounter.labels({ status: "completed", team: "default" });
  const boundHist = hist.labels({ status: "completed", team: "default" });
  const theirBoundHist = theirHist.labels({ status: "completed", team: "default" });
  const boundLong = long.labels({ status: "completed", team: "default" });
  const theirBoundLong = theirLong.labels({ status: "completed", team: "default" });
  return [
    {
      name: "inc, 2 labels, 8 series in turn",
      ours: (i) => counter.inc({ status: status(i), team: team(i) }),
      theirs: (i) => theirCounter.inc({ status: status(i), team: team(i) }),
      calls: 200_000,
      goal: 0.2,
    },
    {
      name: "inc, 2 labels, same series",
      ours: () => counter.inc({ status: "failed", team: "default" }),
      theirs: () => theirCounter.inc({ status: "failed", team: "default" }),
      calls: 200_000,
      goal: 0.2,
    },
    { name: "inc, bound", ours: () => bound.inc(), theirs: () => theirBound.inc(), calls: 200_000, goal: 0.02 },
    {
      name: "observe, 2 labels, 8 series in turn",
      ours: (i) => hist.observe({ status: status(i), team: team(i) }, observed(i)),
      theirs: (i) => theirHist.observe({ status: status(i), team: team(i) }, observed(i)),
      calls: 100_000,
      goal: 0.1,
    },
    {
      name: "observe, bound, default bounds",
      ours: (i) => boundHist.observe(observed(i)),
      theirs: (i) => theirBoundHist.observe(observed(i)),
      calls: 100_000,
      goal: 0.04,
    },
    {
      name: "observe, bound, duration bounds",
      ours: (i) => boundLong.observe(observed(i)),
      theirs: (i) => theirBoundLong.observe(observed(i)),
      calls: 100_000,
      goal: 0.06,
    },
    snapshotCase(),
  ];
}

/** 100 counters with 10 series each. prom-client hands out its live objects; ours are copies. */
function snapshotCase(): Case {
  const theirRegistry = new prom.Registry();
  const metrics = createMetricRegistry();
  for (let n = 0; n < 100; n++) {
    const name = String.fromCharCode(97 + Math.floor(n / 26), 97 + (n % 26));
    const ours = metrics.registerCounter(`crew.snap.${name}`, "h", { labels: ["id"] });
    const theirs = new prom.Counter({ name, help: "h", labelNames: ["id"], registers: [theirRegistry] });
    for (let id = 0; id < 10; id++) {
      ours.inc({ id: `series ${id}` }, n + id);
      theirs.inc({ id: `series ${id}` }, n + id);
    }
  }
  return {
    name: "snapshot of 100 counters x 10 series",
    ours: () => metrics.snapshot(),
    theirs: () => theirRegistry.getMetricsAsJSON(),
    calls: 50,
    goal: 1,
  };
}

let loops = 0;

/**
 * A loop of its own for every case, and a source of its own for every loop: V8 gives functions of one text one type
 * feedback. Through a shared loop the call would be megamorphic, and cost five times a bound handle.
 */
function loopFor(body: (i: number) => unknown): (calls: number) => Promise<void> {
  const awaits = body(0) instanceof Promise ? "await " : "";
  const code = `/* ${++loops} */ return async (calls) => { for (let i = 0; i < calls; i++) ${awaits}body(i); };`;
  return new Function("body", code)(body) as (calls: number) => Promise<void>;
}

interface Cost {
  ns: number;
  bytes: number;
}

async function sample(loop: (calls: number) => Promise<void>, calls: number): Promise<Cost> {
  collectGarbage();
  const heapBefore = process.memoryUsage().heapUsed;
  const from = process.hrtime.bigint();
  await loop(calls);
  const ns = Number(process.hrtime.bigint() - from) / calls;
  return { ns, bytes: Math.max(0, process.memoryUsage().heapUsed - heapBefore) / calls };
}

/** The lower quartile: on a shared machine a round is only ever made slower. */
function typical(costs: readonly Cost[], of: keyof Cost): number {
  return costs.map((cost) => cost[of]).sort((a, b) => a - b)[costs.length >> 2] ?? Number.NaN;
}

async function measure({ name, ours, theirs, calls, goal }: Case): Promise<string> {
  const [ourLoop, theirLoop] = [loopFor(ours), loopFor(theirs)];
  for (let warm = 0; warm < 5; warm++) {
    await ourLoop(calls);
    await theirLoop(calls);
  }
  const our: Cost[] = [];
  const their: Cost[] = [];
  // allocation is read from fewer calls, so that no collection comes in between
  const few = Math.min(calls / 10, 10_000);
  const ourBytes: Cost[] = [];
  const theirBytes: Cost[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    our.push(await sample(ourLoop, calls));
    their.push(await sample(theirLoop, calls));
    ourBytes.push(await sample(ourLoop, few));
    theirBytes.push(await sample(theirLoop, few));
  }
  const ratio = typical(our, "ns") / typical(their, "ns");
  const cells = [
    typical(our, "ns").toFixed(2),
    typical(their, "ns").toFixed(2),
    ratio.toFixed(3),
    `${goal.toFixed(2)} ${ratio <= goal ? "met" : "MISSED"}`,
    typical(ourBytes, "bytes").toFixed(1),
    typical(theirBytes, "bytes").toFixed(1),
  ];
  return name.padEnd(38) + cells.map((cell) => cell.padStart(14)).join("");
}

const titles = ["ours ns/op", "prom ns/op", "ratio", "goal", "ours B/op", "prom B/op"];
console.log(`node ${process.version}, lower quartiles of ${ROUNDS}`);
console.log("".padEnd(38) + titles.map((title) => title.padStart(14)).join(""));
for (const one of cases()) console.log(await measure(one));
