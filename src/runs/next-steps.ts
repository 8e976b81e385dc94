import type { RunManifest, TaskSpec } from "./manifest.ts";
import { isTerminal, openQuestion, type RunState, type TaskState } from "./run-state.ts";

/** What a run can do now. Empty lists and no end: it waits for an attempt. */
export interface NextSteps {
  ready: readonly TaskSpec[];
  skip: readonly { task: TaskSpec; because: string }[];
  start: readonly TaskSpec[];
  end: { status: "completed" | "failed" | "cancelled"; reason: string | null } | null;
}

/** Tasks whose dependencies have all ended well and that have not been started. Pure. */
export function readyTasks(manifest: RunManifest, state: RunState): TaskSpec[] {
  return manifest.tasks.filter((task) => {
    const status = statusOf(state, task.taskId);
    return (status === "waiting" || status === "ready") && dependencies(manifest, state, task).every(isSatisfied);
  });
}

/** Decides from manifest and state alone; `freeSlots` is how many more attempts may run. Pure. */
export function nextSteps(manifest: RunManifest, state: RunState, freeSlots: number): NextSteps {
  // one that waits for its user is at no work
  const running = state.tasks.filter((task) => task.status === "running" && openQuestion(task) === null).length;
  const startable = readyTasks(manifest, state);
  const slots = Math.max(0, Math.min(freeSlots, manifest.maxConcurrency - running));
  return {
    ready: startable.filter((task) => statusOf(state, task.taskId) === "waiting"),
    skip: manifest.tasks.flatMap((task) => skipped(manifest, state, task)),
    start: startable.slice(0, slots),
    end: endOf(manifest, state),
  };
}

/** How many workers the agents' tasks not begun yet can use at most at a time; the other kinds need none made ahead. */
export function workersToCome(manifest: RunManifest, state: RunState): number {
  const waiting = manifest.tasks.filter(({ kind, taskId }) => {
    const status = statusOf(state, taskId);
    return kind === "pi" && (status === "waiting" || status === "ready");
  });
  return Math.min(manifest.maxConcurrency, waiting.length);
}

interface Dependency {
  spec: TaskSpec;
  task: TaskState;
}

function dependencies(manifest: RunManifest, state: RunState, task: TaskSpec): Dependency[] {
  return task.dependsOn.flatMap((id) => {
    const spec = manifest.tasks.find((candidate) => candidate.taskId === id);
    const found = state.tasks.find((candidate) => candidate.taskId === id);
    return spec && found ? [{ spec, task: found }] : [];
  });
}

/** An optional task that did not make it holds nobody up. */
function isSatisfied({ spec, task }: Dependency): boolean {
  return task.status === "completed" || (spec.optional && (task.status === "failed" || task.status === "skipped"));
}

function skipped(manifest: RunManifest, state: RunState, task: TaskSpec): { task: TaskSpec; because: string }[] {
  const status = statusOf(state, task.taskId);
  if (status !== "waiting" && status !== "ready") return [];
  const broken = dependencies(manifest, state, task).find((it) => isTerminal(it.task.status) && !isSatisfied(it));
  return broken ? [{ task, because: `${broken.task.taskId} ${broken.task.status}` }] : [];
}

function endOf(manifest: RunManifest, state: RunState): NextSteps["end"] {
  if (!state.tasks.every((task) => isTerminal(task.status))) return null;
  // also for an owner who took over from one that died while it cancelled the run
  const cancelled = state.tasks.filter((task) => task.status === "cancelled");
  if (cancelled.length > 0)
    return { status: "cancelled", reason: `${cancelled.map((task) => task.taskId).join(", ")} cancelled` };
  const failed = manifest.tasks.filter((spec) => !spec.optional && statusOf(state, spec.taskId) === "failed");
  if (failed.length === 0) return { status: "completed", reason: null };
  return { status: "failed", reason: `${failed.map((task) => task.taskId).join(", ")} failed` };
}

function statusOf(state: RunState, taskId: string): TaskState["status"] | undefined {
  return state.tasks.find((task) => task.taskId === taskId)?.status;
}
