import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export function print(text = ""): void {
  console.log(text);
}

export function heading(text: string): void {
  print(`\n── ${text} ${"─".repeat(Math.max(3, 90 - text.length))}`);
}

export function usd(amount: number): string {
  return `$${amount.toFixed(4)}`;
}

/** The run's folder and what can be read in it. */
export async function printPlaces(project: string, runId: string): Promise<void> {
  const folder = join(project, ".crew/state/runs", runId);
  const events = await readFile(join(folder, "events.jsonl"), "utf8");
  print(folder);
  print(`  events.jsonl   ${events.split("\n").length - 1} events: the truth about the run`);
  for (const name of ["manifest.json", "state.json"]) print(`  ${name}`);
  const tasks = join(folder, "tasks");
  for (const task of (await readdir(tasks)).sort())
    for (const attempt of await readdir(join(tasks, task)))
      print(`  tasks/${task}/${attempt}/   ${(await readdir(join(tasks, task, attempt))).sort().join(" ")}`);
}
