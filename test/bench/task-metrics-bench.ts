import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TaskLog } from "../../src/store/task-log.ts";
import { TaskMetrics } from "../../src/store/task-metrics.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import { dice, taskRecord, variedRecord } from "../store/sample-tasks.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { spread } from "./timing.ts";

const DAY_MS = 86_400_000;
const DAYS = 90;
/** With more than so many there are fewer rounds, and tools that take minutes are left out. */
const MANY = 2_000_000;
const START = Date.parse("2026-08-23T00:00:00.000Z");
/** At noon of the last day. */
const NOW = START + (DAYS - 0.5) * DAY_MS;

/** Ninety days of records, one file a day. */
export async function benchTaskMetrics(count: number): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "foreman-bench-"));
  try {
    // by another process: what is measured here was not compiled for writing
    script("plant-task-records.ts", root, String(START), String(NOW), String(count));
    const folder = join(root, "metrics", "tasks");
    const bytes = readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    console.log(`${count} records of tasks in ${DAYS} days, ${(bytes / 1e6).toFixed(0)} MB`);
    await measure(root, folder, count <= MANY);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

async function measure(root: string, folder: string, all: boolean): Promise<void> {
  const clock = new FakeClock(NOW);
  const files = nodeFiles();
  const open = () => new TaskMetrics({ files, clock }, root);
  const rounds: Record<"rebuild" | "loop", Spent>[] = [];
  for (let round = 0; round < (all ? 7 : 3); round++) {
    for (const name of readdirSync(folder)) if (name.endsWith(".agg")) rmSync(join(folder, name));
    rounds.push({ rebuild: await spent(() => open().health()), loop: await spent(() => parseAll(folder)) });
  }
  const best = (of: "rebuild" | "loop", what: keyof Spent) => Math.min(...rounds.map((it) => it[of][what]));
  const ratio = (what: keyof Spent) => spread(rounds.map(({ rebuild, loop }) => loop[what] / rebuild[what])).p50;
  const times = ratio("ms");
  const verdict = `${times.toFixed(1)} times, goal 4: ${times >= 4 ? "met" : "MISSED"}`;
  row("all read anew, and the index written", best("rebuild", "ms"), "ms");
  row(`a JSON.parse loop, in turn (${verdict})`, best("loop", "ms"), "ms");
  row("  all read anew: of the processor, with what other threads do", best("rebuild", "cpuMs"), "ms");
  row(`  the loop: of the processor (${ratio("cpuMs").toFixed(1)} times)`, best("loop", "cpuMs"), "ms");
  const cold = spread(Array.from({ length: 15 }, () => firstQuestion(root)));
  row(`the last 7 days, first question of a process, p25 of 15 (p50 ${cold.p50.toFixed(1)})`, cold.p25, "ms");
  const metrics = open();
  const answer = await metrics.aggregate();
  row(
    `  asked again (${answer.success_rate.total} records)`,
    (await each(2000, () => metrics.aggregate())) * 1000,
    "µs",
  );
  const log = new TaskLog({ files, clock }, root);
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
  row("  the scoreboard by model", await timed(() => metrics.scoreboard({ by: ["model"] })), "ms");
  const append = appendUs(log, clock.now());
  row(`appending a record, processor (goal 5: ${append <= 5 ? "met" : "MISSED"})`, append, "µs");
  log.close();
  row("memory of the process", process.memoryUsage().rss / 1e6, "MB");
  if (!all) return;
  judge("jq: counting by status", "jq", ["-n", "reduce inputs as $r ({}; .[$r.status] += 1)"], folder);
  judge(
    "SQLite: reading all in, with an index by time; then the last 7 days",
    "python3",
    ["-c", SQLITE, String(NOW)],
    folder,
  );
}

/** Of the quickest of many rounds: by then the code is compiled. */
function appendUs(log: TaskLog, now: number): number {
  const random = dice(2);
  const records = Array.from({ length: 4000 }, (_, i) => variedRecord(i, now, random));
  const rounds = Array.from({ length: 50 }, () => {
    const before = process.cpuUsage();
    for (const record of records) log.append(record);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / records.length;
  });
  return Math.min(...rounds);
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

/** What a tool of others takes, over the same files; says so when it is not there. */
function judge(what: string, tool: string, args: string[], folder: string): void {
  const paths = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
  const begun = performance.now();
  try {
    const said = execFileSync(tool, [...args, ...paths.map((name) => join(folder, name))], { encoding: "utf8" });
    row(what, performance.now() - begun, "ms");
    console.log(said.replace(/\s+/g, " ").replace(/^ ?/, "    "));
  } catch {
    console.log(`  ${what}: ${tool} can't do it here`);
  }
}

const SQLITE = `
import json, resource, sqlite3, sys, time
def rows():
    for path in sys.argv[2:]:
        for line in open(path):
            r = json.loads(line)
            yield r["created_at"], r["status"], r["task_type"], r["model"], r["duration_seconds"]
def ms(begun): return "%.0f ms" % ((time.time() - begun) * 1000)
begun = time.time()
db = sqlite3.connect("")
db.execute("create table tasks (at text, status text, type text, model text, seconds real)")
db.executemany("insert into tasks values (?, ?, ?, ?, ?)", rows())
db.execute("create index by_time on tasks (at)")
print("read in", ms(begun))
since = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(int(sys.argv[1]) / 1000 - 7 * 86400))
begun = time.time()
for what in "status", "type", "model":
    db.execute(f"select {what}, count(*), sum(status = 'completed'), avg(seconds) from tasks where at >= ? group by 1", (since,)).fetchall()
seconds = [s for (s,) in db.execute("select seconds from tasks where at >= ? order by 1", (since,))]
print("asked", ms(begun), len(seconds), "records, p50", seconds[len(seconds) // 2])
print("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "MB")
`;

interface Spent {
  ms: number;
  /** Of the processor, all threads. */
  cpuMs: number;
}

async function spent(work: () => unknown): Promise<Spent> {
  const before = process.cpuUsage();
  const ms = await timed(work);
  const { user, system } = process.cpuUsage(before);
  return { ms, cpuMs: (user + system) / 1000 };
}

async function timed(work: () => unknown): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

/** Milliseconds, in a process of its own, once it has loaded what it needs. */
function firstQuestion(root: string): number {
  return Number(script("first-question.ts", root, String(NOW)));
}

function script(name: string, ...args: string[]): string {
  const all = ["--import", "tsx", join(import.meta.dirname, name), ...args];
  return execFileSync(process.execPath, all, { encoding: "utf8" });
}

async function each(count: number, work: () => unknown): Promise<number> {
  return (
    (await timed(async () => {
      for (let i = 0; i < count; i++) await work();
    })) / count
  );
}

function row(what: string, value: number, unit: string): void {
  console.log(`  ${what.padEnd(64)} ${value.toFixed(value < 100 ? 1 : 0).padStart(8)} ${unit}`);
}
