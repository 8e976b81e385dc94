import type { AttemptOutcome, TokenCounts } from "../events/crew-event.ts";
import type { AttemptOrder, AttemptReport } from "../runs/execute.ts";
import type { PiTally } from "../workers/pi-events.ts";
import type { StepRequest, StepResult } from "../workers/step-contract.ts";

/** Between what a run orders and hears, and the step contract. Pure. */

const summaryCharsMax = 200;
const noTokens: TokenCounts = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };

export function requestOf(order: AttemptOrder, createdAt: string): StepRequest {
  const { manifest, task } = order;
  return {
    taskId: task.taskId,
    stepId: `${task.taskId}:${order.attempt}`,
    runId: manifest.runId,
    attempt: order.attempt,
    stepName: task.taskId,
    stepKind: stepKindOf(order),
    workerKind: task.kind,
    timeoutSec: task.timeoutSec,
    runtime: {
      repoRoot: manifest.cwd,
      worktreePath: manifest.cwd,
      attemptFolder: order.folder,
      env: { TRACEPARENT: order.traceparent },
    },
    createdAt,
    promptSummary: order.prompt.slice(0, summaryCharsMax),
    command: task.command,
    pi: task.kind === "pi" && task.agent ? { prompt: order.prompt, agent: task.agent } : null,
  };
}

function stepKindOf({ task }: AttemptOrder): StepRequest["stepKind"] {
  const type = task.taskType.toLowerCase();
  if (/^plan(ner|ning)?$/.test(type)) return "planner";
  if (/^review(er)?$/.test(type)) return "review";
  return /^finali[sz]e(r)?$/.test(type) ? "finalize" : task.kind;
}

export function reportOfResult(result: StepResult): AttemptReport {
  return {
    outcome: result.attemptOutcome,
    durationMs: result.durationMs,
    summary: result.summary,
    model: result.metadata.model,
    tokens: result.metrics.tokens,
    costUsd: result.metrics.costUsd,
    exitCode: result.metadata.exitCode,
    failureKind: result.failureKind,
    error: result.error,
    artifacts: result.artifacts,
  };
}

/** Of a worker that wrote no end: what it had used up is known from its output. */
export function reportOfRemains(
  outcome: "lost" | "cancelled",
  tally: PiTally,
  durationMs: number,
  message: string,
): AttemptReport {
  return {
    outcome,
    durationMs,
    summary: tally.lastText,
    model: tally.lastModel,
    tokens: tally.tokens,
    costUsd: tally.costUsd,
    exitCode: null,
    failureKind: outcome,
    error: { kind: outcome === "lost" ? "worker-died" : "cancelled", message },
    artifacts: [],
  };
}

/** Of an attempt that no worker has begun. */
export function unstartedReport(outcome: AttemptOutcome, kind: string, message: string): AttemptReport {
  let failureKind: AttemptReport["failureKind"] = "permanent";
  if (outcome === "cancelled") failureKind = "cancelled";
  else if (outcome === "failed") failureKind = "transient";
  return {
    outcome,
    durationMs: 0,
    summary: "",
    model: null,
    tokens: noTokens,
    costUsd: 0,
    exitCode: null,
    failureKind,
    error: { kind, message },
    artifacts: [],
  };
}
