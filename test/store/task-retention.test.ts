import { spawn } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { TaskMetrics } from "../../src/store/task-metrics.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { waitUntil } from "../support/processes.ts";
import { dice, linesOf, taskRecord, variedRecord } from "./sample-tasks.ts";
import { tempFolder } from "./temp-store.ts";

const { files } = nodeWorld({ warn: () => undefined, error: () => undefined });
const ROOT = join(import.meta.dirname, "../..");
const DAY_MS = 86_400_000;
const NOW = Date.parse("2026-11-20T12:00:00.000Z");
const windowMs = 200 * DAY_MS;

/** Thirty days that are old enough to be folded, and two that are not. */
async function store(perDay: number) {
  const root = await tempFolder();
  const folder = join(root, "metrics", "tasks");
  mkdirSync(folder, { recursive: true });
  const random = dice(5);
  for (const age of [...Array.from({ length: 30 }, (_, i) => 95 + i), 2, 1]) {
    const dayStart = Math.floor(NOW / DAY_MS) * DAY_MS - age * DAY_MS;
    const step = Math.floor(DAY_MS / perDay);
    const records = Array.from({ length: perDay }, (_, i) =>
      variedRecord(age * perDay + i, dayStart + i * step, random),
    );
    writeFileSync(join(folder, `${records[0]?.created_at.slice(0, 10)}.jsonl`), `${linesOf(records)}torn`);
  }
  const open = () => new TaskMetrics({ files, clock: new FakeClock(NOW) }, root);
  const told = async () => ({
    all: await open().aggregate({ windowMs }),
    some: await open().aggregate({ windowMs: 110.3 * DAY_MS }),
    project: await open().aggregate({ windowMs, project: "shop" }),
    board: await open().scoreboard({ windowMs, by: ["model"] }),
  });
  const ending = (end: string) => readdirSync(folder).filter((name) => name.endsWith(end));
  return { root, folder, open, told, ending };
}

/** Another process that folds what is old. */
function retainer(root: string) {
  const at = (name: string) => JSON.stringify(join(ROOT, name));
  const script = `
    const { TaskMetrics } = await import(${at("src/store/task-metrics.ts")});
    const { nodeFiles } = await import(${at("src/system/node-files.ts")});
    await new TaskMetrics({ files: nodeFiles(), clock: { now: () => ${NOW} } }, ${JSON.stringify(root)}).retain();`;
  const args = ["--import", "tsx", "--input-type=module", "-e", script];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: "inherit" });
  return { child, ended: new Promise((resolve) => child.on("close", resolve)) };
}

it("what was folded is told as before, wherever the folding was killed and when two do it at once", async () => {
  const { root, folder, told, ending } = await store(2000);
  const before = await told();
  expect(before.all.success_rate.total).toBe(64_000);
  for (const kept of [2, 9]) {
    const { child, ended } = retainer(root);
    await waitUntil(() => ending(".kept").length >= kept, 20_000);
    child.kill("SIGKILL");
    await ended;
    expect(ending(".jsonl").length).toBeGreaterThan(2);
    expect(await told()).toEqual(before);
  }
  // as if killed between the two steps
  const [day = ""] = ending(".kept");
  const raw = join(folder, day.replace(".kept", ".jsonl"));
  expect(existsSync(raw)).toBe(false);
  const both = [retainer(root), retainer(root)];
  const during = await told();
  expect(await Promise.all(both.map(({ ended }) => ended))).toEqual([0, 0]);
  expect(during).toEqual(before);
  expect(ending(".jsonl")).toHaveLength(2);
  expect(ending(".kept")).toHaveLength(30);
  expect(await told()).toEqual(before);
  for (const name of ending(".agg")) rmSync(join(folder, name));
  expect(await told()).toEqual(before);
}, 60_000);

it("lines that came after their day was folded count beside it, a file that is still there does not count twice", async () => {
  const { folder, open, ending } = await store(10);
  const texts = new Map(ending(".jsonl").map((name) => [name, readFileSync(join(folder, name))]));
  const metrics = open();
  expect(await metrics.retain()).toBe(30);
  const [first = "", second = ""] = ending(".kept").map((name) => name.replace(".kept", ".jsonl"));
  writeFileSync(join(folder, first), texts.get(first) ?? "");
  expect((await open().aggregate({ windowMs })).success_rate.total).toBe(320);
  const late = linesOf([taskRecord({ created_at: `${second.slice(0, 10)}T05:00:00.000Z` })]);
  appendFileSync(join(folder, second), late);
  expect((await open().aggregate({ windowMs })).success_rate.total).toBe(321);
  expect(await open().retain()).toBe(1);
  expect(ending(".jsonl")).toContain(second);
  expect((await open().aggregate({ windowMs })).success_rate.total).toBe(321);
});

it("a damaged index is made anew, whichever byte it is; damage to what was folded is told", async () => {
  const { folder, open, ending } = await store(2000);
  const before = await open().aggregate({ windowMs });
  await open().health();
  const random = dice(9);
  for (let round = 0; round < 3; round++) {
    const damaged = ending(".agg").map((name) => join(folder, name));
    expect(damaged.length).toBeGreaterThan(20);
    for (const path of damaged) {
      const bytes = readFileSync(path);
      const at = Math.floor(random() * bytes.length);
      bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(random() * 8));
      writeFileSync(path, bytes);
    }
    expect(await open().aggregate({ windowMs })).toEqual(before);
    for (const path of damaged) rmSync(path);
    await open().health();
  }
  await open().retain();
  const [name = ""] = ending(".kept");
  const path = join(folder, name);
  const bytes = readFileSync(path);
  bytes[statSync(path).size - 5] = 77;
  writeFileSync(path, bytes);
  const metrics = open();
  const { success_rate } = await metrics.aggregate({ windowMs });
  expect(success_rate.total).toBe(before.success_rate.total - 2000);
  expect((await metrics.health()).unreadable).toMatchObject([{ code: "EBADMSG" }]);
});
