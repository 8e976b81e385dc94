import { mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { WrapperPool } from "../../src/engines/wrapper-pool.ts";
import { processesVisible, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import { type EngineBench, never, openBench } from "./engine-bench.ts";

const tagged = (bench: EngineBench) => () => processesWithEnvironment("FOREMAN_TEST_TAG", bench.folder.tag);

function poolOf(bench: EngineBench, change: Partial<ConstructorParameters<typeof WrapperPool>[0]> = {}): WrapperPool {
  return new WrapperPool({ ...bench.options, hostEntry: bench.options.hostEntry ?? "", ...change });
}

describe.skipIf(!processesVisible)("the pool of wrappers", { timeout: 40_000 }, () => {
  it("starts one ahead at a time, and demanded ones at once", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    const pool = poolOf(bench);
    pool.prepare(3);
    await waitUntil(() => tagged(bench)().length === 1);
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(tagged(bench)()).toHaveLength(1);
    await waitUntil(() => tagged(bench)().length === 3);
    await pool.dispose();

    const asked = poolOf(bench);
    asked.prepare(3);
    const taken = await Promise.all([asked.take(never), asked.take(never), asked.take(never)]);
    expect(new Set(taken).size).toBe(3);
    expect(tagged(bench)()).toHaveLength(3);
    for (const wrapper of taken) asked.discard(wrapper);
    await asked.dispose();
    expect(tagged(bench)()).toEqual([]);
  });

  it("never has more than it may: who wants another one waits, or gives up", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    const pool = poolOf(bench, { processesMax: 2 });
    pool.prepare(5);
    const [one] = await Promise.all([pool.take(never), pool.take(never)]);
    const abort = new AbortController();
    const givenUp = pool.take(abort.signal);
    const third = pool.take(never);
    abort.abort();
    await expect(givenUp).rejects.toThrow("given up");
    await one?.started;
    expect(tagged(bench)()).toHaveLength(2);
    if (one) pool.giveBack(one);
    expect(await third).toBe(one);
    const waiting = pool.take(never);
    waiting.catch(() => undefined);
    await pool.dispose();
    await expect(waiting).rejects.toThrow("disposed");
    await expect(pool.take(never)).rejects.toThrow("disposed");
  });

  it("survives a disk that refuses to remove a wrapper's output", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    const remove = () => Promise.reject(Object.assign(new Error("read-only"), { code: "EROFS" }));
    const rejections: unknown[] = [];
    const note = (reason: unknown) => rejections.push(reason);
    process.on("unhandledRejection", note);
    const pool = poolOf(bench, { world: { ...bench.world, files: { ...bench.world.files, remove } }, warmIdleMs: 100 });
    pool.prepare(1);
    await waitUntil(() => tagged(bench)().length === 1);
    await waitUntil(() => tagged(bench)().length === 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await pool.dispose();
    process.off("unhandledRejection", note);
    expect(rejections).toEqual([]);
  });

  it("removes the output of wrappers that died long ago", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    const folder = join(bench.folder.agent, "crew", "workers");
    mkdirSync(folder, { recursive: true });
    const longAgo = Date.now() / 1000 - 2 * 24 * 3600;
    for (const name of ["old.log", "young.log", "old.txt"]) writeFileSync(join(folder, name), "x");
    for (const name of ["old.log", "old.txt"]) utimesSync(join(folder, name), longAgo, longAgo);
    const pool = poolOf(bench);
    pool.discard(await pool.take(never));
    await waitUntil(() => !readdirSync(folder).includes("old.log"));
    expect(readdirSync(folder)).toEqual(expect.arrayContaining(["young.log", "old.txt"]));
    await pool.dispose();
  });

  it("leaves nothing in a wrapper for each attempt it did", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    let waiters = 0;
    const fork: typeof bench.world.processes.fork = (options) => {
      const child = bench.world.processes.fork(options);
      return new Proxy(child, {
        get: (target, name) => {
          if (name === "exited") waiters += 1;
          const value = Reflect.get(target, name, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    };
    const world = { ...bench.world, processes: { ...bench.world.processes, fork } };
    const pool = poolOf(bench, { world });
    for (let attempt = 0; attempt < 5; attempt += 1) pool.giveBack(await pool.take(never));
    expect(waiters).toBe(1);
    await pool.dispose();
  });
});
