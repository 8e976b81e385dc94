import { appendFileSync, readFileSync } from "node:fs";

/** What the scripted workers and the killer themselves put down, one JSON object a line, whatever the runs' logs say. */
export type LedgerLine =
  | {
      /** A worker's script began an attempt: `act` is how it is to go. */
      kind: "begin";
      runId: string;
      taskId: string;
      attempt: number;
      workerId: string;
      pid: number;
      act: "done" | "transient" | "permanent" | "exit" | "throw" | "tool" | "late";
    }
  /** The work of an attempt is done: written as its last act. */
  | { kind: "effect"; runId: string; taskId: string; attempt: number; workerId: string; pid: number }
  | { kind: "kill"; victim: string; pid: number }
  /** A session was told to cancel the run, and said (milliseconds since 1970) that it did or that its owner was asked to. */
  | { kind: "cancel"; runId: string; heardAt: number | null };

/** What a worker itself put down. */
export type WorkLine = Extract<LedgerLine, { kind: "begin" | "effect" }>;

export function isWork(line: LedgerLine): line is WorkLine {
  return line.kind === "begin" || line.kind === "effect";
}

export function readLedger(path: string): LedgerLine[] {
  return textOf(path)
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as LedgerLine);
}

export function addToLedger(path: string, line: LedgerLine): void {
  appendFileSync(path, `${JSON.stringify(line)}\n`);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // no worker came to begin
  }
}
