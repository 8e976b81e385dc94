import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { TaskMetrics, WEEK_MS } from "../../src/store/task-metrics.ts";
import type { TaskRecord } from "../../src/store/task-record.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { dice, linesOf, taskRecord, variedRecord } from "./sample-tasks.ts";
import { tempFolder } from "./temp-store.ts";

const { files } = nodeWorld({ warn: () => undefined, error: () => undefined });
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NOW = Date.parse("2026-11-20T12:34:56.789Z");
const NOTHING = {
  success_rate: { completed: 0, failed: 0, total: 0, rate: 0 },
  execution_time: { p50_seconds: 0, p95_seconds: 0 },
  by_task_type: {},
  by_model: {},
};

async function store() {
  const root = await tempFolder();
  const folder = join(root, "metrics", "tasks");
  mkdirSync(folder, { recursive: true });
  const clock = new FakeClock(NOW);
  return { root, folder, clock, open: () => new TaskMetrics({ files, clock }, root) };
}

function keep(folder: string, records: readonly TaskRecord[]): void {
  for (const record of records)
    appendFileSync(join(folder, `${record.created_at.slice(0, 10)}.jsonl`), linesOf([record]));
}

/** Spread over ten days before `NOW`, not quite in order. */
function history(count: number): TaskRecord[] {
  const random = dice(count);
  return Array.from({ length: count }, (_, i) =>
    variedRecord(i, Math.floor(NOW - 10 * DAY_MS + (i / count) * 10 * DAY_MS - random() * 4000), random),
  );
}

const JQ = `
def r(n): . * pow(10; n) | round / pow(10; n);
def q($p): sort | if length == 0 then 0 else ((length - 1) * $p) as $h | ($h | floor) as $i |
  .[$i] + ((.[$i + 1] // .[$i]) - .[$i]) * ($h - $i) | r(3) end;
def rate: if length == 0 then 0 else ((map(select(.status == "completed")) | length) / length) | r(4) end;
def of(s): map(select(.status == s)) | length;
map(select((.created_at[:19] + "Z" | fromdate) * 1000 + (.created_at[20:23] | tonumber) | . >= $from and . <= $until)) |
{ success_rate: { completed: of("completed"), failed: of("failed"), total: length, rate: rate },
  execution_time: { p50_seconds: (map(.duration_seconds) | q(0.5)), p95_seconds: (map(.duration_seconds) | q(0.95)) },
  by_task_type: (group_by(.task_type) | map({ key: .[0].task_type,
    value: { count: length, completed: of("completed"), failed: of("failed"), success_rate: rate } }) | from_entries),
  by_model: (group_by(.model) | map({ key: .[0].model,
    value: { count: length, avg_duration: ((map(.duration_seconds) | add) / length | r(3)) } }) | from_entries) }`;

/** Said by jq, from the lines alone. */
function judged(folder: string, from: number, now = NOW): unknown {
  const paths = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
  const args = [
    "-s",
    "--argjson",
    "from",
    String(from),
    "--argjson",
    "until",
    String(now + 60_000),
    JQ,
    ...paths.map((name) => join(folder, name)),
  ];
  return JSON.parse(execFileSync("jq", args, { encoding: "utf8", maxBuffer: 2 ** 26 }));
}

describe("the metrics of tasks", () => {
  it("agree with jq over the raw lines, at windows of any length", async () => {
    const { folder, open } = await store();
    keep(folder, history(3000));
    const metrics = open();
    const random = dice(7);
    for (let i = 0; i < 12; i++) {
      const windowMs = Math.floor(random() * 11 * DAY_MS);
      expect(await metrics.aggregate({ windowMs }), `${windowMs} ms`).toEqual(judged(folder, NOW - windowMs));
    }
  });

  it("stay true as time goes by, records come late and the clock is set back", async () => {
    const { folder, clock, open } = await store();
    const random = dice(11);
    keep(folder, history(2000));
    const metrics = open();
    for (let i = 0; i < 25; i++) {
      const now = clock.now();
      expect(await metrics.aggregate({ windowMs: 2 * DAY_MS }), `step ${i}`).toEqual(
        judged(folder, now - 2 * DAY_MS, now),
      );
      if (i === 20) clock.jump(-5 * HOUR_MS);
      else await clock.advance(Math.floor(random() * (i % 5 === 0 ? 30 : 2) * HOUR_MS));
      const late = Math.floor(clock.now() - random() * 2.1 * DAY_MS);
      keep(folder, [variedRecord(5000 + i, clock.now(), random), variedRecord(6000 + i, late, random)]);
      await clock.advance(1000);
    }
  });

  it("answer with zeros when there is nothing, nothing readable, or no such project", async () => {
    const { root, folder, open } = await store();
    expect(await open().aggregate()).toEqual(NOTHING);
    writeFileSync(join(folder, "2026-11-20.jsonl"), "");
    expect(await open().aggregate()).toEqual(NOTHING);
    rmSync(folder, { recursive: true });
    expect(await open().aggregate()).toEqual(NOTHING);
    writeFileSync(folder, "no folder");
    expect(await open().aggregate()).toEqual(NOTHING);
    rmSync(folder);
    mkdirSync(join(folder, "2026-11-20.jsonl"), { recursive: true });
    symlinkSync("/dev/zero", join(root, "metrics", "tasks.jsonl"));
    const metrics = open();
    expect(await metrics.aggregate()).toEqual(NOTHING);
    expect((await metrics.health()).unreadable.map(({ code }) => code)).toEqual(["ENOTREG", "ENOTREG"]);
    chmodSync(folder, 0o000);
    expect(await open().aggregate()).toEqual(NOTHING);
    chmodSync(folder, 0o700);
  });

  it("count bad lines and lose no good one beside them", async () => {
    const { folder, open } = await store();
    const good = linesOf([taskRecord(), taskRecord({ task_id: "b", status: "failed", error: '\u2028"\\\n\u0000é' })]);
    const [whole] = good.split("\n") as [string];
    const damaged = [
      "{}",
      "[]",
      "null",
      "not json",
      "\u0000".repeat(40),
      whole.replace('"completed"', '"cancelled"'),
      whole.replace("12.5", "-1"),
      whole.replace("12.5", "1e999"),
      whole.replace("12.5", "012"),
      whole.replace("2026-11-20", "2026-11-31"),
      whole.replace("2026-11-20T", "2026-11-19T"),
      whole.replace("host-a", "host\u0007a"),
      `${whole}x`,
      "x".repeat(3_000_000),
    ];
    const glued = `${whole.slice(0, 200)}${whole}`;
    const other = JSON.stringify(Object.fromEntries(Object.entries(taskRecord({ model: "__proto__" })).reverse()));
    const text = `${damaged.join("\n")}\n${good}\n\r\n${glued}\n${other}\n${whole}${whole}\n${whole}`;
    writeFileSync(join(folder, "2026-11-20.jsonl"), text);
    const metrics = open();
    const answer = await metrics.aggregate();
    expect(answer.success_rate).toEqual({ completed: 5, failed: 1, total: 6, rate: 0.8333 });
    expect(Object.keys(answer.by_model)).toEqual(["__proto__", "acme/large"]);
    expect(await metrics.health()).toMatchObject({ records: 6, badLines: damaged.length + 1, unreadable: [] });
    appendFileSync(join(folder, "2026-11-20.jsonl"), "\n");
    expect((await metrics.aggregate()).success_rate.total).toBe(7);
  });

  it("are the same with the index, without it, and with one that is damaged or another file's", async () => {
    const { folder, open } = await store();
    const records = history(12_000);
    keep(folder, records);
    const expected = await open().aggregate();
    const indexes = readdirSync(folder).filter((name) => name.endsWith(".agg"));
    expect(indexes.length).toBeGreaterThan(5);
    expect(await open().aggregate()).toEqual(expected);
    const [a, b, c, d] = indexes.slice(-4).map((name) => join(folder, name)) as [string, string, string, string];
    writeFileSync(a, readFileSync(b));
    writeFileSync(b, readFileSync(b).subarray(0, 5000));
    writeFileSync(c, "");
    rmSync(d);
    expect(await open().aggregate()).toEqual(expected);
    for (const name of indexes) rmSync(join(folder, name), { force: true });
    expect(await open().aggregate()).toEqual(expected);
    keep(folder, [taskRecord({ created_at: records.at(-9000)?.created_at as string })]);
    const total = (await open().aggregate({ windowMs: 20 * DAY_MS })).success_rate.total;
    expect(total).toBe(records.length + 1);
  });

  it("lose nothing when raw days are removed, and say so of files that were replaced", async () => {
    const { folder, clock, open } = await store();
    keep(folder, history(2000));
    const windowMs = 20 * DAY_MS;
    const before = await open().aggregate({ windowMs });
    const board = await open().scoreboard({ windowMs, by: ["model"] });
    const metrics = open();
    expect(await metrics.retain(4)).toBe(6);
    expect(readdirSync(folder).filter((name) => name.endsWith(".jsonl"))).toHaveLength(5);
    expect(await metrics.aggregate({ windowMs })).toEqual(before);
    expect(await open().aggregate({ windowMs })).toEqual(before);
    expect(await open().scoreboard({ windowMs, by: ["model"] })).toEqual(board);
    expect(await metrics.retain(4)).toBe(0);
    const total = before.success_rate.total;
    writeFileSync(join(folder, "2026-11-20.jsonl"), linesOf([taskRecord()]));
    await clock.advance(1000);
    const after = (await metrics.aggregate({ windowMs: windowMs + 1000 })).success_rate.total;
    expect(after).toBeLessThan(total);
    expect(after).toBe((await open().aggregate({ windowMs: windowMs + 1000 })).success_rate.total);
  });

  it("read tasks.jsonl beside the days, tell projects apart, and rank", async () => {
    const { root, open } = await store();
    const day = (n: number) => new Date(NOW - n * DAY_MS).toISOString();
    const records = [
      taskRecord({ created_at: day(1), duration_seconds: 10, cost_usd: 1 }),
      taskRecord({ created_at: day(2), duration_seconds: 30, cost_usd: 3, project: "other" }),
      taskRecord({
        created_at: day(3),
        status: "failed",
        cost_usd: 2,
        wasted_cost_usd: 2,
        model: "b",
        project: "other",
      }),
      taskRecord({ created_at: day(8) }),
    ];
    writeFileSync(join(root, "metrics", "tasks.jsonl"), linesOf(records));
    const metrics = open();
    expect((await metrics.aggregate()).success_rate.total).toBe(3);
    expect((await metrics.aggregate({ windowMs: WEEK_MS, project: "other" })).success_rate.total).toBe(2);
    expect(await metrics.scoreboard({ by: ["model"] })).toEqual([
      {
        name: "acme/large",
        count: 2,
        success_rate: 1,
        p50_seconds: 20,
        p95_seconds: 29,
        tokens: 2000,
        cost_usd: 4,
        cost_per_success: 2,
        wasted_cost_usd: 0,
      },
      {
        name: "b",
        count: 1,
        success_rate: 0,
        p50_seconds: 12.5,
        p95_seconds: 12.5,
        tokens: 1000,
        cost_usd: 2,
        cost_per_success: null,
        wasted_cost_usd: 2,
      },
    ]);
    expect(existsSync(join(root, "metrics", "tasks.agg"))).toBe(false);
  });
});
