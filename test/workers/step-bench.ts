import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { nodeWorld } from "../../src/system/node.ts";
import { createCodexKind } from "../../src/workers/codex-kind.ts";
import { createGitKind } from "../../src/workers/git-kind.ts";
import { runStep } from "../../src/workers/run-step.ts";
import { createShellKind } from "../../src/workers/shell-kind.ts";
import type { LifecycleEvent, StepRequest, StepResult } from "../../src/workers/step-contract.ts";
import { killAll, processesVisible, processesWithEnvironment } from "../support/processes.ts";

export const quietWorld = nodeWorld({ warn: () => undefined, error: () => undefined });

export const kinds = {
  shell: createShellKind(quietWorld),
  git: createGitKind(quietWorld),
  codex: createCodexKind(quietWorld),
};

export interface StepBench {
  /** The folder the work is done in. */
  readonly work: string;
  readonly request: StepRequest;
  readonly workerId: string;
  run(signal?: AbortSignal): Promise<StepResult>;
  log(name: "stdout" | "stderr"): Promise<Buffer>;
  lifecycle(): Promise<LifecycleEvent[]>;
}

/** A step in a folder of its own, done by the real kinds in this process. To be called inside a test. */
export async function stepBench(
  fields: Partial<StepRequest> & { env?: Record<string, string>; work?: string },
): Promise<StepBench> {
  const { env = {}, work: given, ...rest } = fields;
  const root = await realpath(await mkdtemp(join(tmpdir(), "foreman-step-")));
  const work = given ?? root;
  const attemptFolder = join(root, ".attempts", "a0001");
  const workerId = `w-${randomBytes(6).toString("hex")}`;
  const workerKind = rest.workerKind ?? "shell";
  const request: StepRequest = {
    taskId: "t",
    stepId: "t:1",
    runId: `run-${randomBytes(6).toString("hex")}`,
    attempt: 1,
    stepName: "t",
    stepKind: workerKind,
    workerKind,
    timeoutSec: 60,
    runtime: { repoRoot: work, worktreePath: work, attemptFolder, env },
    createdAt: "2026-01-01T00:00:00.000Z",
    promptSummary: "",
    command: "",
    assignment: null,
    verify: "",
    ...rest,
  };
  onTestFinished(async () => {
    if (processesVisible) killAll(processesWithEnvironment("FOREMAN_WORKER", workerId));
    await rm(root, { recursive: true, force: true });
  });
  const log = (name: string) => readFile(join(attemptFolder, `${name}.log`));
  return {
    work,
    request,
    workerId,
    run: (signal) => runStep(quietWorld, request, { workerId, kinds, ...(signal ? { signal } : {}) }),
    log,
    lifecycle: async () =>
      (await log("worker"))
        .toString()
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as LifecycleEvent),
  };
}
