import { basename, dirname, isAbsolute, join } from "node:path";
import { attemptId } from "../runs/run-state.ts";
import { codeOf, UserError } from "../system/errors.ts";
import { isObject, parseObject } from "../system/json.ts";
import { makeRealFolder } from "../system/real-folder.ts";
import type { Files } from "../system/world.ts";
import type { AttemptMeta, AttemptState, LifecycleEvent, StepRequest } from "./step-contract.ts";

/** The folder of one attempt and how its files are read by others. */

export interface AttemptPaths {
  meta: string;
  state: string;
  worker: string;
  stdout: string;
  stderr: string;
  heartbeat: string;
  mail: string;
  live: string;
  givenUp: string;
}

export const heartbeatMs = 5000;

/** `heartbeat.json`. `lastSeenAt` is ISO 8601, UTC; `counter` grows with every beat, the first of which is at the begin. */
export interface WorkerHeartbeat {
  workerId: string;
  lastSeenAt: string;
  alive: boolean;
  pid: number;
  processStart: string;
  counter: number;
}

export function attemptPaths(folder: string): AttemptPaths {
  return {
    meta: join(folder, "meta.json"),
    state: join(folder, "state.json"),
    worker: join(folder, "worker.log"),
    stdout: join(folder, "stdout.log"),
    stderr: join(folder, "stderr.log"),
    heartbeat: join(folder, "heartbeat.json"),
    mail: join(folder, "mail.jsonl"),
    live: join(folder, "live.json"),
    givenUp: join(folder, "given-up.json"),
  };
}

/** Throws a UserError for a folder that would be looked for below whichever folder a process is in. */
export function requireAttemptFolder({ runtime: { attemptFolder } }: StepRequest): void {
  if (isAbsolute(attemptFolder) && !attemptFolder.includes("\0")) return;
  throw new UserError(
    "attempt-folder",
    `runtime.attemptFolder must be an absolute path, and is ${JSON.stringify(attemptFolder.slice(0, 200))}: resolve it first.`,
  );
}

/** Throws a UserError where the folder, or its task's, is a link: an agent can put one there while its run goes on. */
export function makeAttemptFolder(files: Files, folder: string): Promise<string> {
  const task = dirname(folder);
  return makeRealFolder(files, dirname(task), basename(task), basename(folder));
}

export function eventId(attempt: number, seq: number): string {
  return `${attemptId(attempt)}:event:${String(seq).padStart(4, "0")}`;
}

/** What processes of an attempt carry in their environment, so that all of them can be found and ended. */
export function attemptTags(
  request: Pick<StepRequest, "runId" | "taskId" | "attempt">,
  workerId: string,
): Record<"FOREMAN_WORKER" | "FOREMAN_ATTEMPT", string> {
  return {
    FOREMAN_WORKER: workerId,
    FOREMAN_ATTEMPT: `${request.runId}/${request.taskId}/${attemptId(request.attempt)}`,
  };
}

/** What the attempt's processes get beside the wrapper's own environment. */
export function attemptEnvironment(attempt: { request: StepRequest; workerId: string }): Record<string, string> {
  return { ...attempt.request.runtime.env, ...attemptTags(attempt.request, attempt.workerId) };
}

/** What was asked; written once, as whoever comes second has the same words. The folder must be there. */
export async function writeMeta(files: Files, request: StepRequest): Promise<void> {
  const meta: AttemptMeta = { attemptId: attemptId(request.attempt), request };
  try {
    await files.placeNew(attemptPaths(request.runtime.attemptFolder).meta, JSON.stringify(meta));
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
}

const PREPARED = ["run_prepared", "step_prepared"] as const;
const PREPARED_BYTES_MAX = 4096;

/** What `worker.log` begins with: the folder and what was asked are there. `at` is ISO 8601. */
export function preparedEvents(attempt: number, at: string): LifecycleEvent[] {
  return PREPARED.map((type, index) => ({ seq: index + 1, eventId: eventId(attempt, index + 1), type, at }));
}

/** Those of an attempt that was prepared before anybody did it; empty when it was not. */
export async function readPrepared(files: Files, folder: string): Promise<LifecycleEvent[]> {
  const begin = await files.readRange(attemptPaths(folder).worker, 0, PREPARED_BYTES_MAX);
  const lines = Buffer.from(begin ?? [])
    .toString()
    .split("\n");
  const events = PREPARED.map((_, index) => parseObject(lines[index] ?? "") as LifecycleEvent | null);
  return events.every((event, index) => event?.type === PREPARED[index]) ? (events as LifecycleEvent[]) : [];
}

/**
 * For an attempt whose worker can't be proved to have ended: wherever that is, and whenever it wakes, it finds the mark
 * and does nothing more. To be on disk before anybody is told that the attempt is over.
 */
export async function giveUpAttempt(files: Files, folder: string): Promise<void> {
  try {
    await files.writeNew(attemptPaths(folder).givenUp, "{}\n");
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
}

/** Costs one stat. */
export function isGivenUp(files: Pick<Files, "factsNow">, folder: string): boolean {
  return files.factsNow(attemptPaths(folder).givenUp) !== null;
}

/** Null when there is none, or when it can't be understood: then nobody may rely on it. */
export async function readAttemptState(files: Files, folder: string): Promise<AttemptState | null> {
  return parseAttemptState(await files.readText(attemptPaths(folder).state));
}

export function parseAttemptState(text: string | null): AttemptState | null {
  const value = parseObject(text);
  if (!value) return null;
  if (value["status"] === "running") return isRunning(value) ? (value as unknown as AttemptState) : null;
  if (value["status"] !== "ended" || !isObject(value["result"])) return null;
  return isResult(value["result"]) ? (value as unknown as AttemptState) : null;
}

function isRunning(value: Record<string, unknown>): boolean {
  const texts = ["workerId", "startedAt", "hostId", "bootId", "pidNs", "processStart"];
  return Number.isSafeInteger(value["pid"]) && texts.every((name) => typeof value[name] === "string");
}

/** Only what an owner acts upon; the wrapper is the only writer. */
function isResult(value: Record<string, unknown>): boolean {
  const metrics = value["metrics"];
  if (!isObject(metrics) || !isObject(metrics["tokens"]) || typeof metrics["costUsd"] !== "number") return false;
  if (!Array.isArray(metrics["usage"]) || typeof metrics["hostRetries"] !== "number") return false;
  const outcomes = ["completed", "failed", "blocked", "lost", "cancelled"];
  return (
    outcomes.includes(String(value["attemptOutcome"])) &&
    typeof value["summary"] === "string" &&
    typeof value["durationMs"] === "number" &&
    isObject(value["metadata"]) &&
    Array.isArray(value["artifacts"])
  );
}
