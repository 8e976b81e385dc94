import type { HeartbeatLevel } from "../events/crew-event.ts";
import type { HeartbeatThresholds } from "../runs/run-config.ts";
import type { Liveness } from "../system/world.ts";
import { levelOfSilence } from "./heartbeat.ts";

/**
 * What one look at the live workers means. Pure:
 * - silence is counted on the watcher's own monotonic clock since it last saw the heartbeat change, and no two clocks
 *   are ever compared, so that a wall clock that was set neither kills nor saves anyone;
 * - time in which the watcher could not look (a suspended machine, a stalled loop) is nobody's silence;
 * - silence alone never makes lost a worker whose process is provably alive.
 */

export interface Place {
  runId: string;
  taskId: string;
  /** Numbered from 1. */
  attempt: number;
  workerId: string;
}

/** A live task of an owned run, as seen at a tick. */
export interface LiveTask extends Place {
  /** Another one with each heartbeat; null when there is none to be seen. */
  sign: string | null;
  /** Its worker took its leave. */
  left: boolean;
  /** By pid, start time and boot. */
  processAlive: Liveness;
  /** Its run's. */
  thresholds: HeartbeatThresholds;
}

/** When a look was taken. Milliseconds, on both clocks. */
export interface Moment {
  wallMs: number;
  monotonicMs: number;
}

/** `alive`: dead by its silence, but its process is provably there: it is stuck. A change to that is told, too. */
export type Finding = Place & { silenceMs: number } & (
    | { kind: "level"; level: HeartbeatLevel; previousLevel: HeartbeatLevel; alive: boolean }
    /** For the first time in this attempt. */
    | { kind: "dead"; alive: boolean }
    /** Silent, and its process can't be proved to be there: its attempt has to be ended. Once. */
    | { kind: "lost" }
  );

/** What is remembered of a live task. */
export interface Watch extends Place {
  /** Of the heartbeat last seen; null before the first. */
  sign: string | null;
  left: boolean;
  silenceMs: number;
  level: HeartbeatLevel;
  deadTicks: number;
  /** Dead by its silence, in which its process was proved to be there, and not to be gone since. */
  alive: boolean;
  toldDead: boolean;
  lost: boolean;
}

export interface WatchState {
  intervalMs: number;
  lastTick: Moment | null;
  /** Ticks for which nobody is judged worse than before. */
  freshTicks: number;
  watches: ReadonlyMap<string, Watch>;
}

/** Ticks in a row, dead, after which a worker is given up; also the length of a fresh window. */
const ticksToJudge = 3;
/** A longer time between two ticks, in intervals, is one in which nobody was watched. */
const gapIntervalsMax = 2.5;
const severity: Readonly<Record<HeartbeatLevel, number>> = { healthy: 0, warn: 1, stale: 2, dead: 3 };

export function startWatch(intervalMs: number): WatchState {
  return { intervalMs, lastTick: null, freshTicks: 0, watches: new Map() };
}

/** The state after a look, and what has changed. A task that is no longer observed is forgotten. */
export function judgeTick(
  previous: WatchState,
  observation: readonly LiveTask[],
  now: Moment,
): { state: WatchState; findings: Finding[] } {
  const { intervalMs } = previous;
  const gap = gapSince(previous.lastTick, now);
  const gapMax = intervalMs * gapIntervalsMax;
  const wasAway = gap.wallMs > gapMax || gap.monotonicMs > gapMax;
  const freshTicks = wasAway ? ticksToJudge : Math.max(0, previous.freshTicks - 1);
  // where the monotonic clock stands still in a suspend, what it shows is time awake, and counts
  const watchedMs = gap.monotonicMs > gapMax ? 0 : gap.monotonicMs;
  const watches = new Map<string, Watch>();
  const findings: Finding[] = [];
  for (const task of observation) {
    const key = `${task.runId}/${task.taskId}/${task.attempt}/${task.workerId}`;
    const before = previous.watches.get(key) ?? newWatch(task);
    const heard = listen(before, task, previous.watches.has(key) ? watchedMs : 0);
    const judged = judge(heard, task, freshTicks > 0);
    watches.set(key, judged);
    if (judged.level !== "healthy" || before.level !== "healthy") findings.push(...changesOf(before, judged));
  }
  return { state: { intervalMs, lastTick: now, freshTicks, watches }, findings };
}

function gapSince(last: Moment | null, now: Moment): Moment {
  if (last === null) return { wallMs: 0, monotonicMs: 0 };
  return { wallMs: now.wallMs - last.wallMs, monotonicMs: now.monotonicMs - last.monotonicMs };
}

function newWatch({ runId, taskId, attempt, workerId }: Place): Watch {
  return {
    ...{ runId, taskId, attempt, workerId },
    sign: null,
    left: false,
    silenceMs: 0,
    level: "healthy",
    deadTicks: 0,
    alive: false,
    toldDead: false,
    lost: false,
  };
}

/** A heartbeat that can't be seen is no sign of death: silence goes on as before. */
function listen(watch: Watch, { sign, left }: LiveTask, watchedMs: number): Watch {
  if (sign === null || sign === watch.sign) return { ...watch, left, silenceMs: watch.silenceMs + watchedMs };
  return { ...watch, sign, left, silenceMs: 0 };
}

function judge(watch: Watch, { processAlive, thresholds }: LiveTask, fresh: boolean): Watch {
  const found = watch.left ? "dead" : levelOfSilence(watch.silenceMs, thresholds);
  const level = fresh && severity[found] > severity[watch.level] ? watch.level : found;
  if (level === "healthy" && watch.level === "healthy") return watch;
  if (level !== "dead") return { ...watch, level, deadTicks: 0, alive: false };
  const deadTicks = fresh ? 0 : watch.deadTicks + 1;
  // proved alive in this very silence: a look that proves nothing does not take that back
  const alive = processAlive === "alive" || (watch.alive && processAlive === "unknown");
  const lost = watch.lost || (deadTicks >= ticksToJudge && !alive);
  return { ...watch, level, deadTicks, alive, toldDead: true, lost };
}

function changesOf(before: Watch, after: Watch): Finding[] {
  const { runId, taskId, attempt, workerId, silenceMs, alive } = after;
  const common = { runId, taskId, attempt, workerId, silenceMs };
  const findings: Finding[] = [];
  if (after.level !== before.level || alive !== before.alive)
    findings.push({ ...common, kind: "level", level: after.level, previousLevel: before.level, alive });
  if (after.toldDead && !before.toldDead) findings.push({ ...common, kind: "dead", alive });
  if (after.lost && !before.lost) findings.push({ ...common, kind: "lost" });
  return findings;
}
