import { mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { inTurn } from "../support/model-reply.ts";
import { type EngineBench, never, openBench, recordHooks } from "./engine-bench.ts";

function extension(bench: EngineBench, source: string): void {
  const folder = join(bench.folder.agent, "extensions");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "probe.ts"), `export default (pi) => { ${source} };`);
}

describe("the session of an attempt", { timeout: 40_000 }, () => {
  it("is over although an extension never answers its shutdown; the process leaves", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    extension(bench, `pi.on("session_shutdown", () => new Promise(() => undefined));`);
    const hooks = recordHooks();
    const order = bench.order({ task: { timeoutSec: 20 } });
    const report = await bench.engine.execute(order, `w1-${process.pid}`, hooks, never);
    expect(report).toMatchObject({ outcome: "completed", summary: "ok" });
    expect(await readFile(join(order.folder, "stderr.log"), "utf8")).toContain("session_shutdown");
    await bench.engine.execute(bench.order({ attempt: 2 }), `w2-${process.pid}`, hooks, never);
    expect(hooks.workers[1]?.pid).not.toBe(hooks.workers[0]?.pid);
  });

  it("is a failure without an answer when the last reply is empty", async () => {
    await using bench = await openBench(
      inTurn({ text: "Looking.", tools: [{ name: "bash", args: { command: "true" } }] }, { text: "" }),
    );
    const report = await bench.engine.execute(bench.order(), `w1-${process.pid}`, recordHooks(), never);
    expect(report).toMatchObject({ outcome: "failed", failureKind: "transient", error: { kind: "no-answer" } });
  });

  it("logs no partial output of tools", async () => {
    const command = "for i in $(seq 1 2000); do echo line $i of a long output; done; sleep 0.5; echo more; sleep 0.5";
    await using bench = await openBench(inTurn({ tools: [{ name: "bash", args: { command } }] }, { text: "ok" }));
    const order = bench.order();
    const report = await bench.engine.execute(order, `w1-${process.pid}`, recordHooks(), never);
    expect(report).toMatchObject({ outcome: "completed", hostRetries: 0 });
    const lines = (await readFile(join(order.folder, "stdout.log"), "utf8")).trim().split("\n");
    const types = lines.map((line) => JSON.parse(line).type);
    expect(types).not.toContain("tool_execution_update");
    expect(types).not.toContain("message_start");
    expect(lines.filter((line) => line.includes("a long output")).length).toBeLessThanOrEqual(2);
  });

  it("sees context files and extensions edited while the worker was idle", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    extension(bench, `pi.on("session_start", () => console.log("first edition"));`);
    const orders = [bench.order(), bench.order({ attempt: 2 })] as const;
    await bench.engine.execute(orders[0], `w1-${process.pid}`, recordHooks(), never);
    await new Promise((resolve) => setTimeout(resolve, 400)); // until the next services are made
    writeFileSync(join(bench.folder.project, "AGENTS.md"), "The zebra is striped.");
    extension(bench, `pi.on("session_start", () => console.log("second edition"));`);
    await bench.engine.execute(orders[1], `w2-${process.pid}`, recordHooks(), never);
    expect(bench.server.requests[1]?.request.system).toContain("The zebra is striped.");
    expect(await readFile(join(orders[1].folder, "stderr.log"), "utf8")).toContain("second edition");
  });

  it("says what each model was used for, and how often the host tried again", async () => {
    let tries = 0;
    const folder = { retry: { enabled: true, maxRetries: 2, baseDelayMs: 20, provider: { maxRetries: 0 } } };
    await using bench = await openBench(
      () => (++tries < 2 ? { status: 503, error: "overloaded" } : { text: "at last" }),
      { folder },
    );
    const report = await bench.engine.execute(bench.order(), `w1-${process.pid}`, recordHooks(), never);
    expect(report.hostRetries).toBe(1);
    expect(report.usage).toEqual([{ model: "mock/mock-1", tokens: report.tokens, costUsd: report.costUsd }]);
  });
});
