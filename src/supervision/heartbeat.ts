import type { HeartbeatLevel } from "../events/crew-event.ts";
import type { HeartbeatThresholds } from "../runs/run-config.ts";

/** What a worker's sign of life says. Pure. */

export interface WorkerHeartbeatState {
  workerId: string;
  /** ISO 8601. */
  lastSeenAt: string;
  /** False when the worker took its leave. */
  alive?: boolean;
  /** Grows with every beat; needs no clock to be compared. */
  counter?: number;
  pid?: number;
  processStart?: string;
}

export const HEARTBEAT_THRESHOLDS: HeartbeatThresholds = Object.freeze({
  warnMs: 30_000,
  staleMs: 60_000,
  deadMs: 300_000,
});

const isoPattern = /^\d{4}-\d\d-\d\d(T|$)/;

/** By the wall clock; `now` is milliseconds since 1970. A time to come counts as just now. */
export function classifyHeartbeat(
  heartbeat: WorkerHeartbeatState | null | undefined,
  thresholds: HeartbeatThresholds,
  now: number,
): HeartbeatLevel {
  return levelOfSilence(heartbeatAgeMs(heartbeat, now), thresholds);
}

/** A heartbeat that is missing, of a worker that took its leave, or of an unreadable date is always stale. */
export function isWorkerHeartbeatStale(
  heartbeat: WorkerHeartbeatState | null | undefined,
  ms: number,
  now: number,
): boolean {
  return heartbeatAgeMs(heartbeat, now) >= ms;
}

/** Milliseconds since the last sign of life; infinite when there is none that could be relied on. */
export function heartbeatAgeMs(heartbeat: WorkerHeartbeatState | null | undefined, now: number): number {
  if (!heartbeat || heartbeat.alive === false || !isoPattern.test(heartbeat.lastSeenAt)) return Infinity;
  const seenAt = Date.parse(heartbeat.lastSeenAt);
  return Number.isFinite(seenAt) ? Math.max(0, now - seenAt) : Infinity;
}

/** A boundary value belongs to the worse level. */
export function levelOfSilence(silenceMs: number, { warnMs, staleMs, deadMs }: HeartbeatThresholds): HeartbeatLevel {
  if (silenceMs >= deadMs) return "dead";
  if (silenceMs >= staleMs) return "stale";
  return silenceMs >= warnMs ? "warn" : "healthy";
}
