import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { AttemptLetGo } from "../../src/engines/local-attempt.ts";
import { LET_GO } from "../../src/runs/execute.ts";
import { processesVisible, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import { type EngineBench, never, openBench, recordHooks } from "./engine-bench.ts";

const wrappers = (bench: EngineBench) => processesWithEnvironment("FOREMAN_TEST_TAG", bench.folder.tag);

/** An attempt that waits for its model's answer, and nobody follows any more. */
async function letGo() {
  let answer: () => void = () => undefined;
  const answered = new Promise<void>((done) => {
    answer = done;
  });
  const bench = await openBench(async () => {
    await answered;
    return { text: "done" };
  });
  const order = bench.order();
  const workerId = `w1-${process.pid}`;
  const hooks = recordHooks();
  const following = new AbortController();
  const first = bench.engine.execute(order, workerId, hooks, following.signal);
  await waitUntil(() => hooks.workers.length > 0, 30_000);
  following.abort(LET_GO);
  await expect(first).rejects.toBeInstanceOf(AttemptLetGo);
  const again = async () => {
    const next = recordHooks();
    const report = bench.engine.execute(order, workerId, next, never);
    await waitUntil(() => next.workers.length > 0, 30_000);
    return { report, worker: next.workers[0] };
  };
  /** The process of the next attempt, of another task. */
  const next = async () => {
    const other = recordHooks();
    await bench.engine.execute(bench.order({ taskId: "other" }), `w2-${process.pid}`, other, never);
    return other.workers[0]?.pid;
  };
  return { bench, order, pid: hooks.workers[0]?.pid, answer, again, next };
}

describe.skipIf(!processesVisible)("an attempt that was let go of", { timeout: 90_000 }, () => {
  it("is followed again in the same process, which then does the next one", async () => {
    const { bench, pid, answer, again, next } = await letGo();
    await using _bench = bench;
    const { report, worker } = await again();
    expect(worker).toMatchObject({ pid, adopted: true });
    answer();
    expect(await report).toMatchObject({ outcome: "completed", summary: "done" });
    expect(await next()).toBe(pid);
    expect(bench.server.requests).toHaveLength(2);
    expect(wrappers(bench)).toHaveLength(1);
  });

  it("ends by itself, is read from its record, and its process does the next one", async () => {
    const { bench, order, pid, answer, again, next } = await letGo();
    await using _bench = bench;
    answer();
    await waitUntil(async () => (await readFile(join(order.folder, "state.json"), "utf8")).includes('"ended"'), 30_000);
    // written after its owner was told
    await waitUntil(() => existsSync(join(bench.folder.agent, "crew/metrics/attempts.jsonl")), 30_000);
    expect(await next()).toBe(pid);
    const { result } = JSON.parse(await readFile(join(order.folder, "state.json"), "utf8"));
    const recorded = { durationMs: result.durationMs, finishedAt: Date.parse(result.finishedAt) };
    expect(await (await again()).report).toMatchObject({ outcome: "completed", summary: "done", ...recorded });
    expect(bench.server.requests).toHaveLength(2);
    expect(wrappers(bench)).toHaveLength(1);
  });
});
