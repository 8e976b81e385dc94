import { readFileSync } from "node:fs";
import { join } from "node:path";
import { tasksToDo } from "../../src/runs/manifest.ts";
import { foldDeadLetters } from "../../src/store/dead-letter-lines.ts";
import { ofType } from "../support/run-files.ts";
import type { EndedRun } from "./oracle.ts";

const END = /^crew\.run\.(completed|failed|cancelled)$/;

/**
 * No task is done by two runs at once that go on with one another, none is resumed that another has done, and what was
 * redriven is told once where it failed.
 */
export function againFaults(runs: readonly EndedRun[]): string[] {
  return runs.flatMap((source) => {
    const followers = runs.filter(({ manifest }) => manifest.resumedFrom === source.runId);
    const family = runs.filter(
      ({ manifest }) => manifest.goal === source.manifest.goal && manifest.resumedFrom !== null,
    );
    const beside = source.manifest.resumedFrom === null ? besideFaults(family) : [];
    const faults = [...beside, ...redriveFaults(source, followers), ...letterFaults(source, family)];
    return faults.map((fault) => `run ${source.runId}, gone on with: ${fault}`);
  });
}

function besideFaults(followers: readonly EndedRun[]): string[] {
  const faults: string[] = [];
  for (const [at, later] of followers.entries())
    for (const earlier of followers.slice(0, at)) {
      const tried = new Set(tasksToDo(earlier.manifest));
      const both = tasksToDo(later.manifest).filter((taskId) => tried.has(taskId));
      const endedAt = earlier.events.find(({ type }) => END.test(type))?.ts ?? Number.POSITIVE_INFINITY;
      const names = `${both.join(", ")} are done by ${earlier.runId} and ${later.runId}`;
      if (both.length > 0 && (later.events[0]?.ts ?? 0) < endedAt) faults.push(`${names} at once`);
      const isDone = both.length === tasksToDo(later.manifest).length && completes(earlier, both);
      if (isDone) faults.push(`${names}, which was asked for once`);
    }
  return faults;
}

function completes({ events }: EndedRun, taskIds: readonly string[]): boolean {
  const done = new Set(ofType(events, "crew.task.completed").map(({ taskId }) => taskId));
  return taskIds.every((taskId) => done.has(taskId));
}

function redriveFaults({ events }: EndedRun, followers: readonly EndedRun[]): string[] {
  const faults: string[] = [];
  const failed = ofType(events, "crew.task.failed").flatMap(({ taskId }) => taskId ?? []);
  const again = (taskId: string) =>
    followers.filter(({ manifest }) => tasksToDo(manifest).includes(taskId)).map((it) => it.runId);
  const due = failed.flatMap((taskId) => again(taskId).map((newId) => `${taskId} as ${newId}`)).sort();
  const told = ofType(events, "crew.task.redriven").map(({ taskId, newRunId }) => `${taskId} as ${newRunId}`);
  if (told.sort().join("; ") !== due.join("; "))
    faults.push(
      `its log tells that ${told.join("; ") || "nothing"} is redriven, and ${due.join("; ") || "nothing"} is`,
    );
  return faults;
}

/** A letter is marked where a run goes on with its own, and may be where one goes on with the run before that. */
function letterFaults({ runId, folder }: EndedRun, family: readonly EndedRun[]): string[] {
  const faults: string[] = [];
  const { letters } = foldDeadLetters(runId, textOf(join(folder, "deadletter.jsonl")));
  for (const letter of letters) {
    const doing = family.filter(({ manifest }) => tasksToDo(manifest).includes(letter.taskId));
    const by = letter.status === "redriven" ? letter.newRunId : null;
    const isSo = by === null ? !doing.some(({ manifest }) => manifest.resumedFrom === runId) : isIn(doing, by);
    if (!isSo)
      faults.push(`dead letter ${letter.id} is ${by ? `redriven as ${by}, which it is not` : "open, and redriven"}`);
  }
  return faults;
}

function isIn(runs: readonly EndedRun[], id: string): boolean {
  return runs.some(({ runId }) => runId === id);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // none of its tasks was given up
  }
}
