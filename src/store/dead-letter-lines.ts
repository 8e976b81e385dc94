import type { EventError } from "../events/crew-event.ts";
import { openSealedLine } from "../events/event-line.ts";
import type { DeadLetterReason } from "../runs/run-state.ts";

/** A task given up on. */
export interface DeadLetterEntry {
  id: string;
  runId: string;
  taskId: string;
  reason: DeadLetterReason;
  attempts: number;
  lastError?: EventError;
  /** ISO 8601, UTC. */
  timestamp: string;
}

interface Marked {
  markedAt: string;
  /** Whose mark it is; no two are the same. */
  markedBy: string;
}

export type DeadLetter = DeadLetterEntry &
  (
    | { status: "open" }
    | ({ status: "discarded" } & Marked)
    /** It runs, or ran, again as `newRunId`. */
    | ({ status: "redriven"; newRunId: string } & Marked)
  );

const REASONS: { readonly [R in DeadLetterReason]: true } = {
  "max-retries": true,
  "heartbeat-dead": true,
  manual: true,
};

/**
 * What a run's `deadletter.jsonl` says: the first entry of an id and the first mark on it stand. An unreadable line is
 * counted; a torn last one is not, since nobody was told that it is there.
 */
export function foldDeadLetters(runId: string, text: string): { letters: DeadLetter[]; bad: number } {
  const letters = new Map<string, DeadLetter>();
  const lines = text.split("\n");
  const torn = lines.pop() ?? "";
  const bad = lines.filter((line) => line !== "" && !takeLine(letters, line, runId)).length;
  // one that lacks nothing but its line feed is whole
  takeLine(letters, torn, runId);
  return { letters: [...letters.values()], bad };
}

function takeLine(letters: Map<string, DeadLetter>, line: string, runId: string): boolean {
  const value = openSealedLine(line);
  if (value === null) return false;
  return "mark" in value ? takeMark(letters, value) : takeEntry(letters, value, runId);
}

function takeEntry(letters: Map<string, DeadLetter>, value: Record<string, unknown>, runId: string): boolean {
  const { id, taskId, reason, attempts, timestamp } = value;
  if (typeof id !== "string" || typeof taskId !== "string" || value["runId"] !== runId || !isReason(reason))
    return false;
  if (typeof attempts !== "number" || !isTime(timestamp)) return false;
  const lastError = errorOf(value["lastError"]);
  const entry = { id, runId, taskId, reason, attempts, ...(lastError ? { lastError } : {}), timestamp };
  if (!letters.has(id)) letters.set(id, { ...entry, status: "open" });
  return true;
}

function takeMark(letters: Map<string, DeadLetter>, value: Record<string, unknown>): boolean {
  const { id, mark, newRunId, timestamp, by } = value;
  const letter = typeof id === "string" ? letters.get(id) : undefined;
  if (!letter || !isTime(timestamp) || typeof by !== "string") return false;
  const marked = { markedAt: timestamp, markedBy: by };
  if (letter.status !== "open") return true;
  if (mark === "discarded") letters.set(letter.id, { ...letter, ...marked, status: "discarded" });
  else if (mark === "redriven" && typeof newRunId === "string")
    letters.set(letter.id, { ...letter, ...marked, status: "redriven", newRunId });
  else return false;
  return true;
}

function isReason(value: unknown): value is DeadLetterReason {
  return typeof value === "string" && Object.hasOwn(REASONS, value);
}

function isTime(value: unknown): value is string {
  return typeof value === "string" && Number.isFinite(Date.parse(value));
}

function errorOf(value: unknown): EventError | null {
  if (typeof value !== "object" || value === null || !("kind" in value) || !("message" in value)) return null;
  const { kind, message } = value;
  return typeof kind === "string" && typeof message === "string" ? { kind, message } : null;
}
