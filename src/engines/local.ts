import type { AttemptHooks, AttemptOrder, AttemptReport, TaskEngine } from "../runs/execute.ts";
import { messageOf } from "../system/errors.ts";
import { unstartedReport } from "./attempt-report.ts";
import { type AttemptLimits, attemptLimits, EngineDisposed, LocalAttempt, type WorkerSource } from "./local-attempt.ts";
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

/** Attempts in processes on this machine. After `dispose`, `execute` rejects with EngineDisposed. */
export function createLocalEngine(options: LocalEngineOptions): TaskEngine {
  const { world, hostEntry, limits = attemptLimits } = options;
  const pool = hostEntry === null ? null : new WrapperPool({ ...options, hostEntry });
  const running = new Set<LocalAttempt>();
  let disposed = false;

  const start = async (signal: AbortSignal): Promise<WorkerSource | AttemptReport> => {
    if (!pool) return unstartedReport("blocked", "host-sdk", singleBinary);
    const cancelled = unstartedReport("cancelled", "cancelled", "Cancelled before it began.");
    if (signal.aborted) return cancelled;
    try {
      return { pool, wrapper: await pool.take(signal) };
    } catch (error) {
      if (disposed) throw new EngineDisposed();
      if (signal.aborted) return cancelled;
      return unstartedReport("failed", "worker-start", `No worker could be started: ${messageOf(error)}`);
    }
  };
  const find = async (order: AttemptOrder, workerId: string, signal: AbortSignal) => {
    const read = await readPatiently(world, order.folder);
    if (disposed) throw new EngineDisposed();
    if ("error" in read) return await endUnreadable(world, order, workerId, read.error);
    return read.state ? { state: read.state } : await start(signal);
  };

  return {
    prepare: (count) => {
      if (!disposed) pool?.prepare(count);
    },
    execute: async (order, workerId, hooks: AttemptHooks, signal) => {
      if (disposed) throw new EngineDisposed();
      const source = await find(order, workerId, signal);
      if ("outcome" in source) return source;
      if (disposed) {
        if ("wrapper" in source) source.pool.discard(source.wrapper);
        throw new EngineDisposed();
      }
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
