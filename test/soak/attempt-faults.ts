import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { EventOf } from "../../src/events/crew-event.ts";
import { tasksToDo } from "../../src/runs/manifest.ts";
import { ofType } from "../support/run-files.ts";
import { isWork, type WorkLine } from "./ledger.ts";
import type { EndedRun } from "./oracle.ts";

/** At least one execution, exactly one accepted result: the run's log beside what the workers themselves put down. */

type Finished = EventOf<"crew.task.attempt_finished">;

const TRIES_MAX = 3;

export function attemptFaults(run: EndedRun): string[] {
  return [
    ...tasksToDo(run.manifest).flatMap((taskId) => taskFaults(run, taskId).map((fault) => `task ${taskId} ${fault}`)),
    ...strayFolders(run),
  ];
}

function taskFaults(run: EndedRun, taskId: string): string[] {
  const { events, ledger } = run;
  const faults: string[] = [];
  const own = <T extends { taskId?: string }>(list: readonly T[]) => list.filter((it) => it.taskId === taskId);
  const started = own(ofType(events, "crew.task.attempt_started"));
  const finished = own(ofType(events, "crew.task.attempt_finished"));
  const numbers = started.map(({ attempt }) => attempt);
  if (numbers.some((attempt, at) => attempt !== at + 1)) faults.push(`has attempts ${numbers.join(" ")}`);
  for (const attempt of numbers) {
    const ends = finished.filter((it) => it.attempt === attempt);
    if (ends.length !== 1) faults.push(`has ${ends.length} ends of attempt ${attempt}`);
  }
  if (finished.length > started.length) faults.push("has more ends of attempts than attempts");
  faults.push(...endFaults(run, taskId, started.length, finished));
  const work = ledger.filter(isWork).filter((line) => line.taskId === taskId);
  faults.push(...orderFaults(work));
  for (const line of work) {
    const told = started.find(({ attempt }) => attempt === line.attempt);
    if (told?.workerId !== line.workerId)
      faults.push(`had worker ${line.workerId} at attempt ${line.attempt}, which the log does not know`);
  }
  const cancelled = ledger.some(({ kind }) => kind === "cancel");
  for (const end of finished) {
    const kills = ledger.filter((line) => line.kind === "kill");
    const at = work.filter(({ attempt }) => attempt === end.attempt);
    // of a worker that was told to end as it did its last act, either may come first
    if (!cancelled || end.outcome !== "cancelled")
      faults.push(...workFaults(end, at, new Set(kills.map(({ pid }) => pid))));
  }
  return faults;
}

function endFaults({ events }: EndedRun, taskId: string, attempts: number, finished: readonly Finished[]): string[] {
  const faults: string[] = [];
  const end = events.find((it) => it.taskId === taskId && "status" in it && it.type.startsWith("crew.task."));
  const status = end && "status" in end ? end.status : "missing";
  if (end && "attempts" in end && end.attempts !== attempts)
    faults.push(`tells ${end.attempts} attempts at its end, and had ${attempts}`);
  const completed = finished.filter(({ outcome }) => outcome === "completed");
  if (completed.length !== (status === "completed" ? 1 : 0))
    faults.push(`is ${status} with ${completed.length} completed attempts`);
  if (completed.length > 0 && completed[0] !== finished.at(-1)) faults.push("went on after it was completed");
  const retries = ofType(events, "crew.task.retry_attempt").filter((it) => it.taskId === taskId).length;
  if ((status === "completed" || status === "failed") && attempts !== retries + 1)
    faults.push(`has ${attempts} attempts and ${retries} retries`);
  const tries = finished.filter(({ error }) => error?.kind !== "interrupted").length;
  if (tries > TRIES_MAX) faults.push(`was tried ${tries} times, ${TRIES_MAX} were allowed`);
  return faults;
}

/** Nobody begins what another has begun, and no attempt does anything when a later one has begun. */
function orderFaults(work: readonly WorkLine[]): string[] {
  const faults: string[] = [];
  let latest = 0;
  for (const { kind, attempt } of work) {
    if (kind === "begin" && attempt === latest) faults.push(`began attempt ${attempt} twice`);
    if (attempt < latest) faults.push(`had attempt ${attempt} at work when attempt ${latest} had begun`);
    latest = Math.max(latest, attempt);
  }
  return faults;
}

function workFaults(end: Finished, work: readonly WorkLine[], killed: ReadonlySet<number>): string[] {
  const { attempt, outcome } = end;
  const begin = work.find((line) => line.kind === "begin");
  const effects = work.filter((line) => line.kind === "effect").length;
  const faults: string[] = [];
  if (effects > 1) faults.push(`did attempt ${attempt} ${effects} times`);
  if (outcome === "completed" && effects !== 1)
    faults.push(`has ${effects} effects of attempt ${attempt}, which is completed`);
  const wasKilled = begin !== undefined && killed.has(begin.pid);
  if (outcome !== "completed" && effects > 0 && !wasKilled)
    faults.push(`lost the result of attempt ${attempt} (${outcome}), whose worker was not killed`);
  if (outcome === "lost" && begin && !wasKilled && begin.act !== "exit")
    faults.push(`lost attempt ${attempt} (${begin.act}), whose worker was not killed: ${end.error?.message}`);
  const scripted = ["transient", "permanent", "throw"].includes(begin?.act ?? "");
  if (outcome === "failed" && !scripted && end.error?.kind !== "timeout")
    faults.push(`failed attempt ${attempt} (${begin?.act ?? "never begun"}): ${end.error?.message}`);
  if (outcome === "blocked" || outcome === "cancelled")
    faults.push(`has attempt ${attempt} ${outcome}: ${end.error?.message}`);
  return faults;
}

function strayFolders({ folder, events }: EndedRun): string[] {
  const tasks = join(folder, "tasks");
  if (!existsSync(tasks)) return [];
  const told = new Set(
    ofType(events, "crew.task.attempt_started").map(
      ({ taskId, attempt }) => `${taskId}/a${String(attempt).padStart(4, "0")}`,
    ),
  );
  return readdirSync(tasks)
    .flatMap((task) => readdirSync(join(tasks, task)).map((attempt) => `${task}/${attempt}`))
    .filter((place) => !told.has(place))
    .map((place) => `folder tasks/${place} is of no attempt`);
}
