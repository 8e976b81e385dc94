import type { KeptResult, RunManifest, TaskSpec } from "../runs/manifest.ts";
import type { RunConfig } from "../runs/run-config.ts";
import { isCommitId } from "../runs/work-trees.ts";
import { isSafeSegment } from "./layout.ts";

/** `manifest.json` as it was written at the run's begin; null when it can't be relied on. */
export function parseManifest(text: string): RunManifest | null {
  try {
    const manifest = JSON.parse(text) as RunManifest | null;
    if (!Array.isArray(manifest?.tasks) || !manifest.tasks.every(isTaskSpec)) return null;
    if (manifest.worktrees && !isCommitId(String(manifest.worktrees.baseCommit))) return null;
    if (!isRunConfig(manifest.config)) return null;
    const kept: unknown = manifest.kept;
    return typeof kept === "object" && kept !== null && Object.values(kept).every(isKept) ? manifest : null;
  } catch {
    return null;
  }
}

function isKept(result: Partial<KeptResult> | null): boolean {
  const { summary, artifacts, fromRunId, commit = null } = result ?? {};
  if (commit !== null && !isCommitId(String(commit))) return false;
  return typeof summary === "string" && Array.isArray(artifacts) && typeof fromRunId === "string";
}

function isTaskSpec(task: Partial<TaskSpec> | null): boolean {
  return typeof task?.taskId === "string" && isSafeSegment(task.taskId) && Array.isArray(task.dependsOn);
}

function isRunConfig({ limits, reliability }: RunConfig): boolean {
  const { attemptTimeoutSec, maxCostUsd, maxTokens, maxDurationMs } = limits;
  const { autoRetry, retryPolicy, heartbeat } = reliability;
  const { maxAttempts, backoffMs, jitterRatio, exponentialFactor, maxDelayMs, retryableErrors } = retryPolicy;
  const { warnMs, staleMs, deadMs } = heartbeat;
  const needed = [attemptTimeoutSec, maxAttempts, backoffMs, jitterRatio, exponentialFactor, maxDelayMs];
  return (
    [...needed, warnMs, staleMs, deadMs].every(isAmount) &&
    [maxCostUsd, maxTokens, maxDurationMs].every((limit) => limit === null || isAmount(limit)) &&
    typeof autoRetry === "boolean" &&
    retryableErrors.every((glob) => typeof glob === "string")
  );
}

function isAmount(value: unknown): boolean {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}
