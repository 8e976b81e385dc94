import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import * as prom from "prom-client";
import { DURATION_BOUNDS_MS } from "../../src/metrics/buckets.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";

/** The same work given to our instruments, prom-client's and OpenTelemetry's. */

const STATUSES = ["completed", "failed", "cancelled", "skipped"];
const TEAMS = ["default", "research"];
/** Log-normal, from a fixed generator: median 400, long tail. */
const VALUES = Float64Array.from({ length: 4096 }, (_, i) => {
  const uniform = (offset: number) => (((i + offset) * 2_654_435_761) % 4_294_967_296) / 4_294_967_296 + 1e-9;
  return Math.exp(6 + 1.5 * Math.sqrt(-2 * Math.log(uniform(1))) * Math.cos(2 * Math.PI * uniform(7919)));
});

export interface Case {
  name: string;
  ours: (i: number) => unknown;
  theirs: (i: number) => unknown | Promise<unknown>;
  otel: ((i: number) => unknown) | null;
  /** Calls per sample. */
  calls: number;
  /** Ratio to prom-client to reach. */
  goal: number;
  /** Nothing may be allocated, and a call takes at most this. */
  nsMax?: number;
}

const status = (i: number) => STATUSES[i & 3] as string;
const team = (i: number) => TEAMS[(i >> 2) & 1] as string;
const observed = (i: number) => VALUES[i & 4095] as number;
/** Ten times as many as a metric has series. */
const UNSEEN = Array.from({ length: 10_000 }, (_, i) => `id-${i}`);
const MODELS = Array.from({ length: 100 }, (_, i) => `model-${i}`);

class PullReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {
    // nothing is kept back
  }
  protected override async onShutdown(): Promise<void> {
    // nothing is open
  }
}

const meter = new MeterProvider({ readers: [new PullReader()] }).getMeter("bench");
const metrics = createMetricRegistry();
const theirRegistry = new prom.Registry();
const LABELS = ["status", "team"] as const;

function counters(name: string) {
  return {
    ours: metrics.registerCounter(`crew.bench.${name}`, "h", { labels: LABELS }),
    theirs: new prom.Counter({ name, help: "h", labelNames: [...LABELS], registers: [theirRegistry] }),
    otel: meter.createCounter(name),
  };
}

function histograms(name: string, buckets?: readonly number[]) {
  const ours = metrics.registerHistogram(`crew.bench.${name}`, "h", {
    labels: LABELS,
    ...(buckets === undefined ? {} : { buckets }),
  });
  const boundaries = [...ours.bounds];
  return {
    ours,
    theirs: new prom.Histogram({
      name,
      help: "h",
      labelNames: [...LABELS],
      registers: [theirRegistry],
      buckets: boundaries,
    }),
    otel: meter.createHistogram(name, { advice: { explicitBucketBoundaries: boundaries } }),
  };
}

/** What a call with two labels costs. `suffix` keeps the metrics of two rows of cases apart. */
export function labelled(suffix: string, title: string): Case[] {
  const { ours, theirs, otel } = counters(`counter_${suffix}`);
  const hist = histograms(`hist_${suffix}`);
  return [
    {
      name: `inc, 8 series in turn, ${title}`,
      ours: (i) => ours.inc({ status: status(i), team: team(i) }),
      theirs: (i) => theirs.inc({ status: status(i), team: team(i) }),
      otel: (i) => otel.add(1, { status: status(i), team: team(i) }),
      calls: 10_000,
      goal: 0.2,
    },
    {
      name: `inc, same series, ${title}`,
      ours: () => ours.inc({ status: "failed", team: "default" }),
      theirs: () => theirs.inc({ status: "failed", team: "default" }),
      otel: () => otel.add(1, { status: "failed", team: "default" }),
      calls: 10_000,
      goal: 0.2,
    },
    {
      name: `observe, 8 series in turn, ${title}`,
      ours: (i) => hist.ours.observe({ status: status(i), team: team(i) }, observed(i)),
      theirs: (i) => hist.theirs.observe({ status: status(i), team: team(i) }, observed(i)),
      otel: (i) => hist.otel.record(observed(i), { status: status(i), team: team(i) }),
      calls: 10_000,
      goal: 0.1,
    },
  ];
}

/** Other metrics with other label names, as in a session: the call sites inside become megamorphic. */
export function pollute(): void {
  for (let n = 0; n < 20; n++) {
    const name = String.fromCharCode(97 + n);
    const [one, two] = [`${name}_one`, `${name}_two`];
    const other = metrics.registerCounter(`crew.other.${name}`, "h", { labels: [one, two] });
    for (let i = 0; i < 1000; i++) other.inc({ [one]: "1", [two]: "2" } as never);
  }
}

export function otherCases(): Case[] {
  const many = counters("many");
  const over = counters("over");
  const { ours, theirs } = counters("bound");
  const hist = histograms("bound_hist");
  const long = histograms("long", DURATION_BOUNDS_MS);
  const at = { status: "completed", team: "default" };
  const [bound, theirBound] = [ours.labels(at), theirs.labels(at)];
  const [boundHist, theirBoundHist] = [hist.ours.labels(at), hist.theirs.labels(at)];
  const [boundLong, theirBoundLong] = [long.ours.labels(at), long.theirs.labels(at)];
  return [
    {
      name: "inc, 100 series in turn",
      ours: (i) => many.ours.inc({ status: MODELS[i % 100] as string, team: "a" }),
      theirs: (i) => many.theirs.inc({ status: MODELS[i % 100] as string, team: "a" }),
      otel: (i) => many.otel.add(1, { status: MODELS[i % 100] as string, team: "a" }),
      calls: 10_000,
      goal: 0.3,
    },
    {
      name: "inc, 10,000 values, over the cap",
      ours: (i) => over.ours.inc({ status: UNSEEN[i % 10_000] as string, team: "a" }),
      theirs: (i) => over.theirs.inc({ status: UNSEEN[i % 10_000] as string, team: "a" }),
      otel: (i) => over.otel.add(1, { status: UNSEEN[i % 10_000] as string, team: "a" }),
      calls: 10_000,
      goal: 0.3,
    },
    {
      name: "inc, bound",
      ours: () => bound.inc(),
      theirs: () => theirBound.inc(),
      otel: null,
      calls: 10_000,
      goal: 0.02,
      nsMax: 2,
    },
    {
      name: "observe, bound, default bounds",
      ours: (i) => boundHist.observe(observed(i)),
      theirs: (i) => theirBoundHist.observe(observed(i)),
      otel: null,
      calls: 10_000,
      goal: 0.04,
    },
    {
      name: "observe, bound, duration bounds",
      ours: (i) => boundLong.observe(observed(i)),
      theirs: (i) => theirBoundLong.observe(observed(i)),
      otel: null,
      calls: 10_000,
      goal: 0.06,
    },
  ];
}

/** 100 counters with 10 series each. prom-client hands out its live objects; ours are copies. */
export function snapshotCase(): Case {
  const registers = [new prom.Registry()];
  const own = createMetricRegistry();
  for (let n = 0; n < 100; n++) {
    const name = String.fromCharCode(97 + Math.floor(n / 26), 97 + (n % 26));
    const ours = own.registerCounter(`crew.snap.${name}`, "h", { labels: ["id"] });
    const theirs = new prom.Counter({ name, help: "h", labelNames: ["id"], registers });
    for (let id = 0; id < 10; id++) {
      ours.inc({ id: `series ${id}` }, n + id);
      theirs.inc({ id: `series ${id}` }, n + id);
    }
  }
  return {
    name: "snapshot of 100 counters x 10 series",
    ours: () => own.snapshot(),
    theirs: () => registers[0]?.getMetricsAsJSON(),
    otel: null,
    calls: 50,
    goal: 1,
  };
}
