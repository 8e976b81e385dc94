import type { RunSample } from "../metrics/regression.ts";
import type { RunManifest } from "../runs/manifest.ts";
import type { RunState } from "../runs/run-state.ts";

/** What a run says about its workflow; null when it says nothing: not ended, cancelled, or going on with another's work. */
export function runSampleOf(manifest: RunManifest, state: RunState): RunSample | null {
  const { status, startedAt, endedAt, costUsd } = state;
  if ((status !== "completed" && status !== "failed") || startedAt === null || endedAt === null) return null;
  if (manifest.resumedFrom !== null) return null;
  const definitions = JSON.stringify(Object.entries(manifest.definitionHashes).sort());
  return { endedAt, completed: status === "completed", durationMs: endedAt - startedAt, costUsd, definitions };
}
