import { type KeptResult, type RunManifest, type TaskSpec, tasksToDo } from "./manifest.ts";
import { isTerminal, type RunState, taskOf } from "./run-state.ts";
import { inheritedCommits, worksApart } from "./work-trees.ts";

/** Going on with an ended run as a new one: what is done again and what is kept. Pure. */

export interface EndedRun {
  manifest: RunManifest;
  state: RunState;
}

/** What is the new run's own. */
export type NewRun = Pick<RunManifest, "runId" | "createdAt" | "sessionId" | "cwd" | "config">;

/** Tasks that completed in worktrees of their own, without a commit that has their work: nothing can go on with it. */
export function lostTasks({ manifest, state }: EndedRun): string[] {
  const lost = manifest.tasks.filter((spec) => {
    const task = taskOf(state, spec.taskId);
    if (task?.status !== "completed" || task.commit !== null) return false;
    return worksApart(manifest, spec, inheritedCommits(manifest, spec, state));
  });
  return lost.map(({ taskId }) => taskId);
}

/** Tasks that completed, with an attempt of whose end the log has no whole line: what they answered is not known. */
export function unreadTasks({ state }: EndedRun): string[] {
  const unread = state.tasks.filter(
    ({ status, attempts }) => status === "completed" && attempts.at(-1)?.status === "running",
  );
  return unread.map(({ taskId }) => taskId);
}

/**
 * The run with what others have done in its stead that went on with it, or with one that did: the later, the more they
 * count. What depends on that is as they left it. Their results are kept as theirs.
 */
export function withDoneSince<T extends EndedRun>(old: T, later: readonly EndedRun[]): T {
  let { tasks } = old.state;
  const results = new Map(Object.entries(old.manifest.kept));
  for (const one of later) {
    const kept = keptTasks(one);
    const done = tasksToDo(one.manifest).filter((taskId) => kept.has(taskId));
    const touched = withDependants(old.manifest, done);
    for (const taskId of touched) if (kept.has(taskId)) results.set(taskId, resultOf(one, taskId));
    tasks = tasks.map((task) => (touched.has(task.taskId) ? (taskOf(one.state, task.taskId) ?? task) : task));
  }
  const manifest = { ...old.manifest, kept: Object.fromEntries(results) };
  return { ...old, manifest, state: { ...old.state, tasks } };
}

function withDependants({ tasks }: RunManifest, taskIds: readonly string[]): ReadonlySet<string> {
  const all = new Set<string>();
  const due = [...taskIds];
  for (let id = due.pop(); id !== undefined; id = due.pop()) {
    const needed = id;
    if (all.has(needed)) continue;
    all.add(needed);
    due.push(...tasks.filter((task) => task.dependsOn.includes(needed)).map((task) => task.taskId));
  }
  return all;
}

/**
 * What a resume does again: all that did not complete, and what is lost with all that depends on it. Any other completed
 * task stays, also one that had gone on without an optional task which is now tried again.
 */
export function unfinishedTasks(old: EndedRun): ReadonlySet<string> {
  const kept = keptTasks(old);
  return new Set(old.manifest.tasks.map(({ taskId }) => taskId).filter((taskId) => !kept.has(taskId)));
}

/**
 * What a redrive of one task does again: the task and all that depends on it, completed or not; then what these need
 * and what did not complete or is lost, with all that depends on that.
 */
export function redrivenTasks(old: EndedRun, taskId: string): ReadonlySet<string> {
  const { manifest } = old;
  const kept = keptTasks(old);
  const again = new Set<string>();
  const due = [taskId];
  for (let id = due.pop(); id !== undefined; id = due.pop()) {
    if (again.has(id)) continue;
    again.add(id);
    const needs = manifest.tasks.find((task) => task.taskId === id)?.dependsOn ?? [];
    const dependants = manifest.tasks.filter((task) => task.dependsOn.includes(id));
    due.push(...needs.filter((need) => !kept.has(need)), ...dependants.map((task) => task.taskId));
  }
  return again;
}

/** What a redrive of one task would do again while its own run has still to do it: until then that would be done twice. */
export function redriveWaitsFor(run: EndedRun, taskId: string): string[] {
  const again = redrivenTasks(run, taskId);
  return run.state.tasks
    .filter((task) => again.has(task.taskId) && !isTerminal(task.status))
    .map((task) => task.taskId);
}

/**
 * The new run: tasks of `again` as they were asked for, and every other completed task with its result. What neither
 * completed nor is done again is left out, as nothing in the new run needs it.
 */
export function continuedManifest(old: EndedRun, again: ReadonlySet<string>, run: NewRun): RunManifest {
  const { manifest } = old;
  const keepable = keptTasks(old);
  const tasks = manifest.tasks.filter(({ taskId }) => again.has(taskId) || keepable.has(taskId));
  const there = new Set(tasks.map(({ taskId }) => taskId));
  const kept = tasks.filter(({ taskId }) => !again.has(taskId)).map(({ taskId }) => [taskId, resultOf(old, taskId)]);
  return {
    ...manifest,
    ...run,
    background: false,
    resumedFrom: manifest.runId,
    // a checkpoint that a task began with is its run's own
    tasks: tasks.map(({ resumeFromSeq: _, ...task }) => ({
      ...task,
      dependsOn: task.dependsOn.filter((id) => there.has(id)),
    })),
    kept: Object.fromEntries(kept),
  };
}

/** The run that redrives one task, asked for differently; null changes nothing. */
export function redriveManifest(
  manifest: RunManifest,
  taskId: string,
  { prompt, model }: { prompt: string | null; model: string | null },
): RunManifest {
  const change = (task: TaskSpec): TaskSpec => ({
    ...task,
    task: prompt ?? task.task,
    agent: task.agent && { ...task.agent, models: model === null ? task.agent.models : [model] },
  });
  const tasks = manifest.tasks.map((task) => (task.taskId === taskId ? change(task) : task));
  return { ...manifest, tasks };
}

/** A result that was kept before still names the run that did the work. */
function resultOf({ manifest, state }: EndedRun, taskId: string): KeptResult {
  const before = Object.hasOwn(manifest.kept, taskId) ? manifest.kept[taskId] : undefined;
  const task = taskOf(state, taskId);
  const commit = task?.status === "completed" ? task.commit : null;
  if (before) return { ...before, commit };
  const last = task?.attempts.at(-1);
  return {
    summary: task?.status === "completed" ? task.summary : "",
    artifacts: task?.status === "completed" ? task.artifacts : [],
    commit,
    model: last?.status === "ended" ? last.model : null,
    fromRunId: manifest.runId,
  };
}

/** The completed ones, but for what is lost and all that depends on that. */
function keptTasks(old: EndedRun): ReadonlySet<string> {
  const { manifest, state } = old;
  const kept = new Set(state.tasks.filter(({ status }) => status === "completed").map(({ taskId }) => taskId));
  const due = [...lostTasks(old), ...unreadTasks(old)];
  for (let id = due.pop(); id !== undefined; id = due.pop()) {
    const needed = id;
    if (kept.delete(needed))
      due.push(...manifest.tasks.filter((task) => task.dependsOn.includes(needed)).map((task) => task.taskId));
  }
  return kept;
}
