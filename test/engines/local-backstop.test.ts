import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createLocalEngine } from "../../src/engines/local.ts";
import { AttemptLetGo } from "../../src/engines/local-attempt.ts";
import { attemptPaths } from "../../src/workers/attempt-folder.ts";
import { inTurn } from "../support/model-reply.ts";
import { expectGone, processesVisible, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import { type EngineBench, never, openBench, recordHooks } from "./engine-bench.ts";

const stuck = inTurn({ tools: [{ name: "bash", args: { command: "sleep 1000" } }], usage: { input: 500 } });
const limits = { claimMs: 1500, marginMs: 500 };

function extension(bench: EngineBench, source: string): void {
  const folder = join(bench.folder.agent, "extensions");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "probe.ts"), `export default (pi) => { ${source} };`);
}

/** A main file that is there in place of the host's SDK. */
function hostFile(bench: EngineBench, source: string): string {
  const path = join(bench.folder.home, "host.mjs");
  writeFileSync(path, source);
  return path;
}

const tagged = (bench: EngineBench) => () => processesWithEnvironment("FOREMAN_TEST_TAG", bench.folder.tag);

describe.skipIf(!processesVisible)("the owner as backstop", { timeout: 40_000 }, () => {
  it("ends an attempt whose wrapper is blocked, with all it started", async () => {
    await using bench = await openBench(stuck, { limits: { ...limits, claimMs: 20_000 } });
    extension(bench, `pi.on("tool_execution_start", () => setTimeout(() => { for (;;); }, 250));`);
    const startedAt = performance.now();
    // on a slow machine, too, it is blocked before it can end the attempt itself
    const order = bench.order({ task: { timeoutSec: 8 } });
    const report = await bench.engine.execute(order, `w1-${process.pid}`, recordHooks(), never);
    expect(report).toMatchObject({
      outcome: "failed",
      failureKind: "transient",
      exitCode: 124,
      error: { kind: "timeout" },
      tokens: { input: 500 },
      usage: [{ model: "mock/mock-1", tokens: { input: 500 } }],
    });
    expect(performance.now() - startedAt).toBeLessThan(25_000);
    await expectGone(tagged(bench), 500);
  });

  it("ends an adopted attempt that is past its limit, counting what passed before", async () => {
    await using bench = await openBench(stuck);
    const order = bench.order({ task: { timeoutSec: 4 } });
    const hooks = recordHooks();
    const first = bench.engine.execute(order, `w1-${process.pid}`, hooks, never);
    first.catch(() => undefined);
    await waitUntil(() => hooks.workers.length > 0 && bench.server.requests.length > 0);
    await bench.engine.dispose();
    process.kill(hooks.workers[0]!.pid, "SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const second = createLocalEngine({ ...bench.options, limits });
    const startedAt = performance.now();
    const report = await second.execute(order, `w2-${process.pid}`, recordHooks(), never);
    expect(report).toMatchObject({ outcome: "failed", error: { kind: "timeout" } });
    // 4 s, the grace of 3 s and the margin, less the 3 s before
    expect(performance.now() - startedAt).toBeLessThan(6000);
    await expectGone(tagged(bench), 500);
    await second.dispose();
  });

  it.each([
    ["lets an adopted attempt go on that was awake for less", null, { outcome: "completed", summary: "ok" }],
    ["ends an adopted attempt that was awake for longer", 1000, { outcome: "failed", error: { kind: "timeout" } }],
  ])("%s than its limit, hours ago as it began by the wall clock", async (_, counter, end) => {
    await using bench = await openBench(
      inTurn({ tools: [{ name: "bash", args: { command: "sleep 7" } }] }, { text: "ok" }),
    );
    const order = bench.order({ task: { timeoutSec: 60 } });
    const hooks = recordHooks();
    const first = bench.engine.execute(order, `w1-${process.pid}`, hooks, never);
    first.catch(() => undefined);
    await waitUntil(() => hooks.told.some(({ tool }) => tool === "bash"));
    await bench.engine.dispose();
    if (counter !== null) {
      // its own beats would follow
      process.kill(hooks.workers[0]!.pid, "SIGSTOP");
      const { heartbeat } = attemptPaths(order.folder);
      writeFileSync(heartbeat, JSON.stringify({ ...JSON.parse(await readFile(heartbeat, "utf8")), counter }));
    }
    const { clock } = bench.world;
    const later = Object.assign(Object.create(clock), { now: () => clock.now() + 3 * 3_600_000 });
    const second = createLocalEngine({ ...bench.options, world: { ...bench.world, clock: later }, limits });
    expect(await second.execute(order, `w2-${process.pid}`, recordHooks(), never)).toMatchObject(end);
    await second.dispose();
  });

  it("gives up a wrapper that never takes the attempt, and tells of no worker", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    const engine = createLocalEngine({ ...bench.options, limits, hostEntry: hostFile(bench, "for (;;);") });
    const hooks = recordHooks();
    const report = await engine.execute(bench.order(), `w1-${process.pid}`, hooks, never);
    expect(report).toMatchObject({ outcome: "lost", failureKind: "lost", error: { kind: "worker-start" } });
    expect(hooks.workers).toEqual([]);
    await expectGone(tagged(bench), 500);
    await engine.dispose();
  });

  it("takes a wrapper without a channel for gone", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    const there = join(bench.folder.home, "there");
    const block = `() => { writeFileSync(${JSON.stringify(there)}, ""); for (;;); }`;
    const source = `import { writeFileSync } from "node:fs"; process.on("disconnect", ${block}); process.disconnect();`;
    const hostEntry = hostFile(bench, source);
    const engine = createLocalEngine({ ...bench.options, hostEntry });
    engine.prepare(1);
    await waitUntil(() => existsSync(there));
    await new Promise((resolve) => setTimeout(resolve, 100));
    const report = await engine.execute(bench.order(), `w1-${process.pid}`, recordHooks(), never);
    expect(report).toMatchObject({ outcome: "lost", error: { kind: "worker-died" } });
    await expectGone(tagged(bench), 500);
    await engine.dispose();
  });

  it("ends a worker that the heartbeat watcher has given up, as lost", async () => {
    await using bench = await openBench(stuck);
    const lost = new AbortController();
    const hooks = recordHooks();
    const ending = bench.engine.execute(bench.order(), `w1-${process.pid}`, hooks, lost.signal);
    await waitUntil(() => hooks.told.some(({ tool }) => tool === "bash"));
    process.kill(hooks.workers[0]!.pid, "SIGSTOP");
    lost.abort("lost");
    expect(await ending).toMatchObject({
      outcome: "lost",
      failureKind: "lost",
      error: { kind: "heartbeat-dead" },
      tokens: { input: 500 },
    });
    await expectGone(tagged(bench), 500);
  });

  it("does not signal a wrapper that was given back and is at another attempt", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    // the first attempt's follower never sees the end, as when the disk is slow
    let blindTo = "";
    const { files } = bench.world;
    const facts: typeof files.facts = async (path) => {
      const found = await files.facts(path);
      return found && path.startsWith(blindTo) && blindTo !== ""
        ? { ...found, inode: 1, bytes: 1, modifiedMs: 1 }
        : found;
    };
    const world = { ...bench.world, files: { ...files, facts } };
    const engine = createLocalEngine({ ...bench.options, world });
    const one = bench.order({ taskId: "one" });
    const two = bench.order({ taskId: "two" });
    const hooks = recordHooks();
    const cancelOne = new AbortController();
    bench.server.setReply(() => ({ text: "ok", delayMs: 600 }));
    const first = engine.execute(one, `w1-${process.pid}`, hooks, cancelOne.signal);
    await waitUntil(() => hooks.workers.length > 0);
    blindTo = one.folder;
    await waitUntil(async () => (await readFile(join(one.folder, "state.json"), "utf8")).includes("ended"));
    await new Promise((resolve) => setTimeout(resolve, 100));
    bench.server.setReply(() => ({ text: "two done", delayMs: 3000 }));
    const secondHooks = recordHooks();
    const second = engine.execute(two, `w2-${process.pid}`, secondHooks, never);
    await waitUntil(() => secondHooks.workers.length > 0);
    expect(secondHooks.workers[0]?.pid).toBe(hooks.workers[0]?.pid);
    cancelOne.abort();
    expect(await second).toMatchObject({ outcome: "completed", summary: "two done" });
    await first;
    await engine.dispose();
  });
});

describe.skipIf(!processesVisible)("taking over", { timeout: 40_000 }, () => {
  const takeOver = async (bench: EngineBench) => {
    const order = bench.order();
    const hooks = recordHooks();
    const first = bench.engine.execute(order, `w1-${process.pid}`, hooks, never);
    first.catch(() => undefined);
    await waitUntil(() => hooks.told.some(({ tool }) => tool === "bash"));
    await bench.engine.dispose();
    return order;
  };

  it("reads again what could not be read for a moment", async () => {
    await using bench = await openBench(
      inTurn({ tools: [{ name: "bash", args: { command: "sleep 1" } }] }, { text: "ok" }),
    );
    const order = await takeOver(bench);
    let failures = 2;
    const readText: typeof bench.world.files.readText = (path) => {
      if (path.endsWith("state.json") && failures-- > 0) return Promise.reject(new Error("EMFILE"));
      return bench.world.files.readText(path);
    };
    const world = { ...bench.world, files: { ...bench.world.files, readText } };
    const second = createLocalEngine({ ...bench.options, world });
    const report = await second.execute(order, `w2-${process.pid}`, recordHooks(), never);
    expect(report).toMatchObject({ outcome: "completed", summary: "ok" });
    await second.dispose();
  });

  it("ends what is at an attempt that can't be read before it calls it lost", async () => {
    await using bench = await openBench(stuck);
    const order = await takeOver(bench);
    renameSync(join(order.folder, "state.json"), join(order.folder, "was.json"));
    mkdirSync(join(order.folder, "state.json"));
    const second = createLocalEngine(bench.options);
    const report = await second.execute(order, `w1-${process.pid}`, recordHooks(), never);
    expect(report).toMatchObject({ outcome: "lost", failureKind: "lost", error: { kind: "attempt-unreadable" } });
    await expectGone(tagged(bench), 500);
    await second.dispose();
  });
});

describe.skipIf(!processesVisible)("disposal while an attempt starts", { timeout: 40_000 }, () => {
  it.each([0, 1, 3, 10, 30, 80])("leaves nothing behind after %i ms", async (delayMs) => {
    await using bench = await openBench(() => ({ text: "ok" }));
    bench.engine.prepare(2);
    const running = bench.engine.execute(bench.order(), `w1-${process.pid}`, recordHooks(), never).catch((e) => e);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    await bench.engine.dispose();
    expect(await running).toBeInstanceOf(AttemptLetGo);
    bench.engine.prepare(2);
    await expectGone(tagged(bench), 3000);
  });
});
