import { codeOf, messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import { type Attempt, writeEnd } from "./attempt-end.ts";
import { attemptEnvironment, attemptTags, isGivenUp, makeAttemptFolder } from "./attempt-folder.ts";
import type { AttemptHistory } from "./attempt-history.ts";
import { endTagged } from "./attempt-processes.ts";
import { AttemptRecord } from "./attempt-record.ts";
import { AttemptTree } from "./attempt-tree.ts";
import { type AttemptKinds, emptyResult, type KindContext, type KindResult, type StopReason } from "./kind.ts";
import { runWithinLimit } from "./limited-run.ts";
import { blocked, failed } from "./pi-outcome.ts";
import type { StepRequest } from "./step-contract.ts";
import { withVerify } from "./verify.ts";
import type { OwnerMessage, WrapperProcess } from "./wrapper-messages.ts";

const sweepMaxMs = 1000;

/** Does one attempt at a time and records it; outlives its owner until the attempt is over. */
export class WorkerHost {
  readonly #world: World;
  readonly #process: WrapperProcess;
  readonly #kinds: AttemptKinds;
  readonly #history: Pick<AttemptHistory, "add">;
  #cwd: string;
  #current: Attempt | null = null;
  /** Of the attempt whose order came last: it can be stopped before it has a record. */
  #stops: Pick<Attempt, "stop" | "unwanted"> | null = null;
  #ending = false;
  #warm = false;
  #kept: Promise<unknown> = Promise.resolve();

  constructor(
    world: World,
    wrapperProcess: WrapperProcess,
    kinds: AttemptKinds,
    cwd: string,
    history: Pick<AttemptHistory, "add">,
  ) {
    this.#history = history;
    this.#world = world;
    this.#process = wrapperProcess;
    this.#kinds = Object.fromEntries(Object.entries(kinds).map(([name, kind]) => [name, withVerify(kind, world)]));
    this.#cwd = cwd;
  }

  /** `warm`: with a session made ahead, for the first attempt and those after it. */
  async prepare(warm: boolean): Promise<void> {
    this.#warm ||= warm;
    if (this.#warm) await this.#kinds["pi"]?.prepare(this.#cwd);
    this.#process.tell({ type: "ready" });
  }

  async take(message: OwnerMessage): Promise<void> {
    if (message.type === "cancel") this.#stop("cancelled");
    else if (message.type === "end") this.leave();
    else if (this.#current || this.#ending) this.#tellEnded("the worker is busy");
    else await this.#work(message.request, message.workerId);
  }

  /** The owner is gone or wants no more: ends now when idle, else after the attempt. */
  leave(): void {
    this.#ending = true;
    if (!this.#current) this.#exit(0);
  }

  /** SIGTERM: cancels, records, ends. */
  terminate(): void {
    this.#stop("cancelled");
    this.leave();
  }

  /** The attempt is over for its run: ends with all that it started, and leaves no end for anybody to take. */
  #abandon(): void {
    const attempt = this.#current;
    this.#ending = true;
    if (attempt) attempt.recorded ??= this.#sweep(attempt).then(() => this.#exit(1));
    this.#stop("cancelled");
  }

  /** Throws when the run's owner has given the attempt up. */
  #requireWanted({ runtime }: StepRequest): void {
    if (!isGivenUp(this.#world.files, runtime.attemptFolder)) return;
    this.#abandon();
    throw new Error("the attempt was given up");
  }

  /** Something threw where nobody listened, most likely an extension: the attempt fails, the process ends. */
  async crash(error: unknown): Promise<void> {
    const attempt = this.#current;
    this.#ending = true;
    if (attempt) {
      const base = this.#kinds[attempt.request.workerKind]?.partial() ?? emptyResult;
      attempt.crashed ??= { ...base, ...failed("transient", "worker-crashed", messageOf(error)) };
      attempt.record.stderr(`${error instanceof Error ? error.stack : String(error)}\n`);
      attempt.stop.abort("cancelled");
      // what carries the attempt's tag is another worker's until it is claimed
      if (attempt.record.claimed) {
        await this.#sweep(attempt);
        await this.#recordEnd(attempt, attempt.crashed);
        await this.#sweep(attempt);
        this.#keep(attempt);
      }
    }
    this.#exit(1);
  }

  /** Its owner does not wait for that, this process's end does. */
  #keep(attempt: Attempt): void {
    if (attempt.step) this.#kept = Promise.all([this.#kept, this.#history.add(attempt.step, attempt.request)]);
    attempt.step = null;
  }

  #exit(code: number): void {
    void this.#kept.then(() => this.#process.exit(code));
  }

  #tellEnded(refused: string | null): void {
    this.#process.tell({ type: "ended", refused, leaving: this.#ending });
  }

  #stop(reason: StopReason): void {
    this.#stops?.stop.abort(reason);
    this.#stops?.unwanted.abort(reason);
  }

  async #work(request: StepRequest, workerId: string): Promise<void> {
    const stops = { stop: new AbortController(), unwanted: new AbortController() };
    this.#stops = stops;
    const redactor = await this.#process.redactor;
    const unmade = await makeAttemptFolder(this.#world.files, request.runtime.attemptFolder).then(() => "", messageOf);
    if (unmade) return this.#tellEnded(`the attempt's folder can't be written: ${unmade}`);
    // its owner went meanwhile: this process is already on its way out
    if (this.#ending) return this.#tellEnded("the worker is ending");
    const record = new AttemptRecord(this.#world, request, workerId, redactor, () => this.#abandon());
    const tree = new AttemptTree(this.#world, request, record);
    const attempt: Attempt = { request, workerId, ...stops, record, tree, crashed: null, recorded: null, step: null };
    this.#current = attempt;
    const refused = await this.#attempt(attempt);
    // a session that could not be stopped may have started others since
    if (this.#ending && refused === null) await this.#sweep(attempt);
    record.close();
    this.#current = null;
    this.#tellEnded(refused);
    this.#keep(attempt);
    if (this.#ending) return this.#exit(0);
    this.#cwd = request.runtime.repoRoot;
    await this.prepare(request.workerKind === "pi");
  }

  /** Why the attempt was not begun; null when it was, and its end is on disk. */
  async #attempt(attempt: Attempt): Promise<string | null> {
    const { request, record } = attempt;
    const claimed = Promise.resolve(this.#kinds[request.workerKind]?.load?.()).then(() => record.claim());
    claimed.catch(() => undefined);
    const stray = (text: string) => record.stderr(text);
    const leave = this.#process.enter(attemptEnvironment(attempt), request.runtime.worktreePath, stray);
    try {
      const result = await this.#run(attempt, claimed);
      await claimed;
      leave();
      const left = await this.#sweep(attempt);
      if (left > 0) record.stderr(`[ended ${left} processes left by the attempt]\n`);
      this.#requireWanted(request);
      await this.#recordEnd(attempt, result);
      return null;
    } catch (error) {
      leave();
      await claimed.catch(() => undefined);
      if (record.claimed) return await this.#fail(attempt, error);
      const taken = codeOf(error) === "EEXIST";
      return taken ? "the attempt is another worker's" : `the attempt could not be recorded: ${messageOf(error)}`;
    }
  }

  /** The attempt is ours on disk and can't go on: without an end it would be taken for running as long as we live. */
  async #fail(attempt: Attempt, error: unknown): Promise<null> {
    this.#ending = true;
    const base = this.#kinds[attempt.request.workerKind]?.partial() ?? emptyResult;
    await this.#sweep(attempt);
    await this.#recordEnd(attempt, { ...base, ...failed("transient", "worker-crashed", messageOf(error)) });
    return null;
  }

  async #run(attempt: Attempt, claimed: Promise<void>): Promise<KindResult> {
    const { request, stop, record, tree } = attempt;
    const kind = this.#kinds[request.workerKind];
    if (!kind) {
      await claimed;
      return { ...emptyResult, ...blocked("worker-kind", `This worker can't do steps of kind ${request.workerKind}.`) };
    }
    record.event("worker_started", request.workerKind);
    // who was frozen until now touches no file of the attempt that came after it
    const wanted = claimed.then(() => this.#requireWanted(request));
    wanted.catch(() => undefined);
    const problem = tree.restores ? await tree.begin(wanted) : null;
    if (problem !== null) return { ...emptyResult, ...failed("permanent", "checkpoint", problem) };
    const begun = () => tree.begin(wanted).then(() => this.#requireWanted(request));
    const context: KindContext = {
      signal: stop.signal,
      taken: claimed,
      get claimed() {
        return begun();
      },
      stdout: (line) => {
        record.stdout(line);
        this.#process.tell({ type: "changed" });
      },
      stderr: (text) => record.stderr(text),
      bytes: (log, bytes) => record.bytes(log, bytes),
      live: (parts) => record.live.show(parts),
      environment: attemptEnvironment(attempt),
      spoil: () => {
        this.#ending = true;
      },
    };
    const result = await runWithinLimit(this.#world.clock, kind, request, stop, context);
    return await tree.settle(result, claimed, stop.signal.aborted);
  }

  #sweep({ request, workerId }: Attempt): Promise<number> {
    return endTagged(this.#world, attemptTags(request, workerId), sweepMaxMs);
  }

  #recordEnd(attempt: Attempt, result: KindResult): Promise<void> {
    attempt.recorded ??= writeEnd(this.#world, this.#process, attempt, attempt.crashed ?? result);
    return attempt.recorded;
  }
}
