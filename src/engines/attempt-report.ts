import type { AttemptOutcome } from "../events/crew-event.ts";
import { type AttemptOrder, type AttemptReport, NO_ROOM } from "../runs/execute.ts";
import { timeoutSecOf } from "../runs/manifest.ts";
import { writes } from "../runs/work-trees.ts";
import { wallMsOf } from "../workers/attempt-facts.ts";
import { keptCheckpointOf } from "../workers/checkpoint-files.ts";
import { emptyTally, type PiTally, usageByModel } from "../workers/pi-events.ts";
import type { StepRequest, StepResult } from "../workers/step-contract.ts";

/** Between what a run orders and hears, and the step contract. Pure. */

const summaryCharsMax = 200;
const NOTHING_LEFT = { changes: null, checkpoints: [], commit: null };

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
    timeoutSec: timeoutSecOf(manifest, task),
    runtime: {
      repoRoot: manifest.cwd,
      worktreePath: order.workFolder,
      attemptFolder: order.folder,
      env: { TRACEPARENT: order.traceparent, ...order.values },
    },
    createdAt,
    promptSummary: order.prompt.slice(0, summaryCharsMax),
    command: task.command,
    assignment: task.agent ? { prompt: order.prompt, agent: task.agent } : null,
    verify: task.verify,
    output: task.output,
    checkpoint: writes(task) ? { mode: "end", resumeFromSeq: order.resumeFromSeq } : null,
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
    finishedAt: wallMsOf(result.finishedAt),
    summary: result.summary,
    model: result.metadata.model,
    tokens: result.metrics.tokens,
    costUsd: result.metrics.costUsd,
    usage: result.metrics.usage,
    hostRetries: result.metrics.hostRetries,
    exitCode: result.metadata.exitCode,
    failureKind: result.failureKind,
    error: result.error,
    artifacts: result.artifacts,
    changes: result.changes,
    checkpoints: result.checkpoints.map(keptCheckpointOf),
    commit: null,
  };
}

/** Why an attempt was ended from outside; `heartbeat-dead` and `worker-start` are lost, as is `worker-died`. */
export type EndCause =
  | "cancelled"
  | "heartbeat-dead"
  | "timeout"
  | "worker-start"
  | "worker-died"
  | "attempt-unreadable";

/** Of a worker that wrote no end: what it had used up is known from its output. */
export function reportOfRemains(
  cause: EndCause,
  tally: PiTally,
  lasted: Pick<AttemptReport, "durationMs" | "finishedAt">,
  message: string,
): AttemptReport {
  return {
    ...fatesOf(cause),
    ...lasted,
    summary: tally.lastText,
    model: tally.lastModel,
    tokens: tally.tokens,
    costUsd: tally.costUsd,
    usage: usageByModel(tally),
    hostRetries: tally.hostRetries,
    error: { kind: cause, message },
    artifacts: [],
    ...NOTHING_LEFT,
  };
}

function fatesOf(cause: EndCause): Pick<AttemptReport, "outcome" | "failureKind" | "exitCode"> {
  if (cause === "cancelled") return { outcome: "cancelled", failureKind: "cancelled", exitCode: null };
  // the exit code of timeout(1)
  if (cause === "timeout") return { outcome: "failed", failureKind: "transient", exitCode: 124 };
  return { outcome: "lost", failureKind: "lost", exitCode: null };
}

/** The words of a machine that has no room for a worker now: on the disk, for files, or for processes. */
export function isNoRoom(message: string): boolean {
  return /\b(ENOSPC|EDQUOT|EMFILE|ENFILE|EAGAIN|ENOMEM)\b/.test(message);
}

/** Of an attempt that its worker would not begin. */
export function refusedReport(why: string): AttemptReport {
  return unstartedReport("failed", isNoRoom(why) ? NO_ROOM : "worker-refused", `The worker refused: ${why}.`);
}

/** Of an attempt that no worker has begun. */
export function unstartedReport(outcome: AttemptOutcome, kind: string, message: string): AttemptReport {
  let failureKind: AttemptReport["failureKind"] = "permanent";
  if (outcome === "cancelled") failureKind = "cancelled";
  else if (outcome === "failed") failureKind = "transient";
  const { tokens, costUsd, hostRetries } = emptyTally;
  return {
    outcome,
    durationMs: 0,
    finishedAt: null,
    summary: "",
    model: null,
    tokens,
    costUsd,
    usage: [],
    hostRetries,
    exitCode: null,
    failureKind,
    error: { kind, message },
    artifacts: [],
    ...NOTHING_LEFT,
  };
}
