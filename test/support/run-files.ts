import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { CrewEvent, CrewEventType, EventOf } from "../../src/events/crew-event.ts";

/** The ids of the runs kept in a project, oldest first. */
export async function runIds(project: string): Promise<string[]> {
  return (await readdir(join(project, ".crew/state/runs")).catch(() => [])).sort();
}

export function runFolder(project: string, runId: string): string {
  return join(project, ".crew/state/runs", runId);
}

/** The lines of a run's log, read with nothing of ours but JSON.parse. */
export async function eventsOf(project: string, runId: string): Promise<CrewEvent[]> {
  const text = await readFile(join(runFolder(project, runId), "events.jsonl"), "utf8");
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as CrewEvent);
}

export function ofType<T extends CrewEventType>(events: readonly CrewEvent[], type: T): EventOf<T>[] {
  return events.filter((event): event is CrewEvent & EventOf<T> => event.type === type);
}
