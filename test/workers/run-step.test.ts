import { mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { AttemptKind, KindResult } from "../../src/workers/kind.ts";
import { emptyResult } from "../../src/workers/kind.ts";
import { prepareStep, runStep } from "../../src/workers/run-step.ts";
import { expectGone, processesVisible, processesWithEnvironment } from "../support/processes.ts";
import { kinds, quietWorld, stepBench } from "./step-bench.ts";

const done: KindResult = { ...emptyResult, outcome: "completed", failureKind: null, summary: "my words", exitCode: 0 };

function kindOf(run: AttemptKind["run"]): AttemptKind {
  return { prepare: async () => undefined, partial: () => null, run };
}

describe("a step by hand", { timeout: 30_000 }, () => {
  it("is prepared: its folder is there, what was asked is written, nothing is done", async () => {
    const step = await stepBench({ command: "echo done > done" });
    const prepared = await prepareStep(quietWorld, step.request);
    expect(prepared).toMatchObject({ ok: false, outcome: "prepared", attemptOutcome: null, workerKind: "shell" });
    const { attemptFolder } = step.request.runtime;
    const meta = JSON.parse(await readFile(join(attemptFolder, "meta.json"), "utf8"));
    expect(meta).toEqual({ attemptId: "a0001", request: step.request });
    await expect(readFile(join(step.work, "done"))).rejects.toMatchObject({ code: "ENOENT" });
    expect(await prepareStep(quietWorld, step.request)).toMatchObject({
      outcome: "prepared",
      lifecycleEvents: prepared.lifecycleEvents,
    });
    const events = prepared.lifecycleEvents.map(({ seq, eventId, type }) => [seq, eventId, type]);
    expect(events).toEqual([
      [1, "a0001:event:0001", "run_prepared"],
      [2, "a0001:event:0002", "step_prepared"],
    ]);
    expect(await step.lifecycle()).toEqual(prepared.lifecycleEvents);
    // and is then done in the same folder, whose events go on
    const result = await step.run();
    expect(result).toMatchObject({ ok: true });
    expect(await step.lifecycle()).toEqual(result.lifecycleEvents);
    expect(result.lifecycleEvents.slice(0, 2)).toEqual(prepared.lifecycleEvents);
    expect(result.lifecycleEvents.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
    expect(`${await readFile(join(step.work, "done"))}`).toBe("done\n");
  });

  it("is done by an executor that was plugged in, and by nobody when there is none of its kind", async () => {
    const step = await stepBench({ workerKind: "my-kind", stepKind: "my-kind" });
    const mine = kindOf(async (request, context) => {
      await context.claimed;
      context.bytes("stdout", Buffer.from(`tagged ${context.environment["FOREMAN_WORKER"]}`));
      return { ...done, summary: request.workerKind, suggestedFollowup: "go on" };
    });
    const result = await runStep(quietWorld, step.request, { workerId: step.workerId, kinds: { "my-kind": mine } });
    expect(result).toMatchObject({ ok: true, summary: "my-kind", suggestedFollowup: "go on", workerKind: "my-kind" });
    expect(`${await step.log("stdout")}`).toBe(`tagged ${step.workerId}`);
    expect(process.env["FOREMAN_WORKER"]).toBeUndefined();

    const other = await stepBench({ workerKind: "my-kind", stepKind: "my-kind" });
    expect(await other.run()).toMatchObject({ outcome: "blocked", needsHuman: true, error: { kind: "worker-kind" } });
  });

  it("is refused a folder that lies elsewhere for each process", async () => {
    for (const attemptFolder of ["tasks/t/a0001", "../a0001", "", "/tmp/\0"]) {
      const step = await stepBench({ command: "echo done > done" });
      const request = { ...step.request, runtime: { ...step.request.runtime, attemptFolder } };
      const refused = { code: "attempt-folder", message: expect.stringContaining(JSON.stringify(attemptFolder)) };
      await expect(prepareStep(quietWorld, request)).rejects.toMatchObject(refused);
      const options = { workerId: step.workerId, kinds };
      await expect(runStep(quietWorld, request, options)).rejects.toMatchObject(refused);
      await expect(readFile(join(step.work, "done"))).rejects.toMatchObject({ code: "ENOENT" });
    }
  });

  it("is refused a folder below a link that was planted for its task", async () => {
    const step = await stepBench({ command: "echo done > done" });
    const elsewhere = join(step.work, "elsewhere");
    await mkdir(elsewhere);
    const attemptFolder = join(step.work, "tasks/t/a0001");
    await mkdir(join(step.work, "tasks"));
    await symlink(elsewhere, join(step.work, "tasks/t"));
    const request = { ...step.request, runtime: { ...step.request.runtime, attemptFolder } };
    const doing = runStep(quietWorld, request, { workerId: step.workerId, kinds });
    await expect(doing).rejects.toThrow("must be a real folder");
    expect(await readdir(elsewhere)).toEqual([]);
  });

  it("is done once, whoever comes second", async () => {
    const step = await stepBench({ command: "echo once >> count" });
    await step.run();
    await expect(step.run()).rejects.toMatchObject({ code: "step-refused" });
    expect(`${await readFile(join(step.work, "count"))}`).toBe("once\n");
  });
});

describe("the verify command of a step", { timeout: 30_000 }, () => {
  it("lets the work count when it exits 0, in the same folder and environment", async () => {
    const env = { FOREMAN_GOAL: "the goal" };
    const step = await stepBench({ command: "echo made > made", verify: 'cat made; echo "$FOREMAN_GOAL"', env });
    const result = await step.run();
    expect(result).toMatchObject({ ok: true, outcome: "completed", summary: "" });
    expect(`${await step.log("stderr")}`).toBe('[verify: cat made; echo "$FOREMAN_GOAL"]\nmade\nthe goal\n');
    expect(`${await step.log("stdout")}`).toBe("");
  });

  it("fails it otherwise, and its output is told to whoever tries again", async () => {
    const step = await stepBench({ command: "echo my report", verify: "echo 1 failing >&2; exit 4" });
    const result = await step.run();
    expect(result).toMatchObject({ outcome: "failed", failureKind: "transient", error: { kind: "verify" } });
    expect(result.error?.message).toBe("verify (echo 1 failing >&2; exit 4) exited with 4:\n1 failing");
    expect(result.summary).toBe(`my report\n\n${result.error?.message}`);
    expect(result.metadata.exitCode).toBe(4);
    expect((await step.lifecycle()).at(-1)).toMatchObject({ type: "step_failed" });
  });

  it("is not asked about work that failed", async () => {
    const step = await stepBench({ command: "exit 1", verify: "echo > asked" });
    expect(await step.run()).toMatchObject({ outcome: "failed", error: { kind: "exit" } });
    await expect(readFile(join(step.work, "asked"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it.skipIf(!processesVisible)("has no more time than the attempt, and the work is not lost with it", async () => {
    const step = await stepBench({ workerKind: "my-kind", stepKind: "my-kind", timeoutSec: 0.4, verify: "sleep 1000" });
    const mine = kindOf(async (_request, context) => {
      await context.claimed;
      return { ...done, costUsd: 0.25 };
    });
    const result = await runStep(quietWorld, step.request, { workerId: step.workerId, kinds: { "my-kind": mine } });
    expect(result).toMatchObject({ outcome: "failed", error: { kind: "timeout" }, summary: "my words" });
    expect(result.metrics.costUsd).toBe(0.25);
    await expectGone(() => processesWithEnvironment("FOREMAN_WORKER", step.workerId));
  });
});
