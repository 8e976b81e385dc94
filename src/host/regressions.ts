import { findRegressions, type RunSample } from "../metrics/regression.ts";
import type { RunView } from "../store/run-store.ts";
import { runSampleOf } from "../store/task-run-sample.ts";

/** Newest first; what lies further back is not compared with. */
export const RUNS_COMPARED_MAX = 200;

/** What a run says about its workflow, if anything. */
export interface WorkflowSample {
  workflow: string;
  sample: RunSample | null;
}

export function workflowSampleOf({ manifest, state }: RunView): WorkflowSample {
  return { workflow: manifest.workflow, sample: runSampleOf(manifest, state) };
}

/** A sentence for each workflow whose newest runs are worse than those before. */
export function regressionsIn(runs: readonly WorkflowSample[]): string[] {
  const workflows = new Set(runs.map(({ workflow }) => workflow));
  return [...workflows].flatMap((workflow) => {
    const samples = runs.flatMap((run) => (run.workflow === workflow && run.sample ? [run.sample] : []));
    return findRegressions(workflow, samples).map(({ sentence }) => sentence);
  });
}
