import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { inTurn } from "../support/model-reply.ts";
import { never, openBench, recordHooks } from "./engine-bench.ts";

describe("an attempt in the local engine", { timeout: 30_000 }, () => {
  it("runs an agent with a tool call and sums its usage to the cent", async () => {
    await using bench = await openBench(
      inTurn(
        {
          text: "Looking.",
          tools: [{ name: "bash", args: { command: "echo $FOREMAN_ATTEMPT $TRACEPARENT; pwd" } }],
          usage: { input: 1000, output: 50 },
        },
        {
          tools: [{ name: "bash", args: { command: "echo two" } }],
          usage: { input: 1100, output: 60, cacheRead: 900 },
        },
        { text: "All done.", usage: { input: 1200, output: 70, cacheRead: 1000 } },
      ),
    );
    const hooks = recordHooks();
    const order = bench.order();
    const report = await bench.engine.execute(order, `w1-${process.pid}`, hooks, never);
    expect(bench.server.errors).toEqual([]);
    expect(report).toMatchObject({
      outcome: "completed",
      summary: "All done.",
      model: "mock/mock-1",
      error: null,
      failureKind: null,
      exitCode: 0,
    });
    const { requests: _count, ...totals } = bench.server.usageTotals();
    expect(report.tokens).toEqual(totals);
    expect(report.costUsd).toBeCloseTo(bench.server.costUsd(), 10);
    expect(hooks.workers).toHaveLength(1);
    expect(hooks.workers[0]).toMatchObject({ workerId: `w1-${process.pid}`, adopted: false });
    expect(hooks.told.length).toBeGreaterThan(0);

    const tool = bench.server.requests[1]?.request.lastToolText ?? "";
    expect(tool).toContain(`${order.manifest.runId}/build/a0001`);
    expect(tool).toContain(order.traceparent);
    expect(tool).toContain(bench.folder.project);
    expect(bench.server.requests[0]?.request.system).toContain("You are the executor of this test.");

    const read = async (name: string) => await readFile(join(order.folder, name), "utf8");
    const state = JSON.parse(await read("state.json"));
    expect(state).toMatchObject({ status: "ended", exitCode: 0, result: { ok: true, outcome: "completed" } });
    const events = (await read("worker.log"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.map(({ type }) => type)).toEqual([
      ...["run_prepared", "step_prepared", "worker_started", "worker_exited", "step_completed"],
    ]);
    expect(events.map(({ eventId }) => eventId)).toEqual([1, 2, 3, 4, 5].map((n) => `a0001:event:000${n}`));
    const types = (await read("stdout.log"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).type);
    expect(types[0]).toBe("session");
    expect(types).not.toContain("message_update");
    expect(JSON.parse(await read("heartbeat.json"))).toMatchObject({
      workerId: `w1-${process.pid}`,
      alive: true,
      pid: hooks.workers[0]?.pid,
      counter: 1,
    });
  });
});
