import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createLocalEngine } from "../../src/engines/local.ts";
import { AttemptLetGo } from "../../src/engines/local-attempt.ts";
import { inTurn } from "../support/model-reply.ts";
import { expectGone, processesVisible, processesWithEnvironment } from "../support/processes.ts";
import { type EngineBench, never, openBench, recordHooks } from "./engine-bench.ts";

const stuck = inTurn({
  text: "Waiting.",
  tools: [{ name: "bash", args: { command: "sleep 1000" } }],
  usage: { input: 500, output: 20 },
});
const ofAttempt = (bench: EngineBench) => () =>
  processesWithEnvironment("FOREMAN_ATTEMPT", `${bench.order().manifest.runId}/build/a0001`);
const sleeping = (bench: EngineBench) => () =>
  ofAttempt(bench)().filter(({ command }) => command.includes("sleep 1000"));

async function until(holds: () => boolean, timeoutMs = 10_000): Promise<void> {
  for (const end = performance.now() + timeoutMs; !holds(); ) {
    if (performance.now() > end) throw new Error("it did not come true");
    await sleep(10); // other people's processes tell nothing
  }
}

describe.skipIf(!processesVisible)("the end of an attempt", { timeout: 40_000 }, () => {
  it("is a timeout that ends the tools' processes", async () => {
    await using bench = await openBench(stuck);
    const report = await bench.engine.execute(
      bench.order({ task: { timeoutSec: 5 } }),
      `w1-${process.pid}`,
      recordHooks(),
      never,
    );
    expect(report).toMatchObject({
      outcome: "failed",
      failureKind: "transient",
      exitCode: 124,
      error: { kind: "timeout" },
    });
    expect(report.tokens).toMatchObject({ input: 500, output: 20 });
    expect(ofAttempt(bench)()).toEqual([]);
  });

  it("is a cancellation that leaves no process, in under three seconds", async () => {
    await using bench = await openBench(stuck);
    const abort = new AbortController();
    const ending = bench.engine.execute(bench.order(), `w1-${process.pid}`, recordHooks(), abort.signal);
    await until(() => sleeping(bench)().length > 0);
    const startedAt = performance.now();
    abort.abort();
    expect(await ending).toMatchObject({ outcome: "cancelled", failureKind: "cancelled", tokens: { input: 500 } });
    expect(performance.now() - startedAt).toBeLessThan(3000);
    expect(ofAttempt(bench)()).toEqual([]);
  });

  it("cancels a worker that does not answer any more", async () => {
    await using bench = await openBench(stuck);
    const abort = new AbortController();
    const hooks = recordHooks();
    const ending = bench.engine.execute(bench.order(), `w1-${process.pid}`, hooks, abort.signal);
    await until(() => sleeping(bench)().length > 0);
    process.kill(hooks.workers[0]!.pid, "SIGSTOP");
    const startedAt = performance.now();
    abort.abort();
    expect(await ending).toMatchObject({ outcome: "cancelled", tokens: { input: 500 } });
    expect(performance.now() - startedAt).toBeLessThan(3000);
    expect(ofAttempt(bench)()).toEqual([]);
    await expectGone(() => processesWithEnvironment("FOREMAN_TEST_TAG", bench.folder.tag), 500);
  });

  it("is lost, with what it cost, when the wrapper is killed; the next attempt is not harmed", async () => {
    await using bench = await openBench(stuck);
    const hooks = recordHooks();
    const ending = bench.engine.execute(bench.order(), `w1-${process.pid}`, hooks, never);
    await until(() => sleeping(bench)().length > 0);
    process.kill(hooks.workers[0]!.pid, "SIGKILL");
    const report = await ending;
    expect(report).toMatchObject({
      outcome: "lost",
      failureKind: "lost",
      model: "mock/mock-1",
      error: { kind: "worker-died" },
    });
    expect(report.tokens).toEqual({ input: 500, output: 20, cacheRead: 0, cacheWrite: 0 });
    expect(report.costUsd).toBeCloseTo(bench.server.costUsd(), 10);
    expect(ofAttempt(bench)()).toEqual([]);
    bench.server.setReply(() => ({ text: "ok" }));
    const next = await bench.engine.execute(bench.order({ attempt: 2 }), `w2-${process.pid}`, recordHooks(), never);
    expect(next.outcome).toBe("completed");
  });

  it("sweeps what a completed attempt has left running", async () => {
    await using bench = await openBench(
      inTurn(
        { tools: [{ name: "bash", args: { command: "setsid sleep 1000 >/dev/null 2>&1 & echo left" } }] },
        { text: "ok" },
      ),
    );
    const report = await bench.engine.execute(bench.order(), `w1-${process.pid}`, recordHooks(), never);
    expect(report.outcome).toBe("completed");
    expect(ofAttempt(bench)()).toEqual([]);
  });

  it("is adopted from a killed owner: the same process, the same result, no second start", async () => {
    await using bench = await openBench(
      inTurn({ tools: [{ name: "bash", args: { command: "sleep 2; echo rested" } }] }, { text: "Slept well." }),
    );
    const { world: _world, ...options } = bench.options;
    const order = bench.order();
    const owner = spawn(
      process.execPath,
      [
        "--import",
        "tsx",
        fileURLToPath(new URL("owner.ts", import.meta.url)),
        JSON.stringify(options),
        JSON.stringify(order),
        `w7-${process.pid}`,
      ],
      { env: bench.folder.env, stdio: ["ignore", "pipe", "inherit"] },
    );
    const [line] = await new Promise<string[]>((resolve) =>
      owner.stdout.on("data", (data) => resolve(String(data).split("\n"))),
    );
    const worker = JSON.parse(line ?? "{}") as { pid: number };
    await bench.server.waitForRequest(({ end }) => end === "answered");
    owner.kill("SIGKILL");
    const hooks = recordHooks();
    const report = await bench.engine.execute(order, `w8-${process.pid}`, hooks, never);
    expect(hooks.workers).toEqual([{ workerId: `w7-${process.pid}`, pid: worker.pid, adopted: true }]);
    expect(report).toMatchObject({ outcome: "completed", summary: "Slept well.", tokens: { input: 200, output: 20 } });
    expect(bench.server.requests).toHaveLength(2);
    await expectGone(() => processesWithEnvironment("FOREMAN_TEST_TAG", bench.folder.tag), 2000);
    const again = await bench.engine.execute(order, `w9-${process.pid}`, hooks, never);
    expect(again).toEqual(report);
    expect(bench.server.requests).toHaveLength(2);
  });

  it("is cancelled by the new owner of an adopted worker", async () => {
    await using bench = await openBench(stuck);
    const order = bench.order();
    const first = bench.engine.execute(order, `w1-${process.pid}`, recordHooks(), never);
    first.catch(() => undefined);
    await until(() => sleeping(bench)().length > 0);
    await bench.engine.dispose();
    await expect(first).rejects.toBeInstanceOf(AttemptLetGo);
    expect(sleeping(bench)()).not.toEqual([]);
    const second = createLocalEngine(bench.options);
    const abort = new AbortController();
    const ending = second.execute(order, `w2-${process.pid}`, recordHooks(), abort.signal);
    setTimeout(() => abort.abort(), 100);
    expect(await ending).toMatchObject({ outcome: "cancelled", tokens: { input: 500 } });
    await expectGone(() => processesWithEnvironment("FOREMAN_TEST_TAG", bench.folder.tag), 500);
    await second.dispose();
  });
});
