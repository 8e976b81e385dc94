import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { expectGone, processesVisible, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import { stepBench } from "./step-bench.ts";

const MB = 1024 * 1024;

describe("a shell step", { timeout: 60_000 }, () => {
  it("completes with exit 0; its output is the summary, and its folder and environment are the step's", async () => {
    const env = { TRACEPARENT: "00-aa-bb-01", FOREMAN_GOAL: "x; touch injected `touch injected`" };
    const command = `pwd; printf '%s\\n' "$FOREMAN_GOAL" "$TRACEPARENT"; cat; echo warned >&2`;
    const step = await stepBench({ command, env });
    const result = await step.run();
    const printed = `${step.work}\n${env.FOREMAN_GOAL}\n00-aa-bb-01`;
    expect(result).toMatchObject({ ok: true, outcome: "completed", summary: printed, error: null });
    expect(result.metadata).toMatchObject({ exitCode: 0, model: null, workerId: step.workerId });
    expect(result.logSummary).toEqual({
      stdoutBytes: Buffer.byteLength(printed) + 1,
      stderrBytes: "warned\n".length,
      cut: false,
      droppedWrites: 0,
    });
    expect(`${await step.log("stdout")}`).toBe(`${printed}\n`);
    expect(`${await step.log("stderr")}`).toBe("warned\n");
    expect((await step.lifecycle()).map(({ type }) => type)).toEqual([
      "run_prepared",
      "step_prepared",
      "worker_started",
      "worker_exited",
      "step_completed",
    ]);
  });

  it.each([
    ["exit 3", { outcome: "failed", failureKind: "transient", error: { kind: "exit" } }, 3],
    ["no-such-program-at-all", { outcome: "blocked", blocked: true, error: { kind: "missing-program" } }, 127],
    ["kill -9 $$", { outcome: "failed", failureKind: "transient", error: { kind: "signal" } }, 1],
  ])("tells the end of %s", async (command, end, exitCode) => {
    const step = await stepBench({ command: `echo the reason >&2; ${command}` });
    const result = await step.run();
    expect(result).toMatchObject(end);
    expect(result.metadata.exitCode).toBe(exitCode);
    expect(result.error?.message).toContain("the reason");
  });

  it("fails where its folder is not there, and says which", async () => {
    const step = await stepBench({ command: "true", work: "/nowhere/at-all" });
    const { error, outcome } = await step.run();
    expect(outcome).toBe("failed");
    expect(error).toEqual({ kind: "work-folder", message: "The work folder /nowhere/at-all is not there." });
  });

  it.skipIf(!processesVisible)("ends what it left behind, in its group and out of it", async () => {
    const step = await stepBench({ command: "sleep 1000 & setsid sleep 1000 & echo started" });
    expect(await step.run()).toMatchObject({ ok: true, summary: "started" });
    await expectGone(() => processesWithEnvironment("FOREMAN_WORKER", step.workerId));
  });

  it.skipIf(!processesVisible)("is ended by its time limit, with the children that ignore TERM", async () => {
    const command = "trap '' TERM; (trap '' TERM; sleep 1000) & echo on; while :; do sleep 1; done";
    const step = await stepBench({ command, timeoutSec: 0.5 });
    const result = await step.run();
    expect(result).toMatchObject({ outcome: "failed", failureKind: "transient", error: { kind: "timeout" } });
    expect(result.metadata.exitCode).toBe(124);
    expect(result.summary).toBe("on");
    await expectGone(() => processesWithEnvironment("FOREMAN_WORKER", step.workerId));
  });

  it.skipIf(!processesVisible)("is given the time to end well when it is cancelled", async () => {
    const step = await stepBench({ command: "trap 'echo tidied > tidy; exit 0' TERM; echo > on; sleep 1000 & wait" });
    const cancel = new AbortController();
    const done = step.run(cancel.signal);
    await waitUntil(async () => (await readFile(join(step.work, "on")).catch(() => null)) !== null);
    cancel.abort();
    expect(await done).toMatchObject({ attemptOutcome: "cancelled", failureKind: "cancelled" });
    expect(`${await readFile(join(step.work, "tidy"))}`).toBe("tidied\n");
    await expectGone(() => processesWithEnvironment("FOREMAN_WORKER", step.workerId));
  });
});

describe("what a command prints", { timeout: 120_000 }, () => {
  it("is kept as bytes, whatever they are, and shown without what a terminal would act on", async () => {
    const hostile = "\\377\\376 \\033[31mred\\033]0;title\\007 \\000nul \\303";
    const line = 10 * MB;
    const command = `printf '${hostile}'; head -c ${line} /dev/zero | tr '\\0' x; printf '\\nend of it'`;
    const step = await stepBench({ command });
    const result = await step.run();
    const kept = await step.log("stdout");
    const start = Buffer.from("\xff\xfe \x1b[31mred\x1b]0;title\x07 \x00nul \xc3", "latin1");
    expect(kept.subarray(0, start.byteLength).equals(start)).toBe(true);
    expect(kept.byteLength).toBe(start.byteLength + line + "\nend of it".length);
    expect(result).toMatchObject({ ok: true });
    expect(result.summary.endsWith("end of it")).toBe(true);
    expect(result.summary.length).toBeLessThanOrEqual(16 * 1024);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there
    expect(result.summary).not.toMatch(/[\u0000-\u0008\u001b]/);
  });
});
