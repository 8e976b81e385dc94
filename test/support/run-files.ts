import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { CrewEvent, CrewEventType, EventOf } from "../../src/events/crew-event.ts";
import { applyEvent } from "../../src/runs/apply-event.ts";
import { initialRunState } from "../../src/runs/run-state.ts";

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
  return eventsIn(text);
}

/** What has no line feed yet is still being written, or was left by a killed writer, and counts for nobody. */
function eventsIn(text: string): CrewEvent[] {
  const lines = text.split("\n").slice(0, -1).filter(Boolean);
  return lines.map((line) => JSON.parse(line) as CrewEvent);
}

export function ofType<T extends CrewEventType>(events: readonly CrewEvent[], type: T): EventOf<T>[] {
  return events.filter((event): event is CrewEvent & EventOf<T> => event.type === type);
}

/**
 * What is wrong with the runs of a project: a log whose `seq` is not 1..n, or a snapshot at the log's end that is not
 * its fold. For the end of a test, when nobody writes any more.
 */
export async function unsoundRuns(project: string): Promise<string[]> {
  const faults: string[] = [];
  for (const runId of await runIds(project)) {
    const folder = runFolder(project, runId);
    const text = await readFile(join(folder, "events.jsonl"), "utf8").catch(() => "");
    const events = eventsIn(text);
    if (events.some((event, at) => event.seq !== at + 1)) faults.push(`${runId}: seq ${events.map((it) => it.seq)}`);
    const snapshot = await readSnapshot(join(folder, "state.json"));
    if (snapshot?.position.seq !== events.length) continue;
    const manifest = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"));
    const folded = JSON.stringify(events.reduce(applyEvent, initialRunState(manifest)));
    if (JSON.stringify(snapshot.state) !== folded) faults.push(`${runId}: state.json is not the fold of its log`);
  }
  return faults;
}

/** Null when there is none; a test may also have damaged it. */
async function readSnapshot(path: string): Promise<{ position: { seq: number }; state: unknown } | null> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch {
    return null;
  }
}
