/**
 * Our instruments beside prom-client's and OpenTelemetry's, hot in one process: `npx tsx test/bench/metrics.bench.ts`.
 * Trust the ratios of one run, not the nanoseconds of two. A missed goal is printed, no more.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Case, labelled, otherCases, pollute, snapshotCase } from "./instrument-cases.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const ROUNDS = 80;
const BYTES_ROUNDS = 7;
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

async function nsOf(loop: (calls: number) => Promise<void>, calls: number): Promise<number> {
  const from = process.hrtime.bigint();
  await loop(calls);
  return Number(process.hrtime.bigint() - from) / calls;
}

async function bytesOf(loop: (calls: number) => Promise<void>, calls: number): Promise<number> {
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  await loop(calls);
  return Math.max(0, process.memoryUsage().heapUsed - before) / calls;
}

/** On a shared machine a round is only ever made slower. */
function typical(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 3] ?? Number.NaN;
}

/** Rounds in turn and short, so that what else the machine does meets all alike. */
async function costsOf(bodies: readonly Case["ours"][], calls: number): Promise<Cost[]> {
  const runs = bodies.map((body) => ({ loop: loopFor(body), times: [] as number[], bytes: [] as number[] }));
  for (let warm = 0; warm < 20; warm++) for (const { loop } of runs) await loop(calls);
  for (let round = 0; round < ROUNDS; round++) for (const { loop, times } of runs) times.push(await nsOf(loop, calls));
  for (let round = 0; round < BYTES_ROUNDS; round++)
    for (const { loop, bytes } of runs) bytes.push(await bytesOf(loop, calls / 5));
  return runs.map(({ times, bytes }) => ({ ns: typical(times), bytes: typical(bytes) }));
}

async function measure({ name, ours, theirs, otel, calls, goal, nsMax }: Case): Promise<string> {
  const costs = await costsOf(otel === null ? [ours, theirs] : [ours, theirs, otel], calls);
  const [our, their, other = null] = costs as [Cost, Cost, Cost?];
  const ratio = our.ns / their.ns;
  // the loop itself allocates a little for each sample
  const met = ratio <= goal && (nsMax === undefined || (our.ns <= nsMax && our.bytes < 1));
  const cells = [
    our.ns.toFixed(2),
    their.ns.toFixed(1),
    other?.ns.toFixed(1) ?? "",
    ratio.toFixed(3),
    `${goal.toFixed(2)} ${met ? "met" : "MISSED"}`,
    other === null ? "" : (our.ns / other.ns).toFixed(3),
    our.bytes.toFixed(0),
    their.bytes.toFixed(0),
    other?.bytes.toFixed(0) ?? "",
  ];
  return name.padEnd(38) + cells.map((cell) => cell.padStart(12)).join("");
}

const titles = ["ours ns", "prom ns", "OTel ns", "of prom", "goal", "of OTel", "ours B/op", "prom B/op", "OTel B/op"];
console.log(`Instruments, two labels (node ${process.version}, lowest eighth of ${ROUNDS} short rounds)`);
console.log("".padEnd(38) + titles.map((title) => title.padStart(12)).join(""));
for (const one of labelled("clean", "first of all")) console.log(await measure(one));
pollute();
for (const one of [...labelled("polluted", "among others"), ...otherCases(), snapshotCase()])
  console.log(await measure(one));
