import type { AttemptHooks, AttemptOrder, AttemptReport } from "../runs/execute.ts";
import type { World } from "../system/world.ts";
import { attemptTags } from "../workers/attempt-folder.ts";
import { type AttemptEnd, AttemptFollower } from "../workers/attempt-follower.ts";
import { endTagged } from "../workers/attempt-processes.ts";
import type { AttemptState } from "../workers/step-contract.ts";
import { reportOfRemains, reportOfResult, requestOf, unstartedReport } from "./attempt-report.ts";
import type { Wrapper, WrapperPool } from "./wrapper-pool.ts";

/** Steps of a cancellation; all together, with the sweep, under three seconds. */
const cancelMs = 1500;
const terminateMs = 500;
const killMs = 400;
const sweepMaxMs = 400;

/** The engine was let go of: the attempt goes on without us. */
export class EngineDisposed extends Error {
  override readonly name = "EngineDisposed";

  constructor() {
    super("The engine was disposed of; the attempt goes on.");
  }
}

/** A worker for the attempt, or the state in which a former owner's worker has it. */
export type WorkerSource = { state: AttemptState } | { pool: WrapperPool; wrapper: Wrapper };

/** One attempt from the owner's side: handed over or adopted, followed, cancelled, reported. */
export class LocalAttempt {
  readonly #world: World;
  readonly #order: AttemptOrder;
  readonly #hooks: AttemptHooks;
  readonly #signal: AbortSignal;
  readonly #source: WorkerSource;
  readonly #follower: AttemptFollower;
  readonly #workerId: string;
  readonly #startedMs: number;
  readonly #over = new AbortController();
  #letGo = false;
  #refused: string | null = null;

  constructor(
    world: World,
    order: AttemptOrder,
    workerId: string,
    hooks: AttemptHooks,
    signal: AbortSignal,
    source: WorkerSource,
  ) {
    this.#world = world;
    this.#order = order;
    this.#hooks = hooks;
    this.#signal = signal;
    this.#source = source;
    this.#workerId = "state" in source && source.state.status === "running" ? source.state.workerId : workerId;
    this.#startedMs = world.clock.monotonicMs();
    this.#follower = new AttemptFollower(world, order.folder, (progress) => hooks.progress(progress));
  }

  /** The worker goes on without us; `run` rejects. */
  letGo(): void {
    this.#letGo = true;
    this.#follower.stop();
  }

  async run(): Promise<AttemptReport> {
    if ("wrapper" in this.#source) this.#hand(this.#source.wrapper, this.#source.pool);
    else if (this.#source.state.status === "running")
      this.#hooks.spawned({ workerId: this.#workerId, pid: this.#source.state.pid, adopted: true });
    const cancel = () => void this.#cancel();
    if (this.#signal.aborted) cancel();
    else this.#signal.addEventListener("abort", cancel, { once: true });
    try {
      const end = await this.#follower.follow();
      if (this.#letGo) throw new EngineDisposed();
      return await this.#report(end);
    } finally {
      this.#over.abort();
      this.#signal.removeEventListener("abort", cancel);
    }
  }

  #hand(wrapper: Wrapper, pool: WrapperPool): void {
    const { child } = wrapper;
    wrapper.listen({
      changed: () => this.#follower.poke(),
      ended: (refused) => {
        this.#refused = refused;
        if (refused === null) this.#follower.poke();
        else this.#follower.childGone();
        pool.giveBack(wrapper);
      },
    });
    void child.exited.then(() => {
      wrapper.listen(null);
      this.#follower.childGone();
    });
    const request = requestOf(this.#order, new Date(this.#world.clock.now()).toISOString());
    wrapper.send({ type: "attempt", request, workerId: this.#workerId });
    if (child.pid > 0) this.#hooks.spawned({ workerId: this.#workerId, pid: child.pid, adopted: false });
  }

  /** Asks, then tells, then kills; each step only while the attempt is not over. */
  async #cancel(): Promise<void> {
    if ("wrapper" in this.#source) {
      this.#source.wrapper.send({ type: "cancel", reason: "cancelled" });
      await this.#wait(cancelMs);
      this.#signalWorker("SIGTERM");
      await this.#wait(terminateMs);
    } else {
      this.#signalWorker("SIGTERM");
      await this.#wait(cancelMs + terminateMs);
    }
    this.#signalWorker("SIGKILL");
    await this.#wait(killMs);
    // who can't be proved dead (another machine's, another container's) is not ours to end
    if (!this.#over.signal.aborted) this.#follower.stop();
  }

  #wait(ms: number): Promise<void> {
    return this.#world.clock.sleep(ms, this.#over.signal);
  }

  /** Only to a process that is proved to be the attempt's worker: our own child, or by its start time. */
  #signalWorker(signal: "SIGTERM" | "SIGKILL"): void {
    if (this.#over.signal.aborted) return;
    const { processes } = this.#world;
    const worker = this.#follower.worker;
    if (worker && processes.alive(worker) === "alive") processes.killGroup(worker.pid, signal);
    else if ("wrapper" in this.#source && !this.#source.wrapper.exited)
      processes.killGroup(this.#source.wrapper.child.pid, signal);
    this.#follower.poke();
  }

  async #report(end: AttemptEnd): Promise<AttemptReport> {
    if (end.kind === "ended") return reportOfResult(end.result);
    await endTagged(this.#world, attemptTags({ ...this.#order, ...this.#ids() }, this.#workerId), sweepMaxMs);
    const durationMs = this.#durationOf(end.startedAt);
    if (this.#signal.aborted) return reportOfRemains("cancelled", end.tally, durationMs, "The attempt was cancelled.");
    if (end.startedAt === null && this.#refused !== null)
      return unstartedReport("failed", "worker-refused", `The worker refused: ${this.#refused}.`);
    return reportOfRemains("lost", end.tally, durationMs, await this.#epitaph());
  }

  #ids(): { runId: string; taskId: string } {
    return { runId: this.#order.manifest.runId, taskId: this.#order.task.taskId };
  }

  #durationOf(startedAt: string | null): number {
    if (startedAt !== null && "state" in this.#source)
      return Math.max(0, this.#world.clock.now() - Date.parse(startedAt));
    return Math.round(this.#world.clock.monotonicMs() - this.#startedMs);
  }

  async #epitaph(): Promise<string> {
    if ("state" in this.#source) return "The worker's process is gone; it wrote no end.";
    const { child } = this.#source.wrapper;
    const { code, signal } = await child.exited;
    const words = await this.#source.wrapper.lastWords();
    const how = signal ?? (code === null ? "it could not be started" : `exit code ${code}`);
    return `The worker's process ended without a result (${how}).${words ? ` Its last words: ${words}` : ""}`;
  }
}
