import { codeOf, invariant, messageOf } from "../system/errors.ts";
import type { Redactor } from "../system/redaction.ts";
import type { World } from "../system/world.ts";
import {
  attemptPaths,
  eventId,
  heartbeatMs,
  isGivenUp,
  preparedEvents,
  readAttemptState,
  readPrepared,
  type WorkerHeartbeat,
  writeMeta,
} from "./attempt-folder.ts";
import { AttemptLogs } from "./attempt-logs.ts";
import { AttemptOutput } from "./attempt-output.ts";
import { END_EVENTS, type KindResult, stepOutcomeOf } from "./kind.ts";
import { type LeftBehind, nothingLeft } from "./left-behind.ts";
import { LiveFile } from "./live-file.ts";
import { maskLine } from "./masked-output.ts";
import type { AttemptState, LifecycleEvent, LifecycleEventType, StepRequest, StepResult } from "./step-contract.ts";

/** The wrapper's pen: it alone writes an attempt's folder. What was asked stands there as it was said, what happened without secrets. */
export class AttemptRecord {
  readonly #world: World;
  readonly #request: StepRequest;
  readonly #workerId: string;
  readonly #startedAtMs: number;
  readonly #startedMonotonicMs: number;
  readonly #prepared: readonly LifecycleEvent[];
  readonly #events: LifecycleEvent[];
  readonly #logs: AttemptLogs;
  readonly #onUnwanted: () => void;
  readonly #redactor: Redactor;
  readonly live: LiveFile;
  readonly #output: AttemptOutput;
  #heartbeat: Disposable | null = null;
  #beats = 0;
  #claimed = false;
  #ended: StepResult | null = null;

  /** The folder must be there. `onUnwanted` hears that nobody will ask for the work: the folder is gone, or the attempt was given up. */
  constructor(world: World, request: StepRequest, workerId: string, redactor: Redactor, onUnwanted: () => void) {
    this.#world = world;
    this.#onUnwanted = onUnwanted;
    this.#request = request;
    this.#workerId = workerId;
    this.#startedAtMs = world.clock.now();
    this.#startedMonotonicMs = world.clock.monotonicMs();
    this.#prepared = preparedEvents(request.attempt, iso(this.#startedAtMs));
    this.#events = [...this.#prepared];
    this.#logs = new AttemptLogs(world, request.runtime.attemptFolder, request.workerKind === "pi");
    this.#redactor = redactor;
    const { attemptFolder } = request.runtime;
    this.live = new LiveFile(world, attemptFolder, redactor, () => this.#logs.summary.stdoutBytes);
    this.#output = new AttemptOutput(world.clock, this.#logs, redactor);
  }

  /** Whether `state.json` is ours: from then on an end must follow, whatever happens. */
  get claimed(): boolean {
    return this.#claimed;
  }

  /**
   * Writes what was asked and that it is being done, before any of it is; to survive a power cut it needs `sync` too.
   * Rejects with EEXIST when another process has taken the attempt: `state.json` is made once. Rejects also when the
   * attempt was claimed and can't be logged; `claimed` tells.
   */
  async claim(): Promise<void> {
    const { files, processes } = this.#world;
    const paths = attemptPaths(this.#request.runtime.attemptFolder);
    const state: AttemptState = {
      status: "running",
      workerId: this.#workerId,
      ...processes.self(),
      startedAt: iso(this.#startedAtMs),
      lastEventSeq: this.#events.length,
    };
    await writeMeta(files, this.#request);
    try {
      await files.placeNew(paths.state, JSON.stringify(state));
    } catch (error) {
      // the temporary file may refuse to go after this one is there
      if (codeOf(error) === "EEXIST" || !(await this.#isOurs())) throw error;
    }
    this.#claimed = true;
    void this.#beat();
    this.#heartbeat = this.#world.clock.every(heartbeatMs, () => void this.#beat());
    const prepared = await readPrepared(files, this.#request.runtime.attemptFolder);
    this.#events.splice(0, prepared.length, ...prepared);
    this.#logs.open(prepared.length > 0 ? [] : this.#prepared);
  }

  /** The claim survives a power cut from then on. */
  sync(): Promise<void> {
    const { meta, state } = attemptPaths(this.#request.runtime.attemptFolder);
    return this.#world.files.sync([meta, state]);
  }

  async #isOurs(): Promise<boolean> {
    const { files, processes } = this.#world;
    const state = await readAttemptState(files, this.#request.runtime.attemptFolder).catch(() => null);
    if (state?.status !== "running" || state.workerId !== this.#workerId) return false;
    const { pid, processStart } = processes.self();
    return state.pid === pid && state.processStart === processStart;
  }

  event(type: LifecycleEventType, detail?: string): void {
    const seq = this.#events.length + 1;
    const at = iso(this.#world.clock.now());
    const id = eventId(this.#request.attempt, seq);
    const event: LifecycleEvent = { seq, eventId: id, type, at, ...(detail === undefined ? {} : { detail }) };
    this.#events.push(event);
    this.#logs.worker(JSON.stringify(event));
  }

  stdout(line: string): void {
    this.#logs.stdout(maskLine(this.#redactor, line));
    this.live.logged();
  }

  stderr(text: string): void {
    this.#logs.stderr(this.#redactor.text(text));
  }

  bytes(log: "stdout" | "stderr", bytes: Uint8Array): void {
    this.#output.push(log, bytes);
  }

  /** Writes the end; on disk when it resolves. One that could not be written stays the same at the next try. */
  async end(result: KindResult, left: LeftBehind = nothingLeft): Promise<StepResult> {
    invariant(this.#claimed, "only who claimed an attempt records its end");
    this.#output.flush();
    this.#ended ??= this.#endOf(masked(this.#redactor, result), left);
    const step = this.#ended;
    const state: AttemptState = {
      status: "ended",
      lastEventSeq: this.#events.length,
      checkpointSeq: step.checkpoint?.seq ?? 0,
      exitCode: result.exitCode,
      result: step,
    };
    await this.live.end();
    await this.#logs.sync();
    await this.#world.files.writeAtomic(attemptPaths(this.#request.runtime.attemptFolder).state, JSON.stringify(state));
    this.#heartbeat?.[Symbol.dispose]();
    return step;
  }

  #endOf(result: KindResult, left: LeftBehind): StepResult {
    const how = result.exitCode === null ? result.outcome : `exit ${result.exitCode}`;
    const { dropped } = this.#logs;
    this.event("worker_exited", dropped === 0 ? how : `${how}; ${dropped} log writes dropped`);
    this.event(END_EVENTS[stepOutcomeOf(result)], result.error?.message.slice(0, 200));
    return this.#stepResult(result, left);
  }

  close(): void {
    this.#heartbeat?.[Symbol.dispose]();
    this.#output.close();
    this.#logs.close();
  }

  #stepResult(result: KindResult, { artifacts, changes, checkpoints }: LeftBehind): StepResult {
    const request = this.#request;
    const paths = attemptPaths(request.runtime.attemptFolder);
    const outcome = stepOutcomeOf(result);
    const { clock, processes } = this.#world;
    const durationMs = Math.round(clock.monotonicMs() - this.#startedMonotonicMs);
    return {
      ok: outcome === "completed",
      outcome,
      attemptOutcome: result.outcome,
      summary: result.summary,
      needsHuman: outcome === "blocked" || result.error?.kind === "merge-conflict",
      blocked: outcome === "blocked",
      taskId: request.taskId,
      stepId: request.stepId,
      runId: request.runId,
      attempt: request.attempt,
      workerKind: request.workerKind,
      startedAt: iso(this.#startedAtMs),
      finishedAt: iso(clock.now()),
      durationMs,
      metadata: {
        workerId: this.#workerId,
        pid: processes.self().pid,
        model: result.model,
        exitCode: result.exitCode,
      },
      error: result.error,
      failureKind: result.failureKind,
      state: { status: "ended", lastEventSeq: this.#events.length, checkpointSeq: checkpoints.at(-1)?.seq ?? 0 },
      logPaths: { worker: paths.worker, stdout: paths.stdout, stderr: paths.stderr },
      logSummary: this.#logs.summary,
      lifecycleEvents: [...this.#events],
      artifacts,
      changes,
      checkpoints,
      checkpoint: checkpoints.at(-1) ?? null,
      suggestedFollowup: result.suggestedFollowup,
      metrics: {
        durationMs,
        lifecycleEventCount: this.#events.length,
        stdoutChunkCount: this.#logs.chunks.stdout,
        stderrChunkCount: this.#logs.chunks.stderr,
        checkpointCount: checkpoints.length,
        tokens: result.tokens,
        costUsd: result.costUsd,
        usage: result.usage,
        hostRetries: result.hostRetries,
      },
    };
  }

  async #beat(): Promise<void> {
    const { clock, files, processes, log } = this.#world;
    const { pid, processStart } = processes.self();
    this.#beats += 1;
    const beat: WorkerHeartbeat = {
      workerId: this.#workerId,
      lastSeenAt: iso(clock.now()),
      alive: true,
      pid,
      processStart,
      counter: this.#beats,
    };
    try {
      if (isGivenUp(files, this.#request.runtime.attemptFolder)) return this.#onUnwanted();
      const { heartbeat } = attemptPaths(this.#request.runtime.attemptFolder);
      await files.replace(heartbeat, JSON.stringify(beat));
    } catch (error) {
      log.warn("heartbeat not written", { error: messageOf(error) });
      if (codeOf(error) === "ENOENT" && this.#ended === null) this.#onUnwanted();
    }
  }
}

/** The words of it; amounts stay. */
function masked(redactor: Redactor, result: KindResult): KindResult {
  const { summary, error, suggestedFollowup } = result;
  return { ...result, ...redactor.value({ summary, error, suggestedFollowup }) };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
