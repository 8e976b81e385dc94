import type { ArtifactRecord } from "../events/crew-event.ts";
import type { KeptResult, RunManifest } from "../runs/manifest.ts";
import type { EndedRun } from "../runs/resume.ts";
import type { TaskState } from "../runs/run-state.ts";
import { runPaths } from "../store/layout.ts";
import type { Files } from "../system/world.ts";
import { keepArtifacts, readArtifact } from "../workers/artifacts.ts";
import type { Session } from "./session.ts";

/** Files that tasks of an ended run handed over, for the run that goes on with it. */

/** The run with only those tasks completed whose files are there still: what somebody removed is made anew, which is said. */
export async function withFilesThere<T extends EndedRun>(session: Session, old: T): Promise<T> {
  const { run, gone } = await checkedFiles(session.world.files, old);
  for (const { taskId, names } of gone)
    session.show(`What task ${taskId} handed over is not there any more (${names}): it is done again.`, "warning");
  return run;
}

/** The same, and what is gone. */
export async function checkedFiles<T extends EndedRun>(
  files: Files,
  old: T,
): Promise<{ run: T; gone: { taskId: string; names: string }[] }> {
  const records = old.state.tasks.flatMap((task) => (task.status === "completed" ? task.artifacts : []));
  const there = new Set<string>();
  for (const record of records) if ((await readArtifact(files, record)) !== null) there.add(record.name);
  const gone: { taskId: string; names: string }[] = [];
  const tasks = old.state.tasks.map((task): TaskState => {
    // of one name the run has one file, whoever wrote it last
    const lost = task.status === "completed" ? task.artifacts.filter(({ name }) => !there.has(name)) : [];
    if (task.status !== "completed" || lost.length === 0) return task;
    gone.push({ taskId: task.taskId, names: lost.map(({ name }) => name).join(", ") });
    const { summary: _summary, artifacts: _artifacts, commit: _commit, ...ended } = task;
    return { ...ended, status: "cancelled" };
  });
  return { run: { ...old, state: { ...old.state, tasks } }, gone };
}

/** The new run with copies of its own, so that it needs nothing of the runs before it: they may be pruned. */
export async function withOwnFiles(files: Files, crewRoot: string, manifest: RunManifest): Promise<RunManifest> {
  const { folder } = runPaths(crewRoot, manifest.runId);
  const kept: Record<string, KeptResult> = {};
  for (const [taskId, result] of Object.entries(manifest.kept)) {
    const artifacts: ArtifactRecord[] = [];
    for (const record of result.artifacts) {
      const isOwn = (await readArtifact(files, record)) !== null;
      if (isOwn) await files.makeFolder(folder);
      // of one name the run has one file, and one record of it
      artifacts.push(...(isOwn ? await keepArtifacts(files, [record], folder) : []));
    }
    kept[taskId] = { ...result, artifacts };
  }
  return { ...manifest, kept };
}

/** Removes what was put into the folder of a run that could not be made; false for one that is there, or may be. */
export async function forgetUnmade(files: Files, crewRoot: string, runId: string): Promise<boolean> {
  const { folder, manifest } = runPaths(crewRoot, runId);
  const isUnmade = await files.facts(manifest).then(
    (facts) => facts === null,
    () => false,
  );
  if (isUnmade) await files.remove(folder);
  return isUnmade;
}
