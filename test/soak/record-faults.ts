import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { EndedRun } from "./oracle.ts";

/** Of each task that was completed or has failed one record is kept, of others none. */
export async function recordFaults(project: string, { runId, events }: EndedRun): Promise<string[]> {
  const folder = join(project, ".crew/metrics/tasks");
  const days = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(".jsonl"));
  const texts = await Promise.all(days.map((name) => readFile(join(folder, name), "utf8")));
  // what a killed writer left without a line feed counts for nobody
  const lines = texts.flatMap((text) => text.split("\n").slice(0, -1)).filter(Boolean);
  const kept = lines.flatMap((line) => recordOf(line)).filter((record) => record.run_id === runId);
  const due = events.filter(({ type }) => /^crew\.task\.(completed|failed)$/.test(type)).map(({ taskId }) => taskId);
  const [found, wanted] = [kept.map(({ task_id }) => task_id), due].map((names) => names.sort().join(", "));
  return found === wanted ? [] : [`records are kept of ${found || "no task"} instead of ${wanted || "none"}`];
}

/** A line that was torn by a kill, and mended with a line feed by the next writer, is none. */
function recordOf(line: string): [{ run_id: string; task_id: string }] | [] {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}
