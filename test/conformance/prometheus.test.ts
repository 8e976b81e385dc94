import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { Exposition } from "../../src/export/exposition.ts";
import { startHttpServer } from "../../src/export/http-server.ts";
import { metricsRoute } from "../../src/export/metrics-route.ts";
import type { SessionMetrics } from "../../src/metrics/session-metrics.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { expositionProblems } from "../support/exposition-checker.ts";
import { HOW_TO_GET_JUDGES, judgePath } from "../support/install-judges.ts";
import { everyMetric, exampleEvents, SESSION_FACTS, tellSession } from "../support/moving-events.ts";
import { waitUntil } from "../support/processes.ts";

/** What a session exports with all its metrics moved, before Prometheus' own programs. */

const promtool = judgePath("promtool");
const prometheus = judgePath("prometheus");
const log = { warn: () => undefined, error: () => undefined };
const HOSTILE = 'a"b\\c\nd{e="f"} \u2028 \u0000 \u{1f600} ,le="1"';

/** The events' own texts are hostile too. */
function movedRegistry() {
  const { registry, session, publish } = everyMetric();
  for (const events of exampleEvents().values()) for (const event of events) publish(event);
  for (const fact of Object.keys(SESSION_FACTS) as (keyof SessionMetrics)[]) tellSession(session, fact);
  session.toolEnded({ tool: HOSTILE, status: "error", durationMs: 1234 });
  session.toolEnded({ tool: HOSTILE, status: "error", durationMs: 300_000 });
  return registry;
}

describe("all metrics of a session", () => {
  it.each(["text", "openmetrics"] as const)("pass the checker as %s", (format) => {
    const body = Buffer.from(new Exposition(format).render(movedRegistry().snapshot())).toString();
    expect(expositionProblems(body, format)).toEqual([]);
  });
});

describe.skipIf(promtool === null)(`promtool${promtool === null ? ` (${HOW_TO_GET_JUDGES})` : ""}`, () => {
  const check = (input: string) => {
    const { status, stderr } = spawnSync(promtool ?? "", ["check", "metrics"], { input, encoding: "utf8" });
    return { status, stderr };
  };

  it("has nothing against them, neither grammar nor lint", () => {
    expect(check(new Exposition("text").render(movedRegistry().snapshot()))).toEqual({ status: 0, stderr: "" });
    expect(check(new Exposition("text").render(everyMetric().registry.snapshot()))).toEqual({ status: 0, stderr: "" });
  });

  it("would have something against what is wrong", () => {
    const right = new Exposition("text").render(movedRegistry().snapshot());
    expect(check(right.replace("crew_run_active ", "crew.run.active ")).status).toBe(1);
    expect(check(right.replaceAll("_duration_seconds", "_duration_ms")).status).toBe(3);
  });
});

describe.skipIf(prometheus === null)(`Prometheus${prometheus === null ? ` (${HOW_TO_GET_JUDGES})` : ""}`, () => {
  it("scrapes both formats, and gives back what was counted", async () => {
    const registry = movedRegistry();
    const metrics = metricsRoute(() => registry.snapshot());
    const asked = new Set<string>();
    const server = await startHttpServer({
      port: 0,
      clock: nodeWorld(log).clock,
      log,
      routes: {
        "/metrics": (request) => {
          asked.add(request.accept);
          return metrics(request);
        },
        "/text": (request) => metrics({ ...request, accept: "" }),
      },
    });
    onTestFinished(() => server.close());
    const { query, targets } = await startPrometheus(server.port);
    await waitUntil(async () => (await targets()).every(({ health }) => health !== "unknown"), 30_000);
    expect(await targets()).toEqual([
      { job: "open", health: "up", lastError: "" },
      { job: "text", health: "up", lastError: "" },
    ]);
    const format = metrics({ path: "", params: {}, query: new URLSearchParams(), accept: [...asked][0] ?? "" });
    expect((await format).type).toMatch(/^application\/openmetrics-text/);
    for (const job of ["open", "text"]) {
      const own = `job="${job}"`;
      const count = await query(`crew_session_tool_count_total{${own},status="error"}`);
      expect(count).toMatchObject([{ metric: { tool: HOSTILE, status: "error" }, value: [expect.anything(), "2"] }]);
      const sum = await query(`crew_session_tool_duration_seconds_sum{${own},tool!="bash"}`);
      expect(sum).toMatchObject([{ metric: { tool: HOSTILE }, value: [expect.anything(), "301.234"] }]);
      const samples = await query(`count({${own},__name__=~"crew_.*"})`);
      expect(Number(samples[0]?.value[1])).toBe(sampleCount(registry));
    }
  });
});

function sampleCount(registry: ReturnType<typeof movedRegistry>): number {
  const samples = registry
    .snapshot()
    .map((metric) => metric.series.length * (metric.kind === "histogram" ? metric.bounds.length + 3 : 1));
  return samples.reduce((sum, count) => sum + count, 0);
}

interface Target {
  job: string;
  health: string;
  lastError: string;
}

interface QueryResult {
  metric: Record<string, string>;
  value: [time: number, value: string];
}

/** Scrapes that port every second; ends with the test. */
async function startPrometheus(scrapedPort: number) {
  const folder = mkdtempSync(join(tmpdir(), "foreman-prometheus-"));
  const config = join(folder, "prometheus.yml");
  const job = (name: string, path: string) =>
    `- {job_name: ${name}, metrics_path: ${path}, static_configs: [{targets: ["127.0.0.1:${scrapedPort}"]}]}\n`;
  writeFileSync(
    config,
    `global: {scrape_interval: 1s}\nscrape_configs:\n${job("open", "/metrics")}${job("text", "/text")}`,
  );
  const port = await freePort();
  const flags = [
    `--config.file=${config}`,
    `--storage.tsdb.path=${folder}/data`,
    `--web.listen-address=127.0.0.1:${port}`,
  ];
  const child = spawn(prometheus ?? "", flags, { stdio: "ignore" });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true });
  });
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`);
    return ((await response.json()) as { data: never }).data;
  };
  await waitUntil(async () => (await fetch(`http://127.0.0.1:${port}/-/ready`).catch(() => null))?.ok === true, 30_000);
  return {
    query: async (text: string): Promise<QueryResult[]> =>
      (await get(`query?query=${encodeURIComponent(text)}`))["result"],
    targets: async (): Promise<Target[]> => {
      const active: { labels: { job: string }; health: string; lastError: string }[] = (await get("targets"))[
        "activeTargets"
      ];
      const found = active.map(({ labels, health, lastError }) => ({ job: labels.job, health, lastError }));
      return found.length < 2
        ? [{ job: "", health: "unknown", lastError: "" }]
        : found.sort((a, b) => (a.job < b.job ? -1 : 1));
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
