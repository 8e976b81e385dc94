import { appendFile, mkdir, readdir, readFile, symlink, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import { MetricSink, type MetricSinkOptions } from "../../src/store/metric-sink.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import { createRedactor } from "../../src/system/redaction.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { tempFolder } from "./temp-store.ts";

const DAY_MS = 86_400_000;
/** 2023-11-14, 22:13:20 UTC: the clock's own start. */
const DAY = "2023-11-14";
const NEXT_DAY = "2023-11-15";

interface Line {
  exportedAt: string;
  session: string;
  startedAt: string;
  snapshots?: { name: string; series: { labels: Record<string, string>; value?: number; count?: number }[] }[];
  summary?: { from: string; to: string; metrics: { name: string; series: { grown?: number; count?: number }[] }[] };
}

async function setup(options: Partial<MetricSinkOptions> = {}) {
  const root = await tempFolder();
  const clock = new FakeClock();
  const warnings: unknown[] = [];
  const log = {
    warn: (message: string, fields?: object) => void warnings.push({ message, ...fields }),
    error: () => undefined,
  };
  const metrics = createMetricRegistry();
  const runs = metrics.registerCounter("crew.a.runs", "", { labels: ["team"] });
  const took = metrics.registerHistogram("crew.a.took", "");
  const folder = join(root, "state", "metrics");
  const start = (session: string, more: Partial<MetricSinkOptions> = {}) =>
    new MetricSink({
      world: { clock, log, files: nodeFiles() },
      crewRoot: async () => root,
      session,
      startedAtMs: clock.now(),
      snapshot: () => metrics.snapshot(),
      redact: (labels) => labels,
      retentionDays: 7,
      ...options,
      ...more,
    });
  const lines = async (day = DAY): Promise<Line[]> =>
    (await readFile(join(folder, `${day}.jsonl`), "utf8").catch(() => ""))
      .split("\n")
      .flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Line]));
  /** A minute passes, and what it began has ended. */
  const minute = async (...sinks: MetricSink[]) => {
    await clock.advance(60_000);
    for (const sink of sinks) await sink.write();
  };
  return { root, folder, clock, warnings, metrics, runs, took, start, lines, minute };
}

test("each minute in which something moved leaves one line with all that counted so far", async () => {
  const { runs, start, lines, minute, took } = await setup();
  const sink = start("s1");
  await minute(sink);
  expect(await lines()).toEqual([]);
  runs.inc({ team: "a" });
  await minute(sink);
  await minute(sink);
  took.observe(undefined, 3);
  runs.inc({ team: "a" }, 4);
  await minute(sink);
  expect(await lines()).toMatchObject([
    {
      exportedAt: "2023-11-14T22:15:20.000Z",
      session: "s1",
      startedAt: "2023-11-14T22:13:20.000Z",
      snapshots: [{ kind: "counter", name: "crew.a.runs", series: [{ labels: { team: "a" }, value: 1 }] }],
    },
    { snapshots: [{ series: [{ value: 5 }] }, { name: "crew.a.took", series: [{ count: 1, sum: 3 }] }] },
  ]);
  await sink.close();
});

test("the end writes what is left and the summary, once, and an idle session writes nothing", async () => {
  const { metrics, runs, start, lines, minute, clock } = await setup();
  const [sink, idle] = [start("s1"), start("s2", { snapshot: () => [] })];
  runs.inc({ team: "a" });
  await minute(sink);
  runs.inc({ team: "b" }, 2);
  await Promise.all([sink.close(), sink.close()]);
  metrics.dispose();
  await Promise.all([sink.close(), sink.write()]);
  expect(clock.pending).toBe(1);
  const written = await lines();
  expect(written.map((line) => Object.keys(line).at(-1))).toEqual(["snapshots", "snapshots", "summary"]);
  expect(written.at(-1)?.summary).toEqual({
    from: "2023-11-14T22:13:20.000Z",
    to: "2023-11-14T22:14:20.000Z",
    metrics: [
      {
        name: "crew.a.runs",
        series: [
          { kind: "counter", labels: { team: "a" }, grown: 1 },
          { kind: "counter", labels: { team: "b" }, grown: 2 },
        ],
      },
    ],
  });
  await minute();
  expect(await lines()).toEqual(written);
  await idle.close();
});

test("a session that only looked on leaves no file at all", async () => {
  const { start, folder, minute } = await setup();
  const sink = start("s1");
  await minute(sink);
  await sink.close();
  expect(await readdir(folder).catch(() => "none")).toBe("none");
});

test("a new day has a file of its own, and the old one ends with the day's summary", async () => {
  const { runs, start, lines, minute, clock } = await setup();
  const sink = start("s1");
  runs.inc({ team: "a" }, 5);
  await minute(sink);
  await clock.advance(2 * 3_600_000);
  await sink.write();
  expect((await lines()).at(-1)?.summary?.metrics[0]?.series[0]?.grown).toBe(5);
  runs.inc({ team: "a" }, 2);
  await minute(sink);
  await sink.close();
  const next = await lines(NEXT_DAY);
  expect(next[0]?.snapshots?.[0]?.series[0]?.value).toBe(7);
  expect(next.at(-1)?.summary?.metrics[0]?.series[0]?.grown).toBe(2);
});

test("files of days longer ago than the retention go; what is no day's file stays", async () => {
  const { runs, start, folder, minute, clock } = await setup();
  await mkdir(folder, { recursive: true });
  const day = (ago: number) => `${new Date(clock.now() - ago * DAY_MS).toISOString().slice(0, 10)}.jsonl`;
  const names = [...Array.from({ length: 12 }, (_, ago) => day(ago)), "2001-01-01.txt", "notes.jsonl"];
  for (const name of names) await writeFile(join(folder, name), "");
  const sink = start("s1");
  runs.inc({ team: "a" });
  await minute(sink);
  expect((await readdir(folder)).sort()).toEqual([...names.slice(0, 8), "2001-01-01.txt", "notes.jsonl"].sort());
  await sink.close();
});

test("sessions that write side by side can be added up, and a torn line swallows nobody's", async () => {
  const { runs, start, lines, minute, folder } = await setup();
  const [one, two] = [start("s1"), start("s2")];
  runs.inc({ team: "a" });
  await minute(one, two);
  await appendFile(join(folder, `${DAY}.jsonl`), '{"exportedAt":"20');
  runs.inc({ team: "a" });
  await minute(one, two);
  const texts = (await readFile(join(folder, `${DAY}.jsonl`), "utf8")).split("\n");
  expect(texts.filter((text) => text === '{"exportedAt":"20')).toHaveLength(1);
  await writeFile(join(folder, `${DAY}.jsonl`), texts.filter((text) => text !== '{"exportedAt":"20').join("\n"));
  const last = new Map((await lines()).map((line) => [line.session, line.snapshots?.[0]?.series[0]?.value]));
  expect(last).toEqual(
    new Map([
      ["s1", 2],
      ["s2", 2],
    ]),
  );
  await Promise.all([one.close(), two.close()]);
});

test("secrets in labels are masked, in lines and summary", async () => {
  const redactor = createRedactor({ secretValues: ["hunter2hunter2"] });
  const { metrics, start, folder } = await setup({ redact: (labels) => redactor.value(labels) });
  const logins = metrics.registerCounter("crew.a.logins", "", { labels: ["auth_token", "host"] });
  logins.inc({ auth_token: "abcdef", host: "hunter2hunter2.example" });
  const sink = start("s1");
  await sink.close();
  const text = await readFile(join(folder, `${DAY}.jsonl`), "utf8");
  expect(text).not.toMatch(/abcdef|hunter2/);
  expect(text.match(/"auth_token":"\*\*\*"/g)).toHaveLength(2);
});

test("what can't be written is told once, kept from the timer, and written when it can be", async () => {
  const { runs, root, folder, start, lines, minute, warnings } = await setup();
  await mkdir(join(root, "state"));
  await symlink("/tmp", folder);
  const sink = start("s1");
  runs.inc({ team: "a" });
  await minute(sink);
  await minute(sink);
  expect(warnings).toEqual([{ message: "metrics can't be kept", error: expect.stringContaining(folder) }]);
  await unlink(folder);
  await minute(sink);
  expect(await lines()).toHaveLength(1);
  await sink.close();
});

test("without a place nothing is written, and all of it once there is one", async () => {
  let root: string | null = null;
  const { runs, start, lines, minute, ...rest } = await setup({ crewRoot: async () => root });
  const sink = start("s1");
  runs.inc({ team: "a" });
  await minute(sink);
  root = rest.root;
  await minute(sink);
  expect((await lines())[0]?.snapshots?.[0]?.series[0]?.value).toBe(1);
  await sink.close();
});
