import type { KeptResult, RunManifest, TaskSpec } from "./manifest.ts";
import type { RunState } from "./run-state.ts";

/** Going on with an ended run as a new one: what is done again and what is kept. Pure. */

export interface EndedRun {
  manifest: RunManifest;
  state: RunState;
}

/** What is the new run's own. */
export type NewRun = Pick<RunManifest, "runId" | "createdAt" | "sessionId" | "cwd">;

/**
 * What a resume does again: all that did not complete. A completed task stays, also one that had gone on without an
 * optional task which is now tried again.
 */
export function unfinishedTasks({ manifest, state }: EndedRun): ReadonlySet<string> {
  return new Set(manifest.tasks.map(({ taskId }) => taskId).filter((taskId) => !isCompleted(state, taskId)));
}

/**
 * What a redrive of one task does again: the task and all that depends on it, completed or not; then what these need
 * and what did not complete either, with all that depends on that.
 */
export function redrivenTasks({ manifest, state }: EndedRun, taskId: string): ReadonlySet<string> {
  const again = new Set<string>();
  const due = [taskId];
  for (let id = due.pop(); id !== undefined; id = due.pop()) {
    if (again.has(id)) continue;
    again.add(id);
    const needs = manifest.tasks.find((task) => task.taskId === id)?.dependsOn ?? [];
    const dependants = manifest.tasks.filter((task) => task.dependsOn.includes(id));
    due.push(...needs.filter((need) => !isCompleted(state, need)), ...dependants.map((task) => task.taskId));
  }
  return again;
}

/**
 * The new run: tasks of `again` as they were asked for, and every other completed task with its result. What neither
 * completed nor is done again is left out, as nothing in the new run needs it.
 */
export function continuedManifest(old: EndedRun, again: ReadonlySet<string>, run: NewRun): RunManifest {
  const { manifest, state } = old;
  const tasks = manifest.tasks.filter(({ taskId }) => again.has(taskId) || isCompleted(state, taskId));
  const there = new Set(tasks.map(({ taskId }) => taskId));
  const kept = tasks.filter(({ taskId }) => !again.has(taskId)).map(({ taskId }) => [taskId, resultOf(old, taskId)]);
  return {
    ...manifest,
    ...run,
    background: false,
    resumedFrom: manifest.runId,
    tasks: tasks.map((task) => ({ ...task, dependsOn: task.dependsOn.filter((id) => there.has(id)) })),
    kept: Object.fromEntries(kept),
  };
}

/** The same run with one task asked for differently; null changes nothing. */
export function withChangedTask(
  manifest: RunManifest,
  taskId: string,
  { prompt, model }: { prompt: string | null; model: string | null },
): RunManifest {
  const change = (task: TaskSpec): TaskSpec => ({
    ...task,
    task: prompt ?? task.task,
    agent: task.agent && { ...task.agent, models: model === null ? task.agent.models : [model] },
  });
  return { ...manifest, tasks: manifest.tasks.map((task) => (task.taskId === taskId ? change(task) : task)) };
}

/** A result that was kept before still names the run that did the work. */
function resultOf({ manifest, state }: EndedRun, taskId: string): KeptResult {
  const before = Object.hasOwn(manifest.kept, taskId) ? manifest.kept[taskId] : undefined;
  if (before) return before;
  const task = state.tasks.find((candidate) => candidate.taskId === taskId);
  const last = task?.attempts.at(-1);
  return {
    summary: task?.status === "completed" ? task.summary : "",
    artifacts: task?.status === "completed" ? task.artifacts : [],
    commit: task?.status === "completed" ? task.commit : null,
    model: last?.status === "ended" ? last.model : null,
    fromRunId: manifest.runId,
  };
}

function isCompleted(state: RunState, taskId: string): boolean {
  return state.tasks.find((task) => task.taskId === taskId)?.status === "completed";
}
