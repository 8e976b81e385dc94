import { resolve } from "node:path";
import { expect, test } from "vitest";
import type { HistogramSnapshot, MetricsSnapshot } from "../../src/metrics/snapshot.ts";
import { inTurnFiles, teamReplies } from "../support/diamond-team.ts";
import { inTurn, type Reply } from "../support/model-reply.ts";
import { fixture, makeRig, probeLog, type Rig } from "../support/rig.ts";
import { say } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
/** The plug-in listens in its factory: which of the two is loaded first must not matter. */
const EXTENSIONS = [fixture("metrics-plugin.ts"), PACKAGE];

/** What moved, as `metric{values}`: a number, or count of a histogram. */
async function read(rig: Rig, kind: "asked" | "pushed" = "asked"): Promise<Record<string, number>> {
  const { snapshots } = (await probeLog(rig.agentFolder, kind)).at(-1) as unknown as { snapshots: MetricsSnapshot };
  const found: Record<string, number> = {};
  for (const metric of snapshots)
    for (const series of metric.series) {
      const value = "value" in series ? series.value : series.count;
      if (value !== 0) found[`${metric.name}{${Object.values(series.labels).join(",")}}`] = value;
    }
  return found;
}

async function sumOf(rig: Rig, name: string): Promise<number> {
  const { snapshots } = (await probeLog(rig.agentFolder, "asked")).at(-1) as unknown as { snapshots: MetricsSnapshot };
  const metric = snapshots.find((one) => one.name === name) as HistogramSnapshot;
  return metric.series.reduce((sum, series) => sum + series.sum, 0);
}

test("a session without any team counts what the model server sent: tokens, cost, tools, errors", async () => {
  const steps: Reply[] = [
    { tools: [{ name: "bash", args: { command: "echo hi" } }], usage: { input: 1000, output: 31, cacheRead: 2000 } },
    { tools: [{ name: "bash", args: { command: "exit 3" } }], usage: { input: 17, output: 5, cacheWrite: 400 } },
    { tools: [{ name: "read", args: { path: "there.txt" } }], usage: { input: 3, output: 4 } },
    { text: "well done", usage: { input: 12_345, output: 678 }, delayMs: 300 },
  ];
  const rig = await makeRig(inTurn(...steps), { files: { "there.txt": "x" } });
  const host = await rig.rpc({ extensions: EXTENSIONS });
  await host.prompt("work alone");
  rig.server.setReply(() => ({ status: 429, error: "slow down" }));
  await host.prompt("again");
  rig.server.setReply(() => ({ status: 500, error: "oh no" }));
  await host.prompt("and again");
  rig.server.setReply(() => ({ text: "half of this", cut: true }));
  await host.prompt("and once more");
  // what was done before the metrics were loaded is in them
  await say(host, "/team-metrics");
  await host.command("/plugin-push");

  const sent = rig.server.usageTotals();
  const metrics = await read(rig);
  const costs = metrics["crew.session.cost_usd{mock/mock-1}"] ?? 0;
  expect(costs).toBeCloseTo(rig.server.costUsd(), 12);
  expect(metrics).toEqual({
    "crew.session.turn_duration_ms{}": 7,
    // the reply that was cut began, those with a status did not
    "crew.session.first_token_ms{mock/mock-1}": 5,
    "crew.session.tool_count{bash,ok}": 1,
    "crew.session.tool_count{bash,error}": 1,
    "crew.session.tool_count{read,ok}": 1,
    "crew.session.tool_duration_ms{bash}": 2,
    "crew.session.tool_duration_ms{read}": 1,
    "crew.session.token_count{mock/mock-1,input}": sent.input,
    "crew.session.token_count{mock/mock-1,output}": sent.output,
    "crew.session.token_count{mock/mock-1,cache_read}": sent.cacheRead,
    "crew.session.token_count{mock/mock-1,cache_write}": sent.cacheWrite,
    "crew.session.cost_usd{mock/mock-1}": costs,
    "crew.session.provider_error_total{429}": 1,
    "crew.session.provider_error_total{500}": 1,
    "crew.session.provider_error_total{network}": 1,
  });
  expect(await sumOf(rig, "crew.session.first_token_ms")).toBeGreaterThanOrEqual(300);
  expect(await sumOf(rig, "crew.session.turn_duration_ms")).toBeGreaterThanOrEqual(300);
  expect(await say(host, "/team-metrics crew.session.tool_count")).toContain("tool=bash,status=ok");
});

test("a new session counts from zero, and each session once", async () => {
  const rig = await makeRig(() => ({ text: "yes" }));
  const host = await rig.rpc({ extensions: EXTENSIONS });
  await host.prompt("one");
  await say(host, "/team-metrics");
  await host.send({ type: "new_session" });
  await host.prompt("two");
  await say(host, "/team-metrics");
  await host.command("/plugin-push");
  expect(await read(rig)).toMatchObject({
    "crew.session.turn_duration_ms{}": 1,
    "crew.session.token_count{mock/mock-1,input}": 100,
  });
  expect(await read(rig, "pushed")).toMatchObject({ "crew.session.token_count{mock/mock-1,input}": 100 });
});

test("another extension's counter follows our events, its exporter gets the last snapshot, a broken one harms nobody", async () => {
  const rig = await makeRig(teamReplies({ action: "run", team: "diamond", goal: "build it" }, {}), {
    files: inTurnFiles,
  });
  const host = await rig.rpc({ extensions: EXTENSIONS });
  await host.prompt("let the team do it");
  expect(await host.close()).toMatchObject({ code: 0 });
  expect(await read(rig, "pushed")).toMatchObject({
    "crew.custom.runs{diamond}": 1,
    "crew.run.count{completed,diamond}": 1,
  });
  expect(await probeLog(rig.agentFolder, "disposed")).toHaveLength(1);
  expect(host.events.filter((event) => event.type === "extension_error")).toEqual([]);
});
