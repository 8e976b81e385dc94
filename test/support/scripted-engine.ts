import {
  type AttemptHooks,
  type AttemptOrder,
  type AttemptReport,
  LET_GO,
  type TaskEngine,
} from "../../src/runs/execute.ts";

/** A report of an attempt that went well, with what the test wants to be different. */
export function attemptReport(changes: Partial<AttemptReport> = {}): AttemptReport {
  return {
    outcome: "completed",
    durationMs: 1,
    finishedAt: null,
    summary: "done",
    model: null,
    tokens: { input: 1, output: 2, cacheRead: 3, cacheWrite: 4 },
    costUsd: 0.25,
    usage: [],
    hostRetries: 0,
    exitCode: 0,
    failureKind: null,
    error: null,
    artifacts: [],
    changes: null,
    checkpoints: [],
    commit: null,
    ...changes,
  };
}

export function failedReport(message = "it failed"): AttemptReport {
  return attemptReport({ outcome: "failed", failureKind: "permanent", error: { kind: "test", message }, exitCode: 1 });
}

export const CANCELLED_REPORT: AttemptReport = attemptReport({
  outcome: "cancelled",
  failureKind: "cancelled",
  summary: "",
  exitCode: null,
  error: { kind: "cancelled", message: "cancelled" },
});

/** A pretended worker process: it lives in its map, whatever happens to the engine that started it. */
interface PretendedWorker {
  workerId: string;
  ended: Promise<AttemptReport>;
  end: (report: AttemptReport) => void;
}

export type PretendedWorkers = Map<string, PretendedWorker>;

/**
 * A test double that stands for worker processes: no process is started, an attempt "runs" until the script or the
 * test ends it. Two engines that share `workers` see the same ones, as two sessions on one machine do.
 */
export class ScriptedEngine implements TaskEngine {
  /** Each call of `execute`, in order. */
  readonly executed: { taskId: string; attempt: number; workerId: string; adopted: boolean; prompt: string }[] = [];
  readonly hooks = new Map<string, AttemptHooks>();
  readonly aborted: string[] = [];
  prepared = 0;
  /** Attempts under way, and the most there ever were at once. */
  running = 0;
  runningMax = 0;
  readonly #script: (order: AttemptOrder) => AttemptReport | Promise<AttemptReport> | "hold";
  readonly #workers: PretendedWorkers;
  readonly #letGo = new Set<(error: Error) => void>();
  readonly #held = new Map<string, PretendedWorker>();
  #changed: () => void = () => undefined;

  /** `script` gives an attempt's report; `hold` lets it run until `end`. */
  constructor(script: ScriptedEngine["script"] = () => "hold", workers: PretendedWorkers = new Map()) {
    this.#script = script;
    this.#workers = workers;
  }

  get script(): (order: AttemptOrder) => AttemptReport | Promise<AttemptReport> | "hold" {
    return this.#script;
  }

  prepare(count: number): void {
    this.prepared += count;
  }

  async execute(order: AttemptOrder, workerId: string, hooks: AttemptHooks, signal: AbortSignal) {
    const { taskId } = order.task;
    const known = this.#workers.get(order.folder);
    this.executed.push({ taskId, attempt: order.attempt, workerId, adopted: Boolean(known), prompt: order.prompt });
    this.hooks.set(taskId, hooks);
    const worker = known ?? this.#start(order, workerId);
    this.#held.set(taskId, worker);
    this.runningMax = Math.max(this.runningMax, ++this.running);
    this.#changed();
    hooks.spawned({ workerId: worker.workerId, pid: 4000 + this.executed.length, adopted: Boolean(known) });
    const abort = () => {
      if (signal.reason === LET_GO) return free(new Error("the attempt was let go of"));
      this.aborted.push(taskId);
      worker.end(CANCELLED_REPORT);
    };
    let free: (error: Error) => void = () => undefined;
    const letGo = new Promise<never>((_resolve, reject) => {
      free = reject;
    });
    this.#letGo.add(free);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    try {
      return await Promise.race([worker.ended, letGo]);
    } finally {
      this.running--;
      this.#letGo.delete(free);
      signal.removeEventListener("abort", abort);
    }
  }

  /** Ends an attempt that is held. */
  end(taskId: string, report: AttemptReport = attemptReport()): void {
    const worker = this.#held.get(taskId);
    if (!worker) throw new Error(`no attempt of ${taskId} was begun`);
    worker.end(report);
  }

  /** Resolves when so many attempts have been begun. */
  async begun(count: number): Promise<void> {
    while (this.executed.length < count)
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
  }

  async dispose(): Promise<void> {
    for (const free of this.#letGo) free(new Error("the engine was let go of"));
  }

  #start(order: AttemptOrder, workerId: string): PretendedWorker {
    let end: (report: AttemptReport) => void = () => undefined;
    const ended = new Promise<AttemptReport>((resolve) => {
      end = resolve;
    });
    const worker = { workerId, ended, end };
    this.#workers.set(order.folder, worker);
    const scripted = this.#script(order);
    if (scripted !== "hold") void Promise.resolve(scripted).then(end);
    return worker;
  }
}
