import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createLocalEngine } from "../../src/engines/local.ts";
import { giveUpAttempt, parseAttemptState } from "../../src/workers/attempt-folder.ts";
import { expectGone, processesVisible, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import { never, openBench, recordHooks } from "./engine-bench.ts";

/** What the command starts is gone again at any time. */
function signalled(pid: number, signal: "SIGSTOP" | "SIGCONT"): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it has ended
  }
}

/** Another machine's owner: the worker's process is not there to be asked for, nor to be ended. */
function elsewhere<W extends Parameters<typeof createLocalEngine>[0]["world"]>(world: W): W {
  const unseen = {
    alive: () => "unknown" as const,
    withEnvironment: () => [],
    kill: () => false,
    killGroup: () => false,
  };
  return { ...world, processes: { ...world.processes, ...unseen } };
}

describe.skipIf(!processesVisible)(
  "a worker that was frozen while its attempt was given up",
  { timeout: 60_000 },
  () => {
    it("ends when it wakes, with all it started, and writes no end", async () => {
      await using bench = await openBench(() => ({ text: "never asked" }));
      const workerId = `w1-${process.pid}`;
      const tagged = () => processesWithEnvironment("FOREMAN_WORKER", workerId);
      const command = "while :; do echo x >> marks; sleep 0.05; done";
      const order = bench.order({ task: { kind: "shell", command, agent: null } });
      const marks = () => readFileSync(join(bench.folder.project, "marks"), "utf8").length;
      const stateText = () => readFileSync(join(order.folder, "state.json"), "utf8");
      const hooks = recordHooks();
      const executed = bench.engine.execute(order, workerId, hooks, never);
      await waitUntil(() => hooks.workers.length > 0 && tagged().length > 0);
      await waitUntil(() => marks() > 0);
      const pids = [hooks.workers[0]?.pid ?? 0, ...tagged().map(({ pid }) => pid)];
      for (const pid of pids) signalled(pid, "SIGSTOP");

      const other = createLocalEngine({ ...bench.options, world: elsewhere(bench.world) });
      const lost = new AbortController();
      const told = recordHooks();
      const given = other.execute(order, workerId, told, lost.signal);
      await waitUntil(() => told.workers.length > 0);
      lost.abort("lost");
      expect(await given).toMatchObject({ outcome: "lost", failureKind: "lost" });
      await other.dispose();
      expect(parseAttemptState(stateText())).toMatchObject({ status: "running", workerId });

      for (const pid of pids) signalled(pid, "SIGCONT");
      expect(await executed).toMatchObject({ outcome: "lost" });
      await expectGone(tagged, 2000);
      const left = marks();
      expect(parseAttemptState(stateText())).toMatchObject({ status: "running", workerId });
      expect(marks()).toBe(left);
    });

    it("runs no tool that its model asks for by then", async () => {
      const tools = [{ name: "bash", args: { command: "echo > ran" } }];
      await using bench = await openBench(() => ({ tools, delayMs: 1500 }));
      const order = bench.order();
      const hooks = recordHooks();
      const executed = bench.engine.execute(order, `w2-${process.pid}`, hooks, never);
      await waitUntil(() => hooks.workers.length > 0);
      await giveUpAttempt(bench.world.files, order.folder);
      expect(await executed).toMatchObject({ outcome: "lost" });
      expect(existsSync(join(bench.folder.project, "ran"))).toBe(false);
    });
  },
);
