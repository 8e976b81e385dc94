import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { foldDeadLetters } from "../../src/store/dead-letter-lines.ts";
import { ofType } from "../support/run-files.ts";
import type { EndedRun } from "./oracle.ts";

/** One letter for each task that was given up after its last try, in the file and in the log; none beside. */
export async function deadLetterFaults({ runId, folder, events, manifest }: EndedRun): Promise<string[]> {
  const text = await readFile(join(folder, "deadletter.jsonl"), "utf8").catch(() => "");
  const lines = text.split("\n").filter((line) => line !== "" && !/"mark":/.test(line));
  const { letters, bad } = foldDeadLetters(runId, text);
  const faults = bad > 0 ? [`${bad} dead letters can't be read`] : [];
  if (lines.length !== letters.length + bad)
    faults.push(`${lines.length} lines of dead letters for ${letters.length} letters`);
  const told = ofType(events, "crew.task.deadletter");
  for (const { taskId } of manifest.tasks) {
    const end = ofType(events, "crew.task.failed").find((it) => it.taskId === taskId);
    const last = ofType(events, "crew.task.attempt_finished").findLast((it) => it.taskId === taskId);
    const due = end !== undefined && (last?.failureKind === "transient" || last?.failureKind === "lost") ? 1 : 0;
    const kept = letters.filter((it) => it.taskId === taskId).length;
    const published = told.filter((it) => it.taskId === taskId).length;
    if (kept !== due || published !== due)
      faults.push(`task ${taskId} has ${kept} dead letters, ${published} told, ${due} due`);
  }
  return faults;
}
