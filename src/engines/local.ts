import {
  type AttemptHooks,
  type AttemptOrder,
  type AttemptReport,
  LET_GO,
  NO_ROOM,
  type TaskEngine,
} from "../runs/execute.ts";
import { messageOf } from "../system/errors.ts";
import { isNoRoom, unstartedReport } from "./attempt-report.ts";
import { AttemptLetGo, type AttemptLimits, attemptLimits, LocalAttempt, type WorkerSource } from "./local-attempt.ts";
import { endUnreadable, readPatiently } from "./take-over.ts";
import { WrapperPool, type WrapperPoolOptions } from "./wrapper-pool.ts";

export interface LocalEngineOptions extends Omit<WrapperPoolOptions, "hostEntry"> {
  /** Null where the host is a single binary, whose SDK can't be loaded. */
  hostEntry: string | null;
  /** `attemptLimits` unless given. */
  limits?: AttemptLimits;
}

const singleBinary =
  "This Pi is a single binary, whose SDK a worker can't load. Install Pi with npm to run teams in it.";

/** Attempts in processes on this machine. After `dispose`, `execute` rejects with AttemptLetGo. */
export function createLocalEngine(options: LocalEngineOptions): TaskEngine {
  const { world, hostEntry, limits = attemptLimits } = options;
  const pool = hostEntry === null ? null : new WrapperPool({ ...options, hostEntry });
  const running = new Set<LocalAttempt>();
  let disposed = false;
  const requireWanted = (signal: AbortSignal) => {
    if (disposed || signal.reason === LET_GO) throw new AttemptLetGo();
  };

  const start = async (order: AttemptOrder, signal: AbortSignal): Promise<WorkerSource | AttemptReport> => {
    if (!pool) return unstartedReport("blocked", "host-sdk", singleBinary);
    const cancelled = unstartedReport("cancelled", "cancelled", "Cancelled before it began.");
    if (signal.aborted) return cancelled;
    try {
      return { pool, wrapper: await pool.take(signal, order.task.kind === "pi"), again: false };
    } catch (error) {
      requireWanted(signal);
      if (signal.aborted) return cancelled;
      const why = messageOf(error);
      return unstartedReport("failed", isNoRoom(why) ? NO_ROOM : "worker-start", `No worker could be started: ${why}`);
    }
  };
  const find = async (order: AttemptOrder, workerId: string, signal: AbortSignal) => {
    const own = pool?.lentTo(order.folder);
    if (pool && own) return { pool, wrapper: own, again: true };
    const read = await readPatiently(world, order.folder);
    requireWanted(signal);
    if ("error" in read) return await endUnreadable(world, order, workerId, read.error);
    return read.state ? { state: read.state } : await start(order, signal);
  };

  return {
    prepare: (count) => {
      if (!disposed) pool?.prepare(count);
    },
    execute: async (order, workerId, hooks: AttemptHooks, signal) => {
      requireWanted(signal);
      const source = await find(order, workerId, signal);
      if ("outcome" in source) return source;
      if ((disposed || signal.reason === LET_GO) && "wrapper" in source && !source.again)
        source.pool.discard(source.wrapper);
      requireWanted(signal);
      const attempt = new LocalAttempt(world, order, workerId, hooks, signal, source, limits);
      running.add(attempt);
      try {
        return await attempt.run();
      } finally {
        running.delete(attempt);
      }
    },
    dispose: async () => {
      disposed = true;
      for (const attempt of running) attempt.letGo();
      await pool?.dispose();
    },
  };
}
