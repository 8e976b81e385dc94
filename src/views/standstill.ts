import type { RunState } from "../runs/run-state.ts";

/**
 * Why a run that has not ended does not go on, as far as can be seen. `unattended`: nobody drives it. `stopped`: the
 * process that drives it is held by the system, and may go on at any time. `paused`: its driver waits; `why` is told.
 */
export type Standstill = { kind: "unattended" } | { kind: "stopped"; pid: number } | { kind: "paused"; why: string };

/** What is said of where a run stands, in a word. */
export function statusWord({ status }: Pick<RunState, "status">, standstill: Standstill | null): string {
  return standstill?.kind ?? status;
}

/** What is said beside that word: why, and what lets the run go on. */
export function standstillWords(standstill: Standstill, runId: string): string {
  switch (standstill.kind) {
    case "unattended":
      return `nobody drives it: /team-resume ${runId} goes on with it`;
    case "stopped":
      return stoppedWords(standstill.pid);
    case "paused":
      return standstill.why;
  }
}

export function stoppedWords(pid: number): string {
  return `its process ${pid} is stopped: kill -CONT ${pid} lets it go on, or fg in its terminal`;
}

/** Whether what its workers do is read by somebody at this moment. */
export function isFollowed(standstill: Standstill | null): boolean {
  return standstill === null || standstill.kind === "paused";
}
