import type { HostFacts } from "./host-process.ts";
import type { Resumption } from "./resumption.ts";

/** What the process of a background run is given. */
export interface SupervisorOrder {
  runId: string;
  cwd: string;
  agentDir: string;
  /** Of the session that asked for the run. */
  sessionId: string;
  host: HostFacts;
  /** Holds the process' own output; removed at a clean end. */
  outputFile: string;
  /** Null for a run that was not interrupted. */
  resumption: Resumption | null;
}

/** What it says once: that it drives the run, or why it does not. */
export type SupervisorMessage = { type: "driving" } | { type: "refused"; message: string };

export function isSupervisorMessage(value: unknown): value is SupervisorMessage {
  const { type, message } = (value ?? {}) as { type?: unknown; message?: unknown };
  return type === "driving" || (type === "refused" && typeof message === "string");
}
