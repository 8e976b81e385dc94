import { spawn, spawnSync } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { OtlpMetricsEncoder } from "../../src/export/otlp-metrics.ts";
import { resourceAttributes } from "../../src/export/otlp-resource.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import { tempFolder } from "../store/temp-store.ts";
import { waitUntil } from "../support/processes.ts";
import { toProtobuf } from "./otlp-judge.ts";

/** A real store takes what we write, in the wire format that the judge makes of it, and gives it back. */

const STORE = process.env["VICTORIA_METRICS"] ?? "victoria-metrics";

/** Why it can't be tried; empty when it can. Old versions take no OTLP, and have no settings for it. */
function whyNot(): string {
  const { stdout, stderr, error } = spawnSync(STORE, ["-help"], { encoding: "utf8" });
  if (error) return "no victoria-metrics here: set VICTORIA_METRICS to its path";
  return /opentelemetry/i.test(stdout + stderr) ? "" : `${STORE} is too old to take OTLP`;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function startStore(): Promise<string> {
  const port = await freePort();
  const folder = await tempFolder();
  const flags = [`-storageDataPath=${folder}/data`, `-httpListenAddr=127.0.0.1:${port}`, "-retentionPeriod=100y"];
  const child = spawn(STORE, [...flags, "-search.latencyOffset=0s", "-loggerLevel=ERROR"], { stdio: "ignore" });
  onTestFinished(async () => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  });
  const base = `http://127.0.0.1:${port}`;
  const isUp = async () => (await fetch(`${base}/health`).catch(() => null))?.ok === true;
  await waitUntil(isUp, 30_000);
  return base;
}

interface Exported {
  metric: Record<string, string>;
  values: number[];
}

const missing = whyNot();

it.skipIf(missing !== "")(`a store reads back every series it was sent${missing && ` (${missing})`}`, async () => {
  const registry = createMetricRegistry();
  const labels = ["team", "role"] as const;
  const counter = registry.registerCounter("crew.task.count", "", { labels });
  const gauge = registry.registerGauge("crew.run.active", "");
  const histogram = registry.registerHistogram("crew.task.duration_ms", "", { labels, unit: "ms", buckets: [10, 100] });
  for (let n = 0; n < 500; n++) {
    const place = { team: `t${n % 50}`, role: 'r "ö' };
    counter.inc(place, n);
    histogram.observe(place, n);
  }
  gauge.set(undefined, 7);
  const nowMs = 1_700_000_060_000;
  const resource = resourceAttributes(
    { version: "1", instanceId: "i-1" },
    { serviceName: null, resourceAttributes: {} },
  );
  const encoder = new OtlpMetricsEncoder({ resource, scope: { name: "s", version: "1" } }, nowMs - 60_000);
  const base = await startStore();
  const answer = await fetch(`${base}/opentelemetry/v1/metrics`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf" },
    body: toProtobuf("metrics", Buffer.from(encoder.encode(registry.snapshot(), nowMs).body).toString("utf8")),
  });
  expect(answer.status).toBe(200);
  await fetch(`${base}/internal/force_flush`);
  const query = new URLSearchParams({ "match[]": '{__name__=~"crew.*"}' });
  const text = await (await fetch(`${base}/api/v1/export?${query}`)).text();
  const series = text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Exported);
  // per series of the histogram: two bounds, +Inf, sum and count
  expect(series).toHaveLength(50 + 1 + 50 * 5);
  const valuesOf = (name: string, more: Record<string, string>) =>
    series.find(({ metric }) =>
      Object.entries({ __name__: name, ...more }).every(([key, value]) => metric[key] === value),
    )?.values;
  const place = { team: "t3", role: 'r "ö' };
  expect(valuesOf("crew.run.active", {})).toEqual([7]);
  // 3, 53, … 453
  expect(valuesOf("crew.task.count", place)).toEqual([2280]);
  expect(valuesOf("crew.task.duration_ms_bucket", { ...place, le: "10" })).toEqual([1]);
  expect(valuesOf("crew.task.duration_ms_bucket", { ...place, le: "100" })).toEqual([2]);
  expect(valuesOf("crew.task.duration_ms_bucket", { ...place, le: "+Inf" })).toEqual([10]);
  expect(valuesOf("crew.task.duration_ms_sum", place)).toEqual([2280]);
  expect(series.every(({ metric }) => metric["service.instance.id"] === "i-1")).toBe(true);
});
