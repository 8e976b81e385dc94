import { spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { TaskColumns } from "../../src/store/task-columns.ts";
import { importTasks } from "../../src/store/task-import.ts";
import { encodeTaskRecord, START } from "../../src/store/task-line.ts";
import { TaskLog } from "../../src/store/task-log.ts";
import { TaskMetrics } from "../../src/store/task-metrics.ts";
import { parseTaskRecord, type TaskRecord } from "../../src/store/task-record.ts";
import { recordsIn, TaskScan } from "../../src/store/task-scan.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { dice, linesOf, taskRecord, variedRecord } from "./sample-tasks.ts";
import { tempFolder } from "./temp-store.ts";

const { files } = nodeWorld({ warn: () => undefined, error: () => undefined });
const NOW = Date.parse("2026-11-20T12:00:00.000Z");
const ROOT = join(import.meta.dirname, "../..");

it("8 processes write 10,000 lines each, and every line is there and whole", async () => {
  const crewRoot = await tempFolder();
  const path = (name: string) => JSON.stringify(join(ROOT, name));
  const script = `
    const { TaskLog } = await import(${path("src/store/task-log.ts")});
    const { nodeWorld } = await import(${path("src/system/node.ts")});
    const { taskRecord } = await import(${path("test/store/sample-tasks.ts")});
    const log = new TaskLog(nodeWorld({}), ${JSON.stringify(crewRoot)});
    await log.prepare();
    for (let i = 0; i < 10000; i++)
      log.append(taskRecord({ run_id: "run-" + process.argv[1], task_id: "task-" + i, error: "x".repeat(i % 200) }));
    log.close();`;
  const exits = Array.from({ length: 8 }, (_, i) => {
    const args = ["--import", "tsx", "--input-type=module", "-e", script, String(i)];
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: "inherit" });
    return new Promise((resolve) => child.on("close", resolve));
  });
  expect(await Promise.all(exits)).toEqual(new Array(8).fill(0));
  const lines = readFileSync(join(crewRoot, "metrics/tasks/2026-11-20.jsonl"), "utf8").split("\n");
  expect(lines.pop()).toBe("");
  const keys = lines.map((line) => JSON.parse(line) as TaskRecord).map(({ run_id, task_id }) => run_id + task_id);
  expect(new Set(keys).size).toBe(80_000);
  expect(keys).toHaveLength(80_000);
  const metrics = new TaskMetrics({ files, clock: new FakeClock(NOW) }, crewRoot);
  expect((await metrics.aggregate()).success_rate.completed).toBe(80_000);
  expect(await metrics.health()).toMatchObject({ records: 80_000, badLines: 0 });
});

it("a writer goes on with a new file when its folder was removed, and behind a torn line", async () => {
  const crewRoot = await tempFolder();
  const folder = join(crewRoot, "metrics", "tasks");
  const clock = new FakeClock(NOW);
  const log = new TaskLog({ files, clock }, crewRoot);
  await log.prepare();
  log.append(taskRecord({ task_id: "a" }));
  rmSync(folder, { recursive: true });
  await log.prepare();
  await clock.advance(1000);
  log.append(taskRecord({ task_id: "b" }));
  log.append(taskRecord({ task_id: "c", created_at: "2026-11-21T00:00:00.000Z" }));
  expect(readdirSync(folder)).toEqual(["2026-11-20.jsonl", "2026-11-21.jsonl"]);
  writeFileSync(join(folder, "2026-11-20.jsonl"), '{"v":1,');
  log.append(taskRecord({ task_id: "d" }));
  log.close();
  expect(readFileSync(join(folder, "2026-11-20.jsonl"), "utf8")).toMatch(/^\{"v":1,\n\{.*"task_id":"d".*\}\n$/);
});

/** Rows as a scan in pieces of any size finds them, beside what parsing each line finds. */
function scanned(bytes: Buffer, pieces: number) {
  const columns = new TaskColumns();
  const scan = new TaskScan(columns, null);
  for (let from = 0; ; ) {
    const until = Math.min(bytes.length, from + pieces);
    const read = scan.lines(bytes.subarray(from, until));
    if (read === 0 && until === bytes.length) break;
    if (read === 0) pieces *= 2;
    from += read;
  }
  const rows = Array.from({ length: columns.rows }, (_, row) => ({
    ...columns.traits[columns.trait[row] as number],
    at: columns.at[row],
    seconds: columns.seconds[row],
    tokens: columns.tokens[row],
    costUsd: columns.costUsd[row],
    wastedUsd: columns.wastedUsd[row],
  }));
  return { rows, bad: scan.badLines };
}

function parsed(bytes: Buffer) {
  let bad = 0;
  const rows: unknown[] = [];
  const text = bytes.toString();
  for (const line of text.slice(0, text.lastIndexOf("\n") + 1).split("\n")) {
    const found = recordsIn(line);
    bad += found.bad;
    for (const record of found.records) {
      const { status, task_type, model, project, role, team, workflow, created_at } = record;
      const traits = { status, taskType: task_type, model, project, role, team, workflow };
      const { duration_seconds, tokens, cost_usd, wasted_cost_usd } = record;
      const numbers = { seconds: duration_seconds, tokens, costUsd: cost_usd, wastedUsd: wasted_cost_usd };
      rows.push({ ...traits, at: Date.parse(created_at), ...numbers });
    }
  }
  return { rows, bad };
}

const AMOUNT = fc.oneof(fc.double({ min: 0, max: 1e21, noNaN: true }), fc.nat(), fc.constantFrom(0.1 + 0.2, 1e-7));
const RECORD = fc
  .record({
    at: fc.integer({ min: 0, max: 4e12 }),
    duration_seconds: AMOUNT,
    tokens: fc.nat(),
    cost_usd: AMOUNT,
    wasted_cost_usd: AMOUNT,
    task_type: fc.string({ unit: "binary", minLength: 1 }),
    model: fc.string({ minLength: 1 }),
    error: fc.option(fc.string({ unit: "binary" })),
    exit_code: fc.option(fc.integer()),
  })
  .map(({ at, ...own }) => taskRecord({ ...own, created_at: new Date(at).toISOString() }));

it("the fast way of reading says what parsing each line says, also of damaged files", () => {
  const damage = fc.tuple(fc.nat(), fc.nat(40), fc.string({ unit: "binary", maxLength: 5 }));
  fc.assert(
    fc.property(
      fc.array(RECORD, { minLength: 1, maxLength: 5 }),
      fc.array(damage, { maxLength: 3 }),
      (records, cuts) => {
        let bytes = Buffer.from(linesOf(records));
        for (const [at, removed, put] of cuts) {
          const from = at % bytes.length;
          bytes = Buffer.concat([
            bytes.subarray(0, from),
            Buffer.from(put),
            bytes.subarray(from + removed),
            Buffer.from("\n"),
          ]);
        }
        expect(scanned(bytes, 700)).toEqual(parsed(bytes));
      },
    ),
    { numRuns: 1000 },
  );
});

it("a record comes back from its line as it went in; one glued to a torn line too, wherever it was cut", () => {
  fc.assert(
    fc.property(RECORD, (record) => {
      expect(parseTaskRecord(String(encodeTaskRecord(record)))).toEqual(record);
    }),
  );
  const line = String(encodeTaskRecord(taskRecord({ error: '{"v":1,"check":"' }))).trimEnd();
  const next = String(encodeTaskRecord(taskRecord({ task_id: "next" }))).trimEnd();
  for (let cut = 1; cut <= line.length; cut++) {
    const { records, bad } = recordsIn(line.slice(0, cut) + next);
    expect(
      records.map(({ task_id }) => task_id),
      `cut at ${cut}`,
    ).toEqual(cut < line.length ? ["next"] : ["build", "next"]);
    expect(bad).toBe(cut < line.length ? 1 : 0);
  }
});

it("a line with any byte changed behind its beginning counts as bad, also behind one that is the same but for that", () => {
  const line = Buffer.from(encodeTaskRecord(taskRecord({ error: 'a "word"', model: "größer" })));
  for (let at = START.length; at < line.length - 1; at++) {
    const changed = Buffer.from(line);
    changed[at] = (changed[at] as number) ^ (at % 2 === 0 ? 0x01 : 0x20);
    const { rows, bad } = scanned(Buffer.concat([line, changed, line]), 4096);
    expect([rows.length, bad], `byte ${at}`).toEqual([2, 1]);
  }
});

it("traits that differ in one word, or share a place among those met before, are told apart", () => {
  const models = Array.from({ length: 9000 }, (_, i) => `model-${String(i).padStart(4, "0")}`);
  const records = [...models, ...models].map((model) => taskRecord({ model }));
  const { rows, bad } = scanned(Buffer.from(linesOf(records)), 1024 * 1024);
  expect(bad).toBe(0);
  expect(rows.map((row) => row.model)).toEqual([...models, ...models]);
});

it("an import skips what is there already, what is no record, too old or of a time to come", async () => {
  const crewRoot = await tempFolder();
  const clock = new FakeClock(NOW);
  const random = dice(3);
  const records = Array.from({ length: 500 }, (_, i) => variedRecord(i, NOW - i * 3_600_000, random));
  const old = taskRecord({ created_at: "2020-01-01T00:00:00.000Z", task_id: "old" });
  const ahead = taskRecord({ created_at: new Date(NOW + 3_600_000).toISOString(), task_id: "ahead" });
  const foreign =
    '{"task_id":"t","task_type":"x","model":null,"duration_seconds":3,"status":"failed","created_at":"2026-11-20T09:00:00+02:00","run_id":"r"}';
  const from = join(crewRoot, "elsewhere.jsonl");
  writeFileSync(
    from,
    `${linesOf([...records, ...records.slice(0, 20), old, ahead])}${foreign}\n\nnonsense\n{"status":"completed"`,
  );
  const first = { imported: 501, duplicates: 20, badLines: 2, tooOld: 1, future: 1 };
  expect(await importTasks({ files, clock }, crewRoot, from)).toEqual(first);
  const again = { imported: 0, duplicates: 521, badLines: 2, tooOld: 1, future: 1 };
  expect(await importTasks({ files, clock }, crewRoot, from)).toEqual(again);
  const metrics = new TaskMetrics({ files, clock }, crewRoot);
  expect((await metrics.aggregate({ windowMs: 90 * 86_400_000 })).success_rate.total).toBe(501);
  expect(await importTasks({ files, clock }, crewRoot, join(crewRoot, "none.jsonl"))).toMatchObject({ imported: 0 });
});
