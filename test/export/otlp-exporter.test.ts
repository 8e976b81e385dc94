import { describe, expect, it, onTestFinished } from "vitest";
import { spanIdsOf } from "../../src/events/correlation.ts";
import type { EventOf } from "../../src/events/crew-event.ts";
import { createLocalBus } from "../../src/events/local-bus.ts";
import { readOtlpEnvironment } from "../../src/export/otlp-environment.ts";
import { createOtlp } from "../../src/export/otlp-exporter.ts";
import { subscribeMetricTable } from "../../src/metrics/metric-table.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import { faultsOf, metricsIn, spansIn } from "../conformance/otlp-judge.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { type Collector, startCollector } from "../support/otlp-collector.ts";
import { waitUntil } from "../support/processes.ts";

const SECOND = 1000;
const LIMIT_MS = 2 * SECOND;
/** Nobody listens at this port. */
const NOBODY = "http://127.0.0.1:9";
/** Spans at the pace of metrics. */
const MINUTELY = { OTEL_BSP_SCHEDULE_DELAY: "60000" };

interface Setup {
  env?: Record<string, string>;
  signals?: "both" | "metrics" | "traces";
}

/** An exporter at work, with a clock that stands. Chance is such that a backoff is neither longer nor shorter. */
async function exporting(collector: Pick<Collector, "url">, { env = {}, signals = "metrics" }: Setup = {}) {
  const clock = new FakeClock();
  const warnings: string[] = [];
  const { settings: all } = readOtlpEnvironment({ ...MINUTELY, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...env });
  if (all === null) throw new Error("nothing is to be sent");
  const settings = {
    ...all,
    metrics: signals === "traces" ? null : all.metrics,
    traces: signals === "metrics" ? null : all.traces,
  };
  const registry = createMetricRegistry();
  const counter = registry.registerCounter("crew.a.count", "");
  const log = { warn: (message: string) => warnings.push(message), error: (message: string) => warnings.push(message) };
  const bus = createLocalBus((error) => warnings.push(String(error)));
  const otlp = createOtlp({
    settings,
    clock,
    random: { next: () => 0.5 },
    log,
    version: "1",
    instanceId: "i",
    roleOfTask: () => "",
    startMs: clock.now(),
    snapshot: () => registry.snapshot(),
  });
  subscribeMetricTable(bus, otlp.events, log.warn);
  onTestFinished(async () => {
    const disposed = otlp.dispose(LIMIT_MS);
    while (!(await Promise.race([disposed.then(() => true), settled().then(() => false)]))) await clock.advance(SECOND);
  });
  let runs = 0;
  const endRun = () => bus.emit("crew.run.completed", runEnd(`run-${++runs}`, clock.now()));
  const status = () => otlp.status().channels[0]!;
  /** The clock goes on, and all that follows has happened when `holds`. */
  const pass = async (ms: number, holds: () => boolean | Promise<boolean> = () => true) => {
    await clock.advance(ms);
    await waitUntil(holds);
    await settled();
  };
  return { clock, otlp, counter, registry, warnings, endRun, status, pass };
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function runEnd(runId: string, ts: number): EventOf<"crew.run.completed"> {
  const end = { team: "t", workflow: runId, status: "completed" as const, taskCount: 1, tokens: 1, costUsd: 0 };
  const envelope = { v: 1 as const, seq: 1, epoch: 1, ts, runId, ...spanIdsOf({ runId }) };
  return { ...envelope, type: "crew.run.completed", durationMs: 10, ...end };
}

function spanNames(collector: Collector): string[][] {
  return collector.asked.map(({ body }) => spansIn(body).map(({ name }) => name.replace("invoke_workflow ", "")));
}

describe("pushing to a collector", () => {
  it("sends metrics and spans at every interval, in the form receivers compare with", async () => {
    const collector = await startCollector();
    const intervals = { OTEL_METRIC_EXPORT_INTERVAL: "5000", OTEL_BSP_SCHEDULE_DELAY: "5000" };
    const env = { OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20abc", ...intervals };
    const { counter, endRun, pass, otlp } = await exporting(collector, { env, signals: "both" });
    counter.inc({}, 3);
    endRun();
    await pass(4999);
    expect(collector.asked).toEqual([]);
    await pass(1, () => otlp.status().channels.every(({ accepted }) => accepted === 1));
    for (const { path, headers, body } of collector.asked) {
      expect(headers).toMatchObject({ "content-type": "application/json", authorization: "Bearer abc" });
      expect(faultsOf(path === "/v1/metrics" ? "metrics" : "traces", body)).toEqual([]);
    }
    const [metrics] = collector.asked.filter(({ path }) => path === "/v1/metrics");
    expect(metricsIn(metrics?.body ?? "").map(({ name }) => name)).toEqual([
      "crew.a.count",
      "gen_ai.workflow.duration",
    ]);
    expect(collector.asked.map(({ path }) => path).sort()).toEqual(["/v1/metrics", "/v1/traces"]);
    // there are no new spans
    await pass(5000, () => collector.asked.length === 3);
    await pass(5000, () => collector.asked.length === 4);
    expect(collector.asked.slice(2).map(({ path }) => path)).toEqual(["/v1/metrics", "/v1/metrics"]);
    await waitUntil(async () => (await collector.connections()) === 0);
  });

  it("sends zipped when asked to", async () => {
    const collector = await startCollector();
    const { pass, status } = await exporting(collector, { env: { OTEL_EXPORTER_OTLP_COMPRESSION: "gzip" } });
    await pass(60 * SECOND, () => status().accepted === 1);
    expect(collector.asked[0]?.headers["content-encoding"]).toBe("gzip");
    expect(faultsOf("metrics", collector.asked[0]?.body ?? "")).toEqual([]);
  });

  it.each([
    ["7", 7],
    [new Date(1_700_000_000_000 + 90_000).toUTCString(), 30],
  ])("waits as long as a collector with too much to do asks for: %s", async (retryAfter, seconds) => {
    const collector = await startCollector();
    collector.answer = () => ({ status: 429, headers: { "retry-after": retryAfter } });
    const { pass, status } = await exporting(collector);
    await pass(60 * SECOND, () => status().failed === 1);
    await pass(seconds * SECOND - 1);
    expect(collector.asked).toHaveLength(1);
    collector.answer = () => ({ status: 200 });
    await pass(1, () => status().accepted === 1);
    expect(status()).toMatchObject({ failed: 1, lastError: null });
  });

  it.each([429, 502, 503, 504])("comes back after %i, each time later, with the numbers of then", async (code) => {
    const collector = await startCollector();
    collector.answer = () => ({ status: code });
    const { pass, status, counter } = await exporting(collector);
    await pass(60 * SECOND, () => status().failed === 1);
    for (const [failures, wait] of [
      [2, 1],
      [3, 2],
      [4, 4],
    ] as const) {
      await pass(wait * SECOND - 1);
      expect(collector.asked).toHaveLength(failures - 1);
      await pass(1, () => status().failed === failures);
    }
    counter.inc({}, 5);
    collector.answer = () => ({ status: 200 });
    await pass(8 * SECOND, () => status().accepted === 1);
    expect(metricsIn(collector.asked[4]?.body ?? "")[0]?.sum?.dataPoints[0]?.asInt).toBe("5");
    expect(collector.atOnce.most).toBe(1);
  });

  it.each([400, 401, 404, 307])(
    "does not repeat what was answered with %i, and goes on at the next interval",
    async (code) => {
      const [collector, other] = [await startCollector(), await startCollector()];
      collector.answer = () => ({
        status: code,
        headers: { location: other.url },
        body: '{"message":"no\u001b[31m good"}',
      });
      const { pass, endRun, status, warnings } = await exporting(collector, { signals: "traces" });
      endRun();
      endRun();
      await pass(60 * SECOND, () => status().failed === 1);
      expect(status()).toMatchObject({ itemsLost: 2, itemsSent: 0 });
      const { host } = new URL(collector.url);
      expect(warnings).toEqual([`OTLP: traces could not be sent: ${host} answered ${code}: {"message":"no good"}.`]);
      await pass(59 * SECOND);
      endRun();
      collector.answer = () => ({ status: 200 });
      await pass(SECOND, () => status().accepted === 1);
      expect(spanNames(collector)).toEqual([["run-1", "run-2"], ["run-3"]]);
      expect(other.asked).toEqual([]);
    },
  );

  it("counts what a collector took only in part, and keeps what it said", async () => {
    const collector = await startCollector();
    const partialSuccess = { rejectedSpans: "2", errorMessage: "too old" };
    collector.answer = () => ({ status: 200, body: JSON.stringify({ partialSuccess }) });
    const { pass, endRun, status, warnings } = await exporting(collector, { signals: "traces" });
    for (let n = 0; n < 3; n++) endRun();
    await pass(60 * SECOND, () => status().accepted === 1);
    expect(status()).toMatchObject({ itemsSent: 1, itemsRejected: 2, itemsLost: 0, failed: 0, lastWarning: "too old" });
    expect(warnings).toEqual([`OTLP: traces were sent, and ${new URL(collector.url).host} said: too old`]);
    await pass(60 * SECOND);
    expect(collector.asked).toHaveLength(1);
  });

  it.each([
    ["HTML", "<html>ok</html>"],
    ["nothing", ""],
    ["a list", "[1]"],
    ["null", "null"],
    ["a number for an object", '{"partialSuccess":7}'],
    ["too much", "{".repeat(200_000)],
  ])("takes an answer of 200 for success when it says %s", async (_what, body) => {
    const collector = await startCollector();
    collector.answer = () => ({ status: 200, body });
    const { pass, status, warnings } = await exporting(collector);
    await pass(60 * SECOND, () => status().accepted === 1);
    expect([status().itemsSent, status().itemsRejected, warnings]).toEqual([1, 0, []]);
  });

  it("gives up a collector that never answers, and never asks it twice at once", async () => {
    const collector = await startCollector();
    collector.answer = () => "hang";
    const env = { OTEL_METRIC_EXPORT_INTERVAL: "5000" };
    const { pass, status } = await exporting(collector, { env });
    await pass(5 * SECOND, () => collector.asked.length === 1);
    await pass(9999);
    expect([collector.asked.length, status().failed]).toEqual([1, 0]);
    await pass(1, () => status().failed === 1);
    expect(status().lastError).toBe(`${new URL(collector.url).host} can't be reached: no answer within 10 s`);
    await waitUntil(async () => (await collector.connections()) === 0);
    await pass(SECOND, () => collector.asked.length === 2);
    expect(collector.atOnce.most).toBe(1);
  });

  it("names the host and no secret when nobody is there", async () => {
    const env = { OTEL_EXPORTER_OTLP_HEADERS: "x-key=topsecret" };
    const { pass, status, warnings } = await exporting({ url: "http://user:password@127.0.0.1:9/token" }, { env });
    await pass(60 * SECOND, () => status().failed === 1);
    expect(warnings).toEqual([
      expect.stringMatching(/^OTLP: metrics .* 127\.0\.0\.1:9 can't be reached: .*ECONNREFUSED/),
    ]);
    expect(JSON.stringify([warnings, status()])).not.toMatch(/topsecret|password|token/);
  });

  it("leaves a collector alone after five failures, tries once a minute, and goes on when it is back", async () => {
    const collector = await startCollector();
    collector.answer = () => ({ status: 503 });
    const { pass, status, warnings } = await exporting(collector);
    for (const [failures, wait] of [
      [1, 60],
      [2, 1],
      [3, 2],
      [4, 4],
      [5, 8],
    ] as const)
      await pass(wait * SECOND, () => status().failed === failures);
    expect(warnings.at(-1)).toContain("failed 5 times in a row, and is tried once a minute now.");
    await pass(59_999);
    expect(collector.asked).toHaveLength(5);
    await pass(1, () => status().failed === 6);
    await pass(59_999);
    expect(collector.asked).toHaveLength(6);
    collector.answer = () => ({ status: 200 });
    await pass(1, () => status().accepted === 1);
    expect(status()).toMatchObject({ failed: 6, lastError: null });
    await pass(60 * SECOND, () => status().accepted === 2);
    expect(warnings).toHaveLength(2);
  });

  it("tries a collector that was left alone once more at the end: it may be back", async () => {
    const collector = await startCollector();
    collector.answer = () => ({ status: 503 });
    const { otlp, pass, status } = await exporting(collector);
    for (const [at, wait] of [60, 1, 2, 4, 8].entries()) await pass(wait * SECOND, () => status().failed === at + 1);
    collector.answer = () => ({ status: 200 });
    await otlp.dispose(LIMIT_MS);
    expect(status()).toMatchObject({ accepted: 1, itemsLost: 0 });
  });

  it("keeps spans that were not taken, in their order, and drops the oldest when there are too many", async () => {
    const collector = await startCollector();
    const { pass, endRun, status } = await exporting(collector, { signals: "traces" });
    for (let n = 0; n < 3; n++) endRun();
    collector.answer = () => {
      // while the others are under way
      endRun();
      return { status: 503 };
    };
    await pass(60 * SECOND, () => status().failed === 1);
    collector.answer = () => ({ status: 200 });
    await pass(SECOND, () => status().accepted === 1);
    expect(spanNames(collector)).toEqual([
      ["run-1", "run-2", "run-3"],
      ["run-1", "run-2", "run-3", "run-4"],
    ]);
    collector.answer = () => ({ status: 503 });
    for (let n = 0; n < 2100; n++) endRun();
    // the first batch is under way when the queue is at its end, and comes back to it
    await pass(0, () => status().failed === 2);
    expect(status().itemsLost).toBe(52);
    collector.asked.length = 0;
    collector.answer = () => ({ status: 200 });
    await pass(60 * SECOND, () => status().accepted === 5);
    const sent = spanNames(collector).flat();
    expect([sent.length, sent[0], sent.at(-1)]).toEqual([2048, "run-57", "run-2104"]);
    expect(status().itemsLost).toBe(52);
  });
});

describe("spans", () => {
  it("do not wait for the interval of metrics", async () => {
    const collector = await startCollector();
    const env = { OTEL_METRIC_EXPORT_INTERVAL: "300000", OTEL_BSP_SCHEDULE_DELAY: "" };
    const { pass, endRun, otlp } = await exporting(collector, { env, signals: "both" });
    endRun();
    await pass(4999);
    expect(collector.asked).toEqual([]);
    await pass(1, () => otlp.status().channels[1]?.accepted === 1);
    expect(collector.asked.map(({ path }) => path)).toEqual(["/v1/traces"]);
  });

  it("are sent as soon as they fill a request, one request at a time, and none is lost", async () => {
    const collector = await startCollector();
    const { pass, endRun, status } = await exporting(collector, { signals: "traces" });
    for (let n = 0; n < 511; n++) endRun();
    await pass(0);
    expect(collector.asked).toEqual([]);
    for (let n = 511; n < 2400; n++) endRun();
    await pass(0, () => status().itemsSent === 2400);
    expect(spanNames(collector).map(({ length }) => length)).toEqual([512, 512, 512, 512, 352]);
    expect([status().itemsLost, collector.atOnce.most]).toEqual([0, 1]);
  });

  it("that come while the last are being sent make no second request beside it", async () => {
    const collector = await startCollector();
    const { otlp, endRun, status } = await exporting(collector, { signals: "traces" });
    endRun();
    const disposed = otlp.dispose(LIMIT_MS);
    for (let n = 0; n < 600; n++) endRun();
    await disposed;
    expect([status().itemsSent, status().itemsLost, collector.atOnce.most]).toEqual([601, 0, 1]);
  });
});

describe("the end of a session", () => {
  it("sends what is left, and no more after it", async () => {
    const collector = await startCollector();
    const { otlp, counter, endRun, clock } = await exporting(collector, { signals: "both" });
    counter.inc({}, 2);
    endRun();
    await otlp.dispose(LIMIT_MS);
    expect(collector.asked.map(({ path }) => path).sort()).toEqual(["/v1/metrics", "/v1/traces"]);
    expect(otlp.status().channels.map(({ itemsLost }) => itemsLost)).toEqual([0, 0]);
    await otlp.dispose(LIMIT_MS);
    await clock.advance(600 * SECOND);
    expect(collector.asked).toHaveLength(2);
    expect(clock.pending).toBe(0);
  });

  it("comes in time when the collector hangs, and what was lost is counted", async () => {
    const collector = await startCollector();
    collector.answer = () => "hang";
    const { otlp, endRun, clock, pass } = await exporting(collector, { signals: "both" });
    endRun();
    await pass(60 * SECOND, () => collector.asked.length === 2);
    endRun();
    let isOver = false;
    const disposed = otlp.dispose(LIMIT_MS).then(() => {
      isOver = true;
    });
    await pass(LIMIT_MS - 1);
    expect(isOver).toBe(false);
    await clock.advance(1);
    await disposed;
    // one counter, and a histogram of two workflows; two runs
    expect(otlp.status().channels.map(({ itemsLost }) => itemsLost)).toEqual([3, 2]);
    await waitUntil(async () => (await collector.connections()) === 0);
    expect(clock.pending).toBe(0);
  });

  it("does not wait for a delay of its own, but for one that the collector asked for", async () => {
    const collector = await startCollector();
    collector.answer = () => ({ status: 503 });
    const first = await exporting(collector, { signals: "traces" });
    first.endRun();
    await first.pass(60 * SECOND, () => first.status().failed === 1);
    collector.answer = () => ({ status: 200 });
    await first.otlp.dispose(LIMIT_MS);
    expect(first.status()).toMatchObject({ itemsSent: 1, itemsLost: 0 });
    collector.answer = () => ({ status: 429, headers: { "retry-after": "30" } });
    const second = await exporting(collector, { signals: "traces" });
    second.endRun();
    await second.pass(60 * SECOND, () => second.status().failed === 1);
    collector.answer = () => ({ status: 200 });
    await second.otlp.dispose(LIMIT_MS);
    expect(second.status()).toMatchObject({ itemsSent: 0, itemsLost: 1 });
  });

  it("is quick when nobody is there", async () => {
    const { otlp, status } = await exporting({ url: NOBODY });
    await otlp.dispose(LIMIT_MS);
    expect(status()).toMatchObject({ failed: 1, itemsLost: 1 });
  });
});
