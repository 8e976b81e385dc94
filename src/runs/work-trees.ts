import { relative, sep } from "node:path";
import type { ArtifactRecord, TreeChanges } from "../events/crew-event.ts";
import type { RunManifest, TaskSpec } from "./manifest.ts";
import { type AttemptRecord, type RunState, taskOf } from "./run-state.ts";

/** Who works in which tree, and on top of whose work. Pure. */

/** Of the host's own tools those that change nothing; any other may. */
const READING_TOOLS: ReadonlySet<string> = new Set(["read", "grep", "find", "ls"]);

/** Whether a task may change files. */
export function writes({ kind, agent }: TaskSpec): boolean {
  if (kind !== "pi" || agent === null || agent.tools === null) return true;
  return agent.tools.some((tool) => !READING_TOOLS.has(tool.toLowerCase()) && !agent.disallowedTools.includes(tool));
}

/**
 * Whether a task has a git worktree to itself: in a team with worktrees those that write, and those that read what
 * others wrote. A step of kind git works in the user's own tree: it is how work gets there.
 */
export function worksApart(manifest: RunManifest, task: TaskSpec, commits: readonly string[]): boolean {
  return manifest.worktrees !== null && task.kind !== "git" && (writes(task) || commits.length > 0);
}

/** A commit's full name and nothing else: records may come with a repository, and what they hold reaches commands. */
export function isCommitId(text: string): boolean {
  return /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/.test(text);
}

export function branchOf(runId: string, taskId: string): string {
  return `foreman/${runId}/${taskId}`;
}

/** What a task begins with: the commits of those it depends on, and of theirs where one handed none over. */
export function inheritedCommits(manifest: RunManifest, task: TaskSpec, state: RunState): string[] {
  const found = task.dependsOn.flatMap((id) => {
    const done = taskOf(state, id);
    if (done?.status === "completed" && done.commit !== null) return [done.commit];
    const spec = manifest.tasks.find(({ taskId }) => taskId === id);
    return spec ? inheritedCommits(manifest, spec, state) : [];
  });
  return [...new Set(found)];
}

/** The files a task reads, each from the last of the tasks before it that handed one of that name over. */
export function inheritedFiles(task: TaskSpec, state: RunState): ArtifactRecord[] {
  const kept = state.tasks.flatMap((it) => (it.status === "completed" ? it.artifacts : []));
  return task.reads.flatMap((name) => kept.findLast((artifact) => artifact.name === name) ?? []);
}

/** The checkpoint an attempt begins with; in the project's own tree none once an earlier attempt has begun there. */
export function beginsAt(manifest: RunManifest, task: TaskSpec, attempt: number, state: RunState): number | null {
  const seq = task.resumeFromSeq ?? null;
  if (seq === null || worksApart(manifest, task, inheritedCommits(manifest, task, state))) return seq;
  const before = taskOf(state, task.taskId)?.attempts.filter((it) => it.attempt < attempt) ?? [];
  return before.some(({ pid }) => pid !== null) ? null : seq;
}

/** What a task's agent has to know of its work folder, below its prompt; empty when there is nothing. */
export function workNotes(manifest: RunManifest, task: TaskSpec, state: RunState): string {
  const notes: string[] = [];
  const files = inheritedFiles(task, state).map(({ name, path }) => `- ${name}: ${shownPath(manifest.cwd, path)}`);
  if (files.length > 0) notes.push(`Files that earlier steps handed over, to be read:\n${files.join("\n")}`);
  const last = taskOf(state, task.taskId)?.attempts.findLast(({ status }) => status === "ended");
  const apart = worksApart(manifest, task, inheritedCommits(manifest, task, state));
  if (last && !apart && writes(task))
    notes.push(
      `Attempt ${last.attempt} at this task ended without completing it. What it changed is still in the work folder: look at it first.`,
    );
  if (!last && task.resumeFromSeq !== undefined)
    notes.push("The work folder holds what an earlier attempt at this task had done: look at it first.");
  if (task.output.length > 0)
    notes.push(
      `Hand over these files: write each at this path in the work folder.\n${task.output.map((name) => `- ${name}`).join("\n")}`,
    );
  return notes.map((note) => `\n\n${note}`).join("");
}

/** A file of the run's folder is found at the same place in each work folder. */
function shownPath(cwd: string, path: string): string {
  return path.startsWith(cwd + sep) ? relative(cwd, path) : path;
}

/** A command with `{branches.<step>}` filled in, for steps that merge: a branch's name can't become code. */
export function withBranches({ runId, kept }: RunManifest, command: string, state: RunState): string {
  return command.replace(/\{branches\.([a-z0-9_-]+)\}/g, (whole, step: string) => {
    const task = taskOf(state, step);
    const handed = task?.status === "completed" ? task.commit : null;
    if (handed === null) return whole;
    if (!Object.hasOwn(kept, step)) return branchOf(runId, step);
    // the branch of an earlier run may be gone by now, its commit is not
    return isCommitId(handed) ? handed : whole;
  });
}

/**
 * Whether nothing else of the run that may write was at work in the same tree during the attempt. What a step of kind git
 * brings there was counted where it was written.
 */
export function wroteAlone(manifest: RunManifest, task: TaskSpec, attempt: number, state: RunState): boolean {
  const apart = (spec: TaskSpec) => worksApart(manifest, spec, inheritedCommits(manifest, spec, state));
  if (task.kind === "git") return false;
  if (apart(task)) return true;
  const startedAt = taskOf(state, task.taskId)?.attempts.find((it) => it.attempt === attempt)?.startedAt ?? 0;
  const during = (it: AttemptRecord) => it.status === "running" || it.endedAt >= startedAt;
  return !manifest.tasks.some(
    (other) =>
      other.taskId !== task.taskId &&
      writes(other) &&
      !apart(other) &&
      taskOf(state, other.taskId)?.attempts.some(during),
  );
}

/** What a task changed in all: where each attempt begins anew, the last one's changes. Null when not all was measured. */
export function changesOfTask(manifest: RunManifest, taskId: string, state: RunState): TreeChanges | null {
  const ended = taskOf(state, taskId)?.attempts.filter((it) => it.status === "ended") ?? [];
  const counted = (manifest.worktrees === null ? ended : ended.slice(-1)).map(({ changes }) => changes);
  if (counted.length === 0 || counted.includes(null)) return null;
  const sum = (field: keyof TreeChanges) => counted.reduce((total, changes) => total + (changes?.[field] ?? 0), 0);
  return { locAdded: sum("locAdded"), locRemoved: sum("locRemoved"), filesChanged: sum("filesChanged") };
}
