import type { AttemptHooks, AttemptOrder, AttemptReport, TaskEngine } from "../runs/execute.ts";
import { messageOf } from "../system/errors.ts";
import { readAttemptState } from "../workers/attempt-folder.ts";
import { unstartedReport } from "./attempt-report.ts";
import { EngineDisposed, LocalAttempt, type WorkerSource } from "./local-attempt.ts";
import { WrapperPool, type WrapperPoolOptions } from "./wrapper-pool.ts";

export interface LocalEngineOptions extends Omit<WrapperPoolOptions, "hostEntry"> {
  /** Null where the host is a single binary, whose SDK can't be loaded. */
  hostEntry: string | null;
}

const singleBinary =
  "This Pi is a single binary, whose SDK a worker can't load. Install Pi with npm to run teams in it.";

/** Attempts in processes on this machine. After `dispose`, `execute` rejects with EngineDisposed. */
export function createLocalEngine(options: LocalEngineOptions): TaskEngine {
  const { world, hostEntry } = options;
  const pool = hostEntry === null ? null : new WrapperPool({ ...options, hostEntry });
  const running = new Set<LocalAttempt>();
  let disposed = false;

  const find = async (order: AttemptOrder, signal: AbortSignal): Promise<WorkerSource | AttemptReport> => {
    const state = await readAttemptState(world.files, order.folder);
    if (state) return { state };
    if (!pool) return unstartedReport("blocked", "host-sdk", singleBinary);
    if (signal.aborted) return unstartedReport("cancelled", "cancelled", "Cancelled before it began.");
    return { pool, wrapper: await pool.take() };
  };

  return {
    prepare: (count) => {
      if (!disposed) void pool?.prepare(count);
    },
    execute: async (order, workerId, hooks: AttemptHooks, signal) => {
      if (disposed) throw new EngineDisposed();
      let source: WorkerSource | AttemptReport;
      try {
        source = await find(order, signal);
      } catch (error) {
        return unstartedReport("failed", "worker-start", `No worker could be started: ${messageOf(error)}`);
      }
      if ("outcome" in source) return source;
      const attempt = new LocalAttempt(world, order, workerId, hooks, signal, source);
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
