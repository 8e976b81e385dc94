import type { KeptResult, RunManifest, TaskSpec } from "../runs/manifest.ts";
import { isCommitId } from "../runs/work-trees.ts";
import { isSafeSegment } from "./layout.ts";

/** `manifest.json` as it was written at the run's begin; null when it can't be relied on. */
export function parseManifest(text: string): RunManifest | null {
  try {
    const manifest = JSON.parse(text) as RunManifest | null;
    if (!Array.isArray(manifest?.tasks) || !manifest.tasks.every(isTaskSpec)) return null;
    if (manifest.worktrees && !isCommitId(String(manifest.worktrees.baseCommit))) return null;
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
