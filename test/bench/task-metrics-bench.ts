import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TaskLog } from "../../src/store/task-log.ts";
import { TaskMetrics } from "../../src/store/task-metrics.ts";
import { encodeTaskRecord } from "../../src/store/task-record.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import { dice, taskRecord, variedRecord } from "../store/sample-tasks.ts";
import { FakeClock } from "../support/fake-clock.ts";

const DAY_MS = 86_400_000;
const DAYS = 90;
const START = Date.parse("2026-08-23T00:00:00.000Z");
/** At noon of the last day. */
const NOW = START + (DAYS - 0.5) * DAY_MS;

/** Ninety days of records, one file a day. */
export async function benchTaskMetrics(count = 1_000_000): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "foreman-bench-"));
  try {
    generate(root, count);
    const folder = join(root, "metrics", "tasks");
    const bytes = readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    console.log(`${count} records of tasks in ${DAYS} days, ${(bytes / 1e6).toFixed(0)} MB`);
    await measure(root, folder);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

async function measure(root: string, folder: string): Promise<void> {
  const clock = new FakeClock(NOW);
  const files = nodeFiles();
  const open = () => new TaskMetrics({ files, clock }, root);
  const rebuilds: number[] = [];
  const loops: number[] = [];
  for (let round = 0; round < 3; round++) {
    for (const name of readdirSync(folder)) if (name.endsWith(".agg")) rmSync(join(folder, name));
    rebuilds.push(await timed(() => open().health()));
    loops.push(await timed(() => parseAll(folder)));
  }
  const [rebuild, loop] = [middle(rebuilds), middle(loops)];
  row("all read anew, and the index written", rebuild, "ms");
  row(`a JSON.parse loop over the same (${(loop / rebuild).toFixed(1)} times)`, loop, "ms");
  const cold = middle(await times(5, () => timed(() => open().aggregate())));
  row("the last 7 days, first question of a process, by the index", cold, "ms");
  const metrics = open();
  const answer = await metrics.aggregate();
  row(
    `  asked again (${answer.success_rate.total} records)`,
    (await each(2000, () => metrics.aggregate())) * 1000,
    "µs",
  );
  const log = new TaskLog(files, root);
  const today = () => taskRecord({ created_at: new Date(clock.now()).toISOString() });
  row(
    "  one second later, one record more",
    (await each(500, async () => {
      await clock.advance(1000);
      log.append(today());
      await metrics.aggregate();
    })) * 1000,
    "µs",
  );
  row("  the scoreboard by model", await timed(() => metrics.scoreboard({ by: "model" })), "ms");
  const record = today();
  row("appending a record", (await each(20_000, () => log.append(record))) * 1000, "µs");
  log.close();
  row("memory of the process", process.memoryUsage().rss / 1e6, "MB");
  judge("jq", folder, ["-n", "reduce inputs as $r ({}; .[$r.status] += 1)"]);
}

function generate(root: string, count: number): void {
  const folder = join(root, "metrics", "tasks");
  mkdirSync(folder, { recursive: true });
  const random = dice(1);
  const span = NOW - START;
  let [date, lines] = ["", [] as string[]];
  const flush = () => date !== "" && writeFileSync(join(folder, `${date}.jsonl`), lines.join(""));
  for (let i = 0; i < count; i++) {
    const record = variedRecord(i, Math.floor(START + (i / count) * span), random);
    const day = record.created_at.slice(0, 10);
    if (day !== date) {
      flush();
      [date, lines] = [day, []];
    }
    lines.push(encodeTaskRecord(record));
  }
  flush();
}

function parseAll(folder: string): number {
  let completed = 0;
  for (const name of readdirSync(folder).filter((name) => name.endsWith(".jsonl"))) {
    const bytes = readFileSync(join(folder, name));
    for (let from = 0, end = bytes.indexOf(10); end !== -1; from = end + 1, end = bytes.indexOf(10, from))
      if (JSON.parse(bytes.toString("utf8", from, end)).status === "completed") completed++;
  }
  return completed;
}

/** What a tool of others takes for counting alone; says so when it is not installed. */
function judge(tool: string, folder: string, args: string[]): void {
  const paths = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
  const begun = performance.now();
  try {
    execFileSync(tool, [...args, ...paths.map((name) => join(folder, name))], { maxBuffer: 2 ** 28 });
    row(`${tool}: counting by status, over the same`, performance.now() - begun, "ms");
  } catch {
    console.log(`  ${tool} is not installed`);
  }
}

async function timed(work: () => unknown): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

async function times(count: number, work: () => Promise<number>): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < count; i++) found.push(await work());
  return found;
}

async function each(count: number, work: () => unknown): Promise<number> {
  return (
    (await timed(async () => {
      for (let i = 0; i < count; i++) await work();
    })) / count
  );
}

function middle(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}

function row(what: string, value: number, unit: string): void {
  console.log(`  ${what.padEnd(64)} ${value.toFixed(value < 100 ? 1 : 0).padStart(8)} ${unit}`);
}
