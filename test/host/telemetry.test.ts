import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { faultsOf, metricsIn, spansIn } from "../conformance/otlp-judge.ts";
import { inTurnFiles, stepOf } from "../support/diamond-team.ts";
import { expositionProblems } from "../support/exposition-checker.ts";
import { startCollector } from "../support/otlp-collector.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import { eventsOf, ofType, runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

async function rigWith(config: object): Promise<Rig> {
  const rig = await makeRig((request) => ({ text: `${stepOf(request) ?? "main"} is done` }), { files: inTurnFiles });
  await writeFile(join(rig.agentFolder.agent, "crew.json"), JSON.stringify(config));
  return rig;
}

/** A session in which a run has completed. */
async function afterRun(rig: Rig) {
  const host = await rig.rpc({ extensions: [PACKAGE] });
  await say(host, '/team-run diamond "count"');
  const [runId = ""] = await runIds(rig.agentFolder.project);
  await waitUntil(async () => {
    const last = (await eventsOf(rig.agentFolder.project, runId)).at(-1)?.type;
    return last === "crew.run.completed";
  }, 40_000);
  return { host, runId };
}

describe("a session's metrics", () => {
  it("are served to Prometheus on this machine only, until it is told to stop or ends", async () => {
    const rig = await rigWith({});
    const { host } = await afterRun(rig);
    const said = await say(host, "/team-metrics --serve --port 0");
    const url = /http:\/\/\S+\//.exec(said)?.[0] ?? said;
    const page = await fetch(`${url}metrics`);
    const text = await page.text();
    expect(expositionProblems(text, "text")).toEqual([]);
    expect(text).toMatch(/^crew_run_count_total\{status="completed",team="diamond"\} 1$/m);
    const open = await fetch(`${url}metrics`, { headers: { accept: "application/openmetrics-text; version=1.0.0" } });
    expect(expositionProblems(await open.text(), "openmetrics")).toEqual([]);
    expect(await (await fetch(`${url}healthz`)).json()).toMatchObject({ status: "ok" });
    expect(await say(host, "/team-metrics --serve")).toContain(url);
    expect(await say(host, "/team-metrics --stop")).toContain("Nothing is served");
    await expect(fetch(`${url}metrics`)).rejects.toThrow();
    const json = JSON.parse(await say(host, "/team-metrics crew.run.count --json"));
    expect(json.metrics).toMatchObject([{ name: "crew.run.count", series: [{ value: 1 }] }]);
    expect(await say(host, "/team-metrics --serve --port 99999")).toContain("99999");
    expect(await say(host, "/team-metrics --serve --port 0x10")).toContain('"0x10" is no port');
    for (const slip of ['--backgrund diamond "x"', 'diamond --bakground "x"'])
      expect(await say(host, `/team-run ${slip}`)).toMatch(/There is no option --ba\S+ here, only --background/);
    expect(await say(host, "/team-run --background --background")).toMatch(/^Usage: /);
    expect(await runIds(rig.agentFolder.project)).toHaveLength(1);
  });

  it("are kept in the project's daily file at its end, and a session without events writes none", async () => {
    const rig = await rigWith({});
    const { host } = await afterRun(rig);
    await host.close();
    const folder = join(rig.agentFolder.project, ".crew/state/metrics");
    const [day = ""] = await readdir(folder);
    const lines = async () =>
      (await readFile(join(folder, day), "utf8"))
        .trim()
        .split("\n")
        .map((it) => JSON.parse(it));
    const kept = await lines();
    const last = kept.findLast((line) => line.snapshots);
    const runs = last.snapshots.find((metric: { name: string }) => metric.name === "crew.run.count");
    expect(runs.series).toMatchObject([{ labels: { status: "completed", team: "diamond" }, value: 1 }]);
    const idle = await rig.rpc({ extensions: [PACKAGE] });
    await say(idle, "/team-status latest");
    await idle.close();
    expect(await lines()).toHaveLength(kept.length);
  });

  it("go to a collector with the run's spans: one trace, one tree", async () => {
    const collector = await startCollector();
    const rig = await rigWith({ otlp: { enabled: true, endpoint: collector.url, headers: { "x-key": "k" } } });
    const { host, runId } = await afterRun(rig);
    await host.close();
    const bodies = (path: string) => collector.asked.filter((it) => it.path === path).map(({ body }) => body);
    for (const signal of ["metrics", "traces"] as const)
      for (const body of bodies(`/v1/${signal}`)) expect(faultsOf(signal, body)).toEqual([]);
    expect(collector.asked[0]?.headers["x-key"]).toBe("k");
    const metrics = metricsIn(bodies("/v1/metrics").at(-1) ?? "");
    expect(metrics.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["crew.run.count", "gen_ai.workflow.duration"]),
    );
    const spans = bodies("/v1/traces").flatMap(spansIn);
    const events = await eventsOf(rig.agentFolder.project, runId);
    expect(new Set(spans.map((span) => span.traceId))).toEqual(new Set([events[0]?.traceId]));
    const ids = new Set(spans.map((span) => span.spanId));
    const roots = spans.filter((span) => !span.parentSpanId || !ids.has(span.parentSpanId));
    expect(roots.map((span) => span.spanId)).toEqual([events[0]?.spanId]);
    const attempts = ofType(events, "crew.task.attempt_finished").map((event) => event.spanId);
    expect(attempts.every((id) => ids.has(id))).toBe(true);
    expect(spans).toHaveLength(1 + 4 + 4);
  });

  it("are sent with a key that is never told, though the collector repeats it", async () => {
    const collector = await startCollector();
    collector.answer = ({ headers }) => ({ status: 401, body: `no such key: ${headers["api-key"]}` });
    const rig = await rigWith({
      otlp: { enabled: true, endpoint: collector.url, headers: { "api-key": "hc-01SECRETVALUE" }, intervalMs: 5000 },
    });
    const { host } = await afterRun(rig);
    await waitUntil(() => collector.asked.length > 0, 20_000);
    expect(await say(host, "/team-doctor")).not.toContain("SECRETVALUE");
    await host.close();
    const log = await readFile(join(rig.agentFolder.agent, "crew/log/foreman.jsonl"), "utf8");
    expect(log).toContain("answered 401: no such key: ***");
    expect(log).not.toContain("SECRETVALUE");
  });

  it("are kept of a session that was over before they were loaded", async () => {
    const rig = await rigWith({});
    await rig.print("say something", { extensions: [PACKAGE] });
    const folder = join(rig.agentFolder.agent, "crew/projects");
    const [project = ""] = await readdir(folder);
    const [day = ""] = await readdir(join(folder, project, "state/metrics"));
    const text = await readFile(join(folder, project, "state/metrics", day), "utf8");
    expect(text).toContain("crew.session.token_count");
  });

  it("are not sent by a project's own wish", async () => {
    const collector = await startCollector();
    const rig = await rigWith({});
    const wish = { otlp: { enabled: true, endpoint: collector.url }, http: { host: "0.0.0.0" } };
    await rig.agentFolder.write(".crew/config.json", JSON.stringify(wish));
    const { host } = await afterRun(rig);
    expect(await say(host, "/team-doctor")).toContain("a project can't set it");
    await host.close();
    expect(collector.asked).toEqual([]);
  });
});
