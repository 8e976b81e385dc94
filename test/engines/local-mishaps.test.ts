import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createLocalEngine } from "../../src/engines/local.ts";
import { inTurn } from "../support/model-reply.ts";
import { expectGone, processesVisible, processesWithEnvironment } from "../support/processes.ts";
import { type EngineBench, never, openBench, recordHooks } from "./engine-bench.ts";

function extension(bench: EngineBench, source: string): void {
  const folder = join(bench.folder.agent, "extensions");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "probe.ts"), `export default (pi) => { ${source} };`);
}

describe.skipIf(!processesVisible)("an attempt that meets with a mishap", { timeout: 40_000 }, () => {
  it("counts the tries the host made by itself", async () => {
    const folder = { retry: { enabled: true, maxRetries: 2, baseDelayMs: 20, provider: { maxRetries: 0 } } };
    let tries = 0;
    await using bench = await openBench(
      () => (++tries < 3 ? { status: 503, error: "overloaded" } : { text: "at last" }),
      { folder },
    );
    const report = await bench.engine.execute(bench.order(), `w1-${process.pid}`, recordHooks(), never);
    expect(report).toMatchObject({ outcome: "completed", summary: "at last", tokens: { input: 100, output: 10 } });
    expect(tries).toBe(3);
  });

  it("ends by its time limit while the model says nothing", async () => {
    await using bench = await openBench(() => ({ text: "Hm", stall: true }));
    const report = await bench.engine.execute(
      bench.order({ task: { timeoutSec: 1 } }),
      `w1-${process.pid}`,
      recordHooks(),
      never,
    );
    expect(report).toMatchObject({ outcome: "failed", exitCode: 124, failureKind: "transient" });
  });

  it("ends by its time limit although an extension's tool never stops, and the worker is not used again", async () => {
    await using bench = await openBench(inTurn({ tools: [{ name: "forever", args: {} }] }));
    extension(
      bench,
      `pi.registerTool({ name: "forever", label: "f", description: "f", parameters: { type: "object", properties: {} }, execute: () => new Promise(() => undefined) });`,
    );
    const hooks = recordHooks();
    const report = await bench.engine.execute(
      bench.order({ task: { timeoutSec: 5 } }),
      `w1-${process.pid}`,
      hooks,
      never,
    );
    expect(report).toMatchObject({ outcome: "failed", exitCode: 124, tokens: { input: 100 } });
    bench.server.setReply(() => ({ text: "ok" }));
    expect(await bench.engine.execute(bench.order({ attempt: 2 }), `w2-${process.pid}`, hooks, never)).toMatchObject({
      outcome: "completed",
    });
    expect(hooks.workers[1]?.pid).not.toBe(hooks.workers[0]?.pid);
  });

  it("fails, with what it cost, when an extension throws where nobody listens", async () => {
    await using bench = await openBench(inTurn({ tools: [{ name: "bash", args: { command: "sleep 1000" } }] }));
    extension(bench, `pi.on("tool_execution_start", () => void setTimeout(() => { throw new Error("boom"); }, 50));`);
    const order = bench.order();
    const report = await bench.engine.execute(order, `w1-${process.pid}`, recordHooks(), never);
    expect(report).toMatchObject({
      outcome: "failed",
      failureKind: "transient",
      error: { kind: "worker-crashed", message: "boom" },
      tokens: { input: 100 },
    });
    expect(await readFile(join(order.folder, "stderr.log"), "utf8")).toContain("boom");
    await expectGone(() => processesWithEnvironment("FOREMAN_TEST_TAG", bench.folder.tag), 1000);
  });

  it("is cancelled and recorded by SIGTERM", async () => {
    await using bench = await openBench(inTurn({ tools: [{ name: "bash", args: { command: "sleep 1000" } }] }));
    const hooks = recordHooks();
    const order = bench.order();
    const ending = bench.engine.execute(order, `w1-${process.pid}`, hooks, never);
    await bench.server.waitForRequest(({ end }) => end === "answered");
    process.kill(hooks.workers[0]!.pid, "SIGTERM");
    expect(await ending).toMatchObject({ outcome: "cancelled", failureKind: "cancelled" });
    expect(JSON.parse(await readFile(join(order.folder, "state.json"), "utf8"))).toMatchObject({ status: "ended" });
    await expectGone(() => processesWithEnvironment("FOREMAN_TEST_TAG", bench.folder.tag), 1000);
  });

  it("is done by one of two engines that both want it", async () => {
    await using bench = await openBench(() => ({ text: "once", delayMs: 300 }));
    const other = createLocalEngine(bench.options);
    const order = bench.order();
    const [one, two] = await Promise.all([
      bench.engine.execute(order, `w1-${process.pid}`, recordHooks(), never),
      other.execute(order, `w2-${process.pid}`, recordHooks(), never),
    ]);
    expect(one).toEqual(two);
    expect(one).toMatchObject({ outcome: "completed", summary: "once" });
    expect(bench.server.requests).toHaveLength(1);
    await other.dispose();
  });

  it("leaves the attempt's wait to the provider in the message", async () => {
    await using bench = await openBench(() => ({ status: 429, error: "slow down", headers: { "retry-after": "17" } }));
    const report = await bench.engine.execute(bench.order(), `w1-${process.pid}`, recordHooks(), never);
    const message = expect.stringMatching(/^429.*slow down.*\(Retry-After: 17\)$/);
    expect(report).toMatchObject({ outcome: "failed", failureKind: "transient", error: { message } });
  });

  it("does not keep an owner alive that has nothing to wait for", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    const { world: _world, ...options } = bench.options;
    const script = fileURLToPath(new URL("owner.ts", import.meta.url));
    const args = [
      "--import",
      "tsx",
      script,
      JSON.stringify(options),
      JSON.stringify(bench.order()),
      `w1-${process.pid}`,
      "leave",
    ];
    const owner = spawn(process.execPath, args, { env: bench.folder.env, stdio: "inherit" });
    expect(await new Promise((resolve) => owner.on("exit", resolve))).toBe(0);
    await expectGone(() => processesWithEnvironment("FOREMAN_TEST_TAG", bench.folder.tag), 10_000);
  });
});
