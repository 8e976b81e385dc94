import type { RunLoop, RunLoopEnd } from "../runs/run-loop.ts";
import type { OpenRun } from "../store/run-store.ts";
import type { Standstill } from "../views/standstill.ts";

/**
 * How driving a run ended here. `lost`: its log can't be written, and nobody wants to wait until it can. `fenced`:
 * another process drives it.
 */
export type DriveEnd = { kind: RunLoopEnd } | { kind: "lost"; error: unknown } | { kind: "fenced"; pid: number | null };

/** A run under way as this session shows it, whoever drives it. */
export interface ShownRun {
  readonly run: Pick<OpenRun, "manifest" | "state" | "health" | "folder">;
  /** Whether its end is to begin a turn of this session's model. */
  readonly wake: boolean;
  /** Why it does not go on at the moment; null when it does, as far as can be seen here. */
  readonly standstill: Standstill | null;
  /** Asks for the run's end, and does not wait for it. */
  cancel(reason: string): void;
  /** Never rejects. */
  readonly done: Promise<DriveEnd>;
}

/** A run this process drives. */
export interface ActiveRun extends ShownRun {
  readonly run: OpenRun;
  readonly loop: RunLoop;
}
