import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { CrewEvent } from "../../src/events/crew-event.ts";
import { applyEvent } from "../../src/runs/apply-event.ts";
import { type RunManifest, tasksToDo } from "../../src/runs/manifest.ts";
import { initialRunState } from "../../src/runs/run-state.ts";
import { runPaths } from "../../src/store/layout.ts";
import { RunLogReader } from "../../src/store/run-log-reader.ts";
import { RunStore } from "../../src/store/run-store.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import { ofType, runIds } from "../support/run-files.ts";
import { againFaults } from "./again-faults.ts";
import { attemptFaults } from "./attempt-faults.ts";
import { deadLetterFaults } from "./dead-letter-faults.ts";
import type { LedgerLine } from "./ledger.ts";
import { recordFaults } from "./record-faults.ts";

/** Judges what a round has left on disk, when no process of it is there any more. */

export interface Verdict {
  faults: string[];
  counts: Counts;
}

export type Counts = Record<string, number>;

/** What can be read of an ended run. */
export interface EndedRun {
  runId: string;
  folder: string;
  manifest: RunManifest;
  /** The accepted ones. */
  events: readonly CrewEvent[];
  /** Of this run, and the kills of the whole round. */
  ledger: readonly LedgerLine[];
}

/** An owner that is killed before it has looked into the run's inbox is followed by one that does. */
const OBEYED_MS = 5000;
const AT_ONCE_MS = 1000;
const END = /^crew\.run\.(completed|failed|cancelled)$/;

export async function judgeProject(project: string, ledger: readonly LedgerLine[]): Promise<Verdict> {
  const verdict: Verdict = { faults: [], counts: {} };
  const ids = await runIds(project);
  const runs: EndedRun[] = [];
  for (const runId of ids) {
    const run = await readRun(project, runId, ledger);
    const faults = run === null ? await stillbornFaults(project, runId) : await runFaults(project, run);
    verdict.faults.push(...faults.map((fault) => `run ${runId}: ${fault}`));
    if (run) {
      count(verdict.counts, run.events);
      runs.push(run);
    }
  }
  verdict.faults.push(...againFaults(runs));
  for (const line of ledger)
    if (line.kind !== "kill" && !ids.includes(line.runId))
      verdict.faults.push(`work for run ${line.runId}, which is not there`);
  return verdict;
}

async function readRun(project: string, runId: string, ledger: readonly LedgerLine[]): Promise<EndedRun | null> {
  const { folder, manifest: path, events: log } = runPaths(join(project, ".crew"), runId);
  const text = await readFile(path, "utf8").catch(() => null);
  if (text === null) return null;
  const events = await new RunLogReader(nodeFiles(), log).readNew();
  const own = ledger.filter((line) => line.kind === "kill" || line.runId === runId);
  return { runId, folder, manifest: JSON.parse(text) as RunManifest, events, ledger: own };
}

/** Its maker was killed before there was a run: nothing may have happened in it. */
async function stillbornFaults(project: string, runId: string): Promise<string[]> {
  const log = await readFile(runPaths(join(project, ".crew"), runId).events, "utf8").catch(() => "");
  return log === "" ? [] : ["it has events and no manifest"];
}

async function runFaults(project: string, run: EndedRun): Promise<string[]> {
  return [
    ...(await logFaults(project, run)),
    ...endFaults(run),
    ...cancelFaults(run),
    ...attemptFaults(run),
    ...(await deadLetterFaults(run)),
    ...(await recordFaults(project, run)),
    ...litter(run).map((path) => `${path} was left`),
  ];
}

async function logFaults(project: string, { runId, folder, manifest, events }: EndedRun): Promise<string[]> {
  const faults: string[] = [];
  const files = nodeFiles();
  const reader = new RunLogReader(files, join(folder, "events.jsonl"));
  await reader.readNew();
  const { bad, torn, missing, fenced, ignored, newer } = reader.health;
  if (bad + torn + missing + fenced > 0 || newer || reader.position.torn)
    faults.push(`its log is not whole: ${JSON.stringify({ ...reader.health, ...reader.position })}`);
  if (events.some(({ seq }, at) => seq !== at + 1)) faults.push(`seq is ${events.map(({ seq }) => seq).join(" ")}`);
  const lines = (await readFile(join(folder, "events.jsonl"), "utf8")).split("\n").filter(Boolean);
  const claims = lines.filter((line) => line.includes('"type":"crew.run.claimed"')).length;
  const lostClaims = claims - ofType(events, "crew.run.claimed").length;
  if (ignored !== lostClaims) faults.push(`${ignored} lines count for nothing, ${lostClaims} of them are lost claims`);
  const quiet = { warn: () => undefined, error: () => undefined };
  const clock = { now: () => 0 } as never;
  const view = await new RunStore({ files, clock, log: quiet }, join(project, ".crew")).view(runId);
  if (!isDeepStrictEqual(plain(view.state), plain(events.reduce(applyEvent, initialRunState(manifest)))))
    faults.push("state.json and what follows it is not the fold of the log");
  return faults;
}

function plain(state: unknown): unknown {
  return JSON.parse(JSON.stringify(state));
}

/** What may follow a run's end: notes, and that its task is done again. */
const AFTERWARDS = /^crew\.(notification\.sent|run\.claimed|run\.released|task\.redriven)$/;

/** Each end is told once. */
function endFaults({ events, manifest }: EndedRun): string[] {
  const faults: string[] = [];
  const ends = events.filter(({ type }) => END.test(type));
  if (ends.length !== 1) faults.push(`it has ${ends.length} ends`);
  const after = events.slice(events.findIndex(({ type }) => END.test(type)) + 1);
  const strange = after.filter(({ type }) => !AFTERWARDS.test(type));
  if (ends.length > 0 && strange.length > 0)
    faults.push(`after its end came ${strange.map(({ type }) => type).join(", ")}`);
  if (ofType(events, "crew.run.started").length !== 1) faults.push("it was not started exactly once");
  // its maker may have died before it had told
  if (ofType(events, "crew.run.created").length > 1) faults.push("it was made more than once");
  for (const taskId of tasksToDo(manifest)) {
    const own = events.filter((event) => event.taskId === taskId && isTaskEnd(event.type));
    if (own.length !== 1) faults.push(`task ${taskId} has ${own.length} ends`);
  }
  return faults;
}

/** A run is cancelled when a session was told so, and then only; nothing is begun in it once that is known. */
function cancelFaults({ events, ledger }: EndedRun): string[] {
  const cancels = ledger.filter((line) => line.kind === "cancel");
  const asked = ofType(events, "crew.run.cancel_asked")[0];
  const cancelled = ofType(events, "crew.run.cancelled")[0];
  const begun = ofType(events, "crew.task.attempt_started");
  const faults: string[] = [];
  // whose maker could not start a process for it, because that was killed, says so to its user
  const neverBegun = begun.length === 0 && cancelled?.reason === "its process could not be started";
  if (cancels.length === 0 && (asked || cancelled) && !neverBegun) faults.push("nobody cancelled it");
  const heardAt = Math.min(...cancels.map(({ heardAt }) => heardAt ?? Number.POSITIVE_INFINITY));
  for (const { seq, ts, epoch } of begun) {
    // what its owner was just about to begin is ended by it at once
    if (asked && (epoch > asked.epoch || ts > asked.ts + AT_ONCE_MS))
      faults.push(`event ${seq} begins an attempt after it was to be cancelled`);
    else if (ts > heardAt + OBEYED_MS)
      faults.push(`event ${seq} begins an attempt ${ts - heardAt} ms after a session said that it is cancelled`);
  }
  return faults;
}

function isTaskEnd(type: string): boolean {
  return /^crew\.task\.(completed|failed|cancelled|skipped)$/.test(type);
}

function count(counts: Counts, events: readonly CrewEvent[]): void {
  const finished = ofType(events, "crew.task.attempt_finished");
  const found: Counts = {
    runs: 1,
    completed: ofType(events, "crew.run.completed").length,
    failed: ofType(events, "crew.run.failed").length,
    cancelled: ofType(events, "crew.run.cancelled").length,
    attempts: finished.length,
    lost: finished.filter(({ outcome }) => outcome === "lost").length,
    adopted: ofType(events, "crew.subagent.adopted").length,
    retries: ofType(events, "crew.task.retry_attempt").length,
    recovered: ofType(events, "crew.run.resumed").length,
    letters: ofType(events, "crew.task.deadletter").length,
  };
  for (const [name, value] of Object.entries(found)) counts[name] = (counts[name] ?? 0) + value;
}

/** Left by who was killed as it was about to go on with an ended run. */
const AGAIN_MARK = /^\.again-.*\.(\d+)\.\w+\.tmp$/;

/** Nobody takes up after who was killed just after the end. */
function litter({ folder, events, ledger }: EndedRun): string[] {
  const last = ofType(events, "crew.run.claimed").at(-1)?.owner.pid;
  const killed = new Set(ledger.flatMap((line) => (line.kind === "kill" ? [line.pid] : [])));
  if (last !== undefined && killed.has(last)) return [];
  const names = readdirSync(folder, { recursive: true }) as string[];
  return names.filter((name) => name.endsWith(".tmp") && !killed.has(Number(AGAIN_MARK.exec(name)?.[1])));
}
