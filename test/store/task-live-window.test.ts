import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { CLOCK_SKEW_MS, TaskMetrics } from "../../src/store/task-metrics.ts";
import type { TaskRecord } from "../../src/store/task-record.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { dice, linesOf, variedRecord } from "./sample-tasks.ts";
import { tempFolder } from "./temp-store.ts";

const { files } = nodeWorld({ warn: () => undefined, error: () => undefined });
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NOW = Date.parse("2026-11-20T12:00:00.000Z");
const PER_DAY = 40_000;

function swap(records: TaskRecord[], a: number, b: number): void {
  [records[a], records[b]] = [records[b] as TaskRecord, records[a] as TaskRecord];
}

const at = (ms: number) => new Date(ms).toISOString();

it("whole days count by their summaries when they are many, and by their records again when they are few", async () => {
  const root = await tempFolder();
  const folder = join(root, "metrics", "tasks");
  mkdirSync(folder, { recursive: true });
  const random = dice(4);
  const records: TaskRecord[] = [];
  for (let day = Math.floor(NOW / DAY_MS) - 8; day <= Math.floor(NOW / DAY_MS); day++) {
    const step = DAY_MS / PER_DAY;
    const own = Array.from({ length: PER_DAY }, (_, i) => variedRecord(i, day * DAY_MS + Math.floor(i * step), random));
    // another machine's clock is ahead: what it tells counts when its time comes
    const ended = own.filter(({ created_at }) => created_at <= at(NOW + 3 * HOUR_MS));
    // several sessions write as they come to it
    for (let i = 0; i < ended.length; i += 50) swap(ended, i, Math.floor(random() * ended.length));
    writeFileSync(join(folder, `${at(day * DAY_MS).slice(0, 10)}.jsonl`), linesOf(ended));
    records.push(...ended);
  }
  const clock = new FakeClock(NOW);
  const open = () => new TaskMetrics({ files, clock }, root);
  await open().health();
  const check = async (metrics: TaskMetrics) => {
    const from = at(clock.now() - 7 * DAY_MS);
    const until = at(clock.now() + CLOCK_SKEW_MS);
    const there = records.filter(({ created_at }) => created_at >= from && created_at <= until);
    const answer = await metrics.aggregate();
    const failed = there.filter(({ status }) => status === "failed").length;
    expect(answer.success_rate).toMatchObject({ completed: there.length - failed, failed, total: there.length });
    const large = there.filter(({ model }) => model === "acme/model-3");
    const mean = large.reduce((sum, { duration_seconds }) => sum + duration_seconds, 0) / large.length;
    expect(answer.by_model["acme/model-3"]?.count).toBe(large.length);
    expect(answer.by_model["acme/model-3"]?.avg_duration).toBeCloseTo(mean, 2);
    const seconds = there.map((record) => record.duration_seconds).sort((a, b) => a - b);
    const p95 = seconds[Math.floor((seconds.length - 1) * 0.95)] as number;
    const off = Math.abs(answer.execution_time.p95_seconds / p95 - 1);
    expect(off).toBeLessThan(there.length > 200_000 ? 0.01 : 1e-4);
    return there.length;
  };
  const metrics = open();
  const counts: number[] = [];
  for (const hours of [0, 0.3, 0.7, 1, 18, 7, 45, 30]) {
    await clock.advance(hours * HOUR_MS);
    counts.push(await check(metrics));
    expect(await check(open())).toBe(counts.at(-1));
    if (hours === 0.3) await withDamage(join(folder, "2026-11-13.agg"), () => check(open()));
  }
  expect(counts[0]).toBeGreaterThan(250_000);
  expect(counts.at(-1)).toBeLessThan(200_000);
  expect(readFileSync(join(folder, "2026-11-15.agg")).length).toBeGreaterThan(PER_DAY * 44);
}, 180_000);

/** Each row of an index says that it ended an hour or more from when it did. */
async function withDamage(path: string, work: () => Promise<unknown>): Promise<void> {
  const good = readFileSync(path);
  const bad = Buffer.from(good);
  const columnsAt = 16 + Math.ceil(good.readInt32LE(4) / 8) * 8;
  for (let at = columnsAt + 4; at < columnsAt + PER_DAY * 8; at += 8) bad[at] = (bad[at] as number) ^ 0x04;
  writeFileSync(path, bad);
  await work();
  writeFileSync(path, good);
}
