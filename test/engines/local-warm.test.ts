import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createLocalEngine } from "../../src/engines/local.ts";
import { expectGone, processesVisible, processesWithEnvironment } from "../support/processes.ts";
import { makeFolder, never, openBench, recordHooks } from "./engine-bench.ts";

describe("a warm worker", { timeout: 30_000 }, () => {
  it("does two attempts in one process, each with a session of its own", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    const hooks = recordHooks();
    await bench.engine.execute(bench.order({ prompt: "First task." }), `w1-${process.pid}`, hooks, never);
    await bench.engine.execute(
      bench.order({ prompt: "Second task.", taskId: "other", agent: { prompt: "Another agent." } }),
      `w2-${process.pid}`,
      hooks,
      never,
    );
    expect(hooks.workers[1]?.pid).toBe(hooks.workers[0]?.pid);
    const second = bench.server.requests[1]?.request;
    expect(second?.messages.filter(({ role }) => role === "user")).toHaveLength(1);
    expect(second?.firstUserText).toBe("Second task.");
    expect(second?.system).toContain("Another agent.");
    expect(second?.system).not.toContain("You are the executor");
  });

  it("works where it is told, with that folder's own context", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    await bench.engine.execute(bench.order(), `w1-${process.pid}`, recordHooks(), never);
    const elsewhere = await makeFolder(join(bench.folder.home, "elsewhere"));
    writeFileSync(join(elsewhere, "AGENTS.md"), "The elephant is grey.");
    await bench.engine.execute(bench.order({ attempt: 2, cwd: elsewhere }), `w2-${process.pid}`, recordHooks(), never);
    expect(bench.server.requests[1]?.request.system).toContain("The elephant is grey.");
    expect(bench.server.requests[0]?.request.system).not.toContain("The elephant is grey.");
  });

  it("sees settings changed while it was idle", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    await bench.engine.execute(bench.order(), `w1-${process.pid}`, recordHooks(), never);
    await new Promise((resolve) => setTimeout(resolve, 300)); // until the next services are made
    await bench.folder.changeSettings({ defaultModel: "mock-2" });
    const report = await bench.engine.execute(bench.order({ attempt: 2 }), `w2-${process.pid}`, recordHooks(), never);
    expect(report.model).toBe("mock/mock-2");
  });

  it("is ended when idle too long, when too many, and at disposal", async () => {
    await using bench = await openBench(() => ({ text: "ok", delayMs: 300 }), { idleMax: 1, warmIdleMs: 1500 });
    const wrappers = () => processesWithEnvironment("FOREMAN_TEST_TAG", bench.folder.tag);
    const run = (taskId: string) => bench.engine.execute(bench.order({ taskId }), `w-${taskId}`, recordHooks(), never);
    await Promise.all([run("one"), run("two"), run("three")]);
    await new Promise((resolve) => setTimeout(resolve, 500)); // the superfluous ones leave
    expect(wrappers()).toHaveLength(1);
    await expectGone(wrappers, 4000);
  });

  it.skipIf(!processesVisible)("is started ahead", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    bench.engine.prepare(2);
    bench.engine.prepare(2);
    await bench.engine.execute(bench.order(), `w1-${process.pid}`, recordHooks(), never);
    expect(processesWithEnvironment("FOREMAN_TEST_TAG", bench.folder.tag)).toHaveLength(2);
  });

  it("asks its first question within milliseconds", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    const times: number[] = [];
    for (let attempt = 1; attempt <= 12; attempt += 1) {
      const startedAt = performance.now();
      await bench.engine.execute(bench.order({ attempt }), `w${attempt}`, recordHooks(), never);
      times.push((bench.server.requests.at(-1)?.startedAt ?? 0) - startedAt);
      await new Promise((resolve) => setTimeout(resolve, 150)); // idle, as between the steps of a run
    }
    const warm = times.slice(1).sort((a, b) => a - b);
    const median = warm[Math.floor(warm.length / 2)] ?? Number.NaN;
    console.log(
      `first request: cold ${times[0]?.toFixed(0)} ms, warm median ${median.toFixed(1)} ms, all ${warm.map((t) => t.toFixed(0)).join(" ")}`,
    );
    expect(median).toBeLessThan(300);
  });
});

describe("what an agent asks for", { timeout: 30_000 }, () => {
  it("gets its model, its tools and no more turns than it may have", async () => {
    await using bench = await openBench(() => ({ tools: [{ name: "bash", args: { command: "true" } }] }));
    const agent = {
      models: ["nonsense", "mock-2"],
      tools: ["bash", "read", "write"],
      disallowedTools: ["write"],
      maxTurns: 2,
    };
    const report = await bench.engine.execute(bench.order({ agent }), `w1-${process.pid}`, recordHooks(), never);
    expect(report).toMatchObject({
      outcome: "failed",
      failureKind: "permanent",
      error: { kind: "max-turns" },
      model: "mock/mock-2",
    });
    expect(bench.server.usageTotals().requests).toBe(2);
    expect(bench.server.requests[0]?.request.tools.toSorted()).toEqual(["bash", "read"]);
  });

  it("loses only the tools it must not have", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    await bench.engine.execute(
      bench.order({ agent: { disallowedTools: ["write", "edit"] } }),
      `w1-${process.pid}`,
      recordHooks(),
      never,
    );
    expect(bench.server.requests[0]?.request.tools.toSorted()).toEqual(["bash", "read"]);
  });

  it("is told which model is missing", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    const report = await bench.engine.execute(
      bench.order({ agent: { models: ["gpt-99"] } }),
      `w1-${process.pid}`,
      recordHooks(),
      never,
    );
    expect(report).toMatchObject({ outcome: "failed", failureKind: "permanent", error: { kind: "model" } });
    expect(report.error?.message).toMatch(
      /"gpt-99" is no model that can be used here\. Usable here: mock\/mock-1, mock\/mock-2\. Change `model` of the agent/,
    );
  });

  it("fails by its own verdict, and by the provider's", async () => {
    await using bench = await openBench(() => ({ text: "I looked.\n\nVERDICT: FAIL two tests are red" }));
    const run = (attempt: number) =>
      bench.engine.execute(bench.order({ attempt }), `w1-${process.pid}`, recordHooks(), never);
    expect(await run(1)).toMatchObject({
      outcome: "failed",
      failureKind: "permanent",
      error: { kind: "verdict", message: "VERDICT: FAIL two tests are red" },
    });
    bench.server.setReply(() => ({ text: "Verdict: blocked no key" }));
    expect(await run(2)).toMatchObject({ outcome: "blocked" });
    bench.server.setReply(() => ({ status: 503, error: "overloaded" }));
    expect(await run(3)).toMatchObject({
      outcome: "failed",
      failureKind: "transient",
      error: { kind: "model-request" },
    });
    bench.server.setReply(() => ({ status: 401, error: "bad key" }));
    expect(await run(4)).toMatchObject({ outcome: "failed", failureKind: "permanent" });
  });

  it("has the user's extensions, and what they print is in stderr.log", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    const folder = join(bench.folder.agent, "extensions");
    mkdirSync(folder);
    writeFileSync(
      join(folder, "hello.ts"),
      `export default (pi) => {
        pi.on("session_start", () => console.log("hello from the extension"));
        pi.on("session_shutdown", () => console.log("bye from the extension"));
        pi.registerTool({ name: "hello", label: "hello", description: "says hello", parameters: { type: "object", properties: {} }, execute: async () => ({ content: [], details: {} }) });
      };`,
    );
    const order = bench.order();
    await bench.engine.execute(order, `w1-${process.pid}`, recordHooks(), never);
    expect(bench.server.requests[0]?.request.tools).toContain("hello");
    const stderr = await bench.world.files.readText(join(order.folder, "stderr.log"));
    expect(stderr).toContain("hello from the extension");
    expect(stderr).toContain("bye from the extension");
  });
});

describe("an engine that can't start workers", { timeout: 30_000 }, () => {
  it("says so instead of throwing", async () => {
    await using bench = await openBench(() => ({ text: "ok" }));
    const report = async (change: Partial<typeof bench.options>, attempt: number) => {
      const engine = createLocalEngine({ ...bench.options, ...change });
      engine.prepare(1);
      const result = await engine.execute(bench.order({ attempt }), `w1-${process.pid}`, recordHooks(), never);
      await engine.dispose();
      return result;
    };
    expect(await report({ hostEntry: null }, 1)).toMatchObject({ outcome: "blocked" });
    const noHost = await report({ hostEntry: "/nowhere/index.js" }, 2);
    expect(noHost).toMatchObject({ outcome: "blocked", error: { kind: "host-sdk" } });
    expect(noHost.error?.message).toContain("/nowhere/index.js");
    const noNode = await report({ execPath: "/nowhere/node" }, 3);
    expect(noNode).toMatchObject({ outcome: "lost", error: { kind: "worker-died" } });
    expect(noNode.error?.message).toContain("could not be started");
  });
});
