import { join } from "node:path";
import { isTerminal, type RunStatus } from "../runs/run-state.ts";
import { messageOf } from "../system/errors.ts";
import type { Files } from "../system/world.ts";
import { runPaths, runsFolder } from "./layout.ts";
import type { RunStore } from "./run-store.ts";

/** Which runs may go, first as a preview and then in deed. Metrics are kept elsewhere and stay. */

const DAY_MS = 86_400_000;
const ENTRIES_MAX = 200_000;
/** What says what a run was: goes last, so that a removal that broke off still shows as an ended run. */
const RECORDS: ReadonlySet<string> = new Set(["manifest.json", "events.jsonl"]);

export interface RunFacts {
  runId: string;
  status: RunStatus;
  /** Milliseconds since 1970; null when it has not ended. */
  endedAt: number | null;
  /** On disk, everything in the run's folder. */
  bytes: number;
  resumedFrom: string | null;
}

export interface PrunePolicy {
  olderThanDays: number;
  /** So many of the runs that ended last stay, however old. */
  keepNewest: number;
}

export interface PrunePlan {
  /** What would go, oldest end first. */
  remove: readonly RunFacts[];
  bytes: number;
}

export interface PruneResult {
  removed: readonly string[];
  bytes: number;
  skipped: readonly { runId: string; why: string }[];
}

/**
 * The ended runs that would go: ended more than `olderThanDays` ago, not among the `keepNewest` that ended last, and
 * not what a run under way goes on with, itself or by others.
 */
export function planPrune(runs: readonly RunFacts[], policy: PrunePolicy, now: number): PrunePlan {
  const needed = neededBy(
    runs.filter(({ status }) => !isTerminal(status)),
    runs,
  );
  const before = now - policy.olderThanDays * DAY_MS;
  const remove = runs
    .filter((run): run is RunFacts & { endedAt: number } => isTerminal(run.status) && run.endedAt !== null)
    .sort((a, b) => b.endedAt - a.endedAt || (a.runId < b.runId ? 1 : -1))
    .slice(Math.max(0, policy.keepNewest))
    .filter(({ runId, endedAt }) => endedAt < before && !needed.has(runId))
    .reverse();
  return { remove, bytes: remove.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** All that these go on with, directly or by others: the first has the marks of all. */
function neededBy(underWay: readonly RunFacts[], runs: readonly RunFacts[]): ReadonlySet<string> {
  const needed = new Set<string>();
  const due = underWay.map(({ resumedFrom }) => resumedFrom);
  for (let id = due.pop(); id !== undefined; id = due.pop()) {
    if (id === null || needed.has(id)) continue;
    needed.add(id);
    due.push(runs.find(({ runId }) => runId === id)?.resumedFrom ?? null);
  }
  return needed;
}

type Runs = Pick<RunStore, "crewRoot" | "ids" | "view">;

/** The facts of all runs that can be read. Links are neither followed nor counted as what they point to. */
export async function readRunFacts(files: Files, store: Runs): Promise<RunFacts[]> {
  const found: RunFacts[] = [];
  for (const runId of await store.ids()) {
    const facts = await factsOf(files, store, runId);
    if (typeof facts !== "string") found.push(facts);
  }
  return found;
}

/**
 * Removes what the preview named, if it is still the ended run that was previewed. What can't be removed is told and
 * the others still go.
 */
export async function applyPrune(files: Files, store: Runs, plan: PrunePlan): Promise<PruneResult> {
  const removed: string[] = [];
  const skipped: { runId: string; why: string }[] = [];
  let bytes = 0;
  for (const named of plan.remove) {
    const { runId } = named;
    const why = await removeRun(files, store, named).catch(messageOf);
    if (why !== null) {
      skipped.push({ runId, why });
      continue;
    }
    removed.push(runId);
    bytes += named.bytes;
  }
  return { removed, bytes, skipped };
}

/** Null when it is gone, else why it stays. */
async function removeRun(files: Files, store: Runs, named: RunFacts): Promise<string | null> {
  const now = await factsOf(files, store, named.runId);
  if (typeof now === "string") return now;
  if (!isTerminal(now.status)) return `it is ${now.status}`;
  if (now.endedAt !== named.endedAt) return "it is not the run that was previewed";
  const { folder } = runPaths(store.crewRoot, named.runId);
  const names = await files.list(folder);
  for (const name of names) if (!RECORDS.has(name)) await files.remove(join(folder, name));
  await files.remove(folder);
  return null;
}

/** Or why there are none. */
async function factsOf(files: Files, store: Runs, runId: string): Promise<RunFacts | string> {
  try {
    const { folder } = runPaths(store.crewRoot, runId);
    for (const path of [join(store.crewRoot, "state"), runsFolder(store.crewRoot), folder]) {
      const facts = await files.facts(path);
      if (facts?.kind !== "directory") return facts ? `${path} is a ${facts.kind}` : `${path} is gone`;
    }
    const { manifest, state } = await store.view(runId);
    const { status, endedAt } = state;
    return { runId, status, endedAt, bytes: await bytesIn(files, folder), resumedFrom: manifest.resumedFrom };
  } catch (error) {
    return messageOf(error);
  }
}

async function bytesIn(files: Files, folder: string): Promise<number> {
  const folders = [folder];
  let bytes = 0;
  let entries = 0;
  for (let next = folders.pop(); next !== undefined && entries < ENTRIES_MAX; next = folders.pop())
    for (const name of await files.list(next)) {
      const path = join(next, name);
      const facts = await files.facts(path);
      entries++;
      if (facts?.kind === "directory") folders.push(path);
      else bytes += facts?.bytes ?? 0;
    }
  return bytes;
}
