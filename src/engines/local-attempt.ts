import { type AttemptHooks, type AttemptOrder, type AttemptReport, LET_GO } from "../runs/execute.ts";
import { timeoutSecOf } from "../runs/manifest.ts";
import type { World } from "../system/world.ts";
import { attemptTags, readAttemptState } from "../workers/attempt-folder.ts";
import { type AttemptEnd, AttemptFollower, type SeenWorker } from "../workers/attempt-follower.ts";
import { endTagged } from "../workers/attempt-processes.ts";
import { lineReaderOf } from "../workers/line-reader.ts";
import type { AttemptState } from "../workers/step-contract.ts";
import { endRetryMaxMs, stopGraceMs, timerMsMax } from "../workers/wrapper-messages.ts";
import { type EndCause, refusedReport, reportOfRemains, reportOfResult, requestOf } from "./attempt-report.ts";
import { awakeMs, giveUpUnproved, lastedUnseen } from "./take-over.ts";
import type { Wrapper } from "./wrapper.ts";
import type { WrapperPool } from "./wrapper-pool.ts";

/** Steps of a cancellation; all together, with the sweep, under three seconds. */
const cancelMs = 1500;
const terminateMs = 500;
const killMs = 400;
const sweepMaxMs = 400;
/** For a worker to say that it is free again. */
const wordMs = 500;

/** How long a worker may take for what it does by itself, before its owner does it. */
export interface AttemptLimits {
  /** Until it has taken the attempt that it was given; a cold start lies within. Milliseconds. */
  claimMs: number;
  /** Beyond the attempt's time limit and the grace after it: for sweeping and recording. Milliseconds. */
  marginMs: number;
}

export const attemptLimits: AttemptLimits = { claimMs: 60_000, marginMs: 5000 };

/** Nobody follows the attempt any more, which goes on. */
export class AttemptLetGo extends Error {
  override readonly name = "AttemptLetGo";

  constructor() {
    super("The attempt was let go of; it goes on.");
  }
}

/** A worker for the attempt (`again`: which has it, let go of by us), or the state in which a former owner's has it. */
export type WorkerSource = { state: AttemptState } | { pool: WrapperPool; wrapper: Wrapper; again: boolean };

/**
 * Whom we may signal. `held`: our own child while it is at this attempt. `given-back`: it was ours, and may be at
 * another run's attempt by now. `adopted`: somebody else's, who must be proved to be at it.
 */
type Hold = { kind: "held"; wrapper: Wrapper } | { kind: "given-back" } | { kind: "adopted" };

/** One attempt from the owner's side: handed over or adopted, followed, ended when it must be, reported. */
export class LocalAttempt {
  readonly #world: World;
  readonly #order: AttemptOrder;
  readonly #hooks: AttemptHooks;
  readonly #signal: AbortSignal;
  readonly #limits: AttemptLimits;
  readonly #source: WorkerSource;
  readonly #follower: AttemptFollower;
  readonly #workerId: string;
  readonly #startedMs: number;
  readonly #over = new AbortController();
  readonly #word = new AbortController();
  readonly #timers: Disposable[] = [];
  #hold: Hold;
  #letGo = false;
  #refused: string | null = null;
  #ending: EndCause | null = null;

  constructor(
    world: World,
    order: AttemptOrder,
    workerId: string,
    hooks: AttemptHooks,
    signal: AbortSignal,
    source: WorkerSource,
    limits: AttemptLimits,
  ) {
    this.#world = world;
    this.#order = order;
    this.#hooks = hooks;
    this.#signal = signal;
    this.#limits = limits;
    this.#source = source;
    this.#hold = "wrapper" in source ? { kind: "held", wrapper: source.wrapper } : { kind: "adopted" };
    this.#workerId = "state" in source && source.state.status === "running" ? source.state.workerId : workerId;
    this.#startedMs = world.clock.monotonicMs();
    this.#follower = new AttemptFollower(world, order.folder, lineReaderOf(order.task.kind), {
      worker: (worker, startedAt) => this.#seen(worker, startedAt),
      progress: (progress) => hooks.progress(progress),
      used: ({ tokens, costUsd }) => hooks.used(tokens, costUsd),
      checkpoint: (checkpoint) => hooks.checkpoint(checkpoint),
      isOurs: (worker) => this.#isOurs(worker),
    });
  }

  /** The worker goes on without us; `run` rejects. */
  letGo(): void {
    this.#letGo = true;
    this.#follower.stop();
  }

  async run(): Promise<AttemptReport> {
    const aborted = () => {
      if (this.#signal.reason === LET_GO) this.letGo();
      else void this.#end(this.#signal.reason === "lost" ? "heartbeat-dead" : "cancelled");
    };
    try {
      if ("wrapper" in this.#source) this.#hand(this.#source);
      if (this.#signal.aborted) aborted();
      else this.#signal.addEventListener("abort", aborted, { once: true });
      const end = await this.#follower.follow();
      if (this.#letGo) throw new AttemptLetGo();
      // its record is seen before its word comes: the next attempt would start another process meanwhile
      if (this.#hold.kind === "held" && end.kind === "ended") await this.#world.clock.sleep(wordMs, this.#word.signal);
      return await this.#report(end);
    } finally {
      this.#over.abort();
      for (const timer of this.#timers) timer[Symbol.dispose]();
      this.#signal.removeEventListener("abort", aborted);
      if (this.#hold.kind === "held" && "pool" in this.#source) this.#source.pool.letGo(this.#hold.wrapper);
    }
  }

  #hand({ wrapper, pool, again }: Extract<WorkerSource, { pool: WrapperPool }>): void {
    wrapper.attemptFolder = this.#order.folder;
    wrapper.listen({
      changed: () => this.#follower.poke(),
      waiting: (why) => this.#hooks.progress({ text: `its end can't be recorded yet: ${why}` }),
      ended: (refused) => {
        this.#hold = { kind: "given-back" };
        this.#word.abort();
        this.#refused = refused;
        if (refused === null) this.#follower.poke();
        else this.#follower.childGone();
        pool.giveBack(wrapper);
      },
      gone: () => {
        this.#word.abort();
        this.#follower.childGone();
      },
    });
    const request = requestOf(this.#order, new Date(this.#world.clock.now()).toISOString());
    // without a channel it hears of nothing, and nobody hears of it
    if (!again && !wrapper.send({ type: "attempt", request, workerId: this.#workerId })) wrapper.kill();
    this.#endAfter(this.#limits.claimMs, "worker-start");
  }

  #seen(worker: SeenWorker, startedAt: string | null): void {
    const adopted = !this.#isOurs(worker) || ("again" in this.#source && this.#source.again);
    for (const timer of this.#timers.splice(0)) timer[Symbol.dispose]();
    if (startedAt !== null) {
      const already = adopted ? awakeMs(this.#world, this.#order.folder, startedAt) : 0;
      const limitMs = this.#timeoutSec * 1000 - already + stopGraceMs + this.#limits.marginMs;
      // it may have ended long ago, and could not write that to a disk which has room again
      this.#endAfter(Math.max(limitMs, adopted ? 2 * endRetryMaxMs : 0), "timeout");
    }
    this.#hooks.spawned({ workerId: worker.workerId, pid: worker.pid, adopted });
  }

  get #timeoutSec(): number {
    return timeoutSecOf(this.#order.manifest, this.#order.task);
  }

  #isOurs({ workerId, pid }: SeenWorker): boolean {
    const { child } = "wrapper" in this.#source ? this.#source.wrapper : { child: null };
    return child !== null && child.pid === pid && workerId === this.#workerId;
  }

  #endAfter(ms: number, cause: EndCause): void {
    const fire = () => void this.#end(cause);
    this.#timers.push(this.#world.clock.after(Math.min(Math.max(0, ms), timerMsMax), fire));
  }

  /** Each step only while the attempt is not over. The first cause counts. */
  async #end(cause: EndCause): Promise<void> {
    if (this.#ending !== null || this.#over.signal.aborted) return;
    this.#ending = cause;
    if (cause === "cancelled") await this.#ask();
    await this.#signalWorker("SIGKILL");
    await this.#wait(killMs);
    // who can't be proved dead (another machine's, another container's) is not ours to end
    if (!this.#over.signal.aborted) this.#follower.stop();
  }

  async #ask(): Promise<void> {
    if (this.#hold.kind === "held") {
      this.#hold.wrapper.send({ type: "cancel", reason: "cancelled" });
      await this.#wait(cancelMs);
      await this.#signalWorker("SIGTERM");
      await this.#wait(terminateMs);
    } else {
      await this.#signalWorker("SIGTERM");
      await this.#wait(cancelMs + terminateMs);
    }
  }

  #wait(ms: number): Promise<void> {
    return this.#world.clock.sleep(ms, this.#over.signal);
  }

  /** Only a process that is proved to be at this attempt: our own child that holds it, or by a record read just now. */
  async #signalWorker(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    if (this.#over.signal.aborted) return;
    const { processes, files } = this.#world;
    const state = await readAttemptState(files, this.#order.folder).catch(() => null);
    if (state?.status === "running" && !this.#isOurs(state)) {
      if (processes.alive(state) === "alive") processes.killGroup(state.pid, signal);
    } else if (this.#hold.kind === "held" && !this.#hold.wrapper.exited) {
      processes.killGroup(this.#hold.wrapper.child.pid, signal);
    }
    this.#follower.hurry();
  }

  async #report(end: AttemptEnd): Promise<AttemptReport> {
    if (end.kind === "ended") return reportOfResult(end.result);
    await giveUpUnproved(this.#world, this.#order.folder, (state) => this.#isOurs(state));
    const { manifest, task, attempt } = this.#order;
    const { runId } = manifest;
    await endTagged(this.#world, attemptTags({ runId, taskId: task.taskId, attempt }, this.#workerId), sweepMaxMs);
    const refused = this.#ending === null && end.startedAt === null ? this.#refused : null;
    if (refused !== null) return refusedReport(refused);
    const cause = this.#ending ?? "worker-died";
    return reportOfRemains(cause, end.tally, await this.#lasted(cause, end.startedAt), await this.#sentence(cause));
  }

  async #lasted(cause: EndCause, startedAt: string | null) {
    if (startedAt !== null && ("state" in this.#source || this.#source.again))
      return lastedUnseen(this.#world, this.#order.folder, startedAt, cause === "worker-died");
    return { durationMs: Math.round(this.#world.clock.monotonicMs() - this.#startedMs), finishedAt: null };
  }

  #sentence(cause: EndCause): string | Promise<string> {
    if (cause === "cancelled") return "The attempt was cancelled.";
    if (cause === "heartbeat-dead") return "The worker showed no sign of life any more and was ended.";
    if (cause === "timeout")
      return `No end within timeoutSec ${this.#timeoutSec}; the worker did not end it and was ended.`;
    if (cause === "worker-start") return `The worker did not take the attempt within ${this.#limits.claimMs} ms.`;
    return this.#epitaph();
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
