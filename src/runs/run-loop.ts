import type { Correlation } from "../events/correlation.ts";
import type { ArtifactRecord, NewEvent } from "../events/crew-event.ts";
import { LogFailed, type Publisher } from "../events/publisher.ts";
import { messageOf } from "../system/errors.ts";
import type { Clock } from "../system/world.ts";
import { obeyAsked, tellAsked } from "./cancel.ts";
import { runEndEvent, type TaskEnding, taskEndEvent } from "./endings.ts";
import type { TaskEngine } from "./execute.ts";
import type { RunManifest, TaskSpec } from "./manifest.ts";
import { type NextSteps, nextSteps, workersToCome } from "./next-steps.ts";
import { isTerminal, type RunState, type RunStatus, type TaskMessage, type TaskState, taskOf } from "./run-state.ts";
import { RunStop } from "./run-stop.ts";
import { Seats } from "./seats.ts";
import type { Slots } from "./slots.ts";
import { type AfterFailure, type RecordDeadLetter, runTask } from "./task-run.ts";

const FAULT_CHARS_MAX = 2000;

/** The run this loop drives; its owner's view of log and state. */
export interface DrivenRun {
  readonly manifest: RunManifest;
  readonly state: RunState;
  readonly publisher: Publisher;
}

export interface RunLoopParts {
  run: DrivenRun;
  engine: TaskEngine;
  slots: Slots;
  clock: Clock;
  /** The folder of an attempt, absolute. */
  attemptFolder(taskId: string, attempt: number): string;
  newWorkerId(): string;
  correlation: Correlation;
  redact(text: string): string;
  recordDeadLetter: RecordDeadLetter;
  /** Adds what a worker has to read to its attempt's folder, each message once. Rejects when it can't be written. */
  putMail(folder: string, mail: readonly TaskMessage[]): Promise<void>;
  /** Puts files of an attempt into the run's folder; what it resolves with says where. Rejects when it can't. */
  keepArtifacts(artifacts: readonly ArtifactRecord[]): Promise<readonly ArtifactRecord[]>;
  /** Judges the failure of a task's last attempt. */
  afterFailure(spec: TaskSpec, task: TaskState): AfterFailure;
}

export type RunLoopEnd = Extract<RunStatus, "completed" | "failed" | "cancelled"> | "released";

/**
 * Drives one run to its end: ready → attempt → outcome → event, until every task is terminal. It decides from the
 * folded state only, so that it goes on with a run it took over as it does with its own.
 */
export class RunLoop {
  readonly #parts: RunLoopParts;
  /** What was asked of it outlives a failure: then it is for whoever drives the run on. */
  readonly stop = new RunStop();
  readonly #tasks: Promise<void>[] = [];
  readonly #seats: Seats;
  #wake: () => void = () => undefined;

  constructor(parts: RunLoopParts) {
    this.#parts = parts;
    this.#seats = new Seats(parts.slots, parts.run.manifest.maxConcurrency);
  }

  /** Ends all attempts and the run with them, or one task, begun or not. The first reason stands. */
  cancel(reason: string, taskId: string | null = null): void {
    if (taskId === null ? this.stop.cancel(reason) : this.stop.cancelTask(taskId, reason)) this.#wake();
  }

  /** Ends a task's attempt because its worker is given up; what follows is decided as after any failure. */
  loseAttempt(taskId: string): void {
    this.stop.loseAttempt(taskId);
  }

  /** Something was told to the task: one that waits for an answer goes on. */
  heard(taskId: string): void {
    this.stop.heard(taskId);
  }

  /** Stops driving; attempts under way go on and wait for the next owner. */
  release(reason: string): void {
    this.stop.release(reason);
    this.#wake();
  }

  /** Stops driving because the log failed, or is another's: `drive` rejects with the error. The first one stands. */
  fail(error: unknown): void {
    this.stop.fail(error);
    this.#wake();
  }

  /**
   * Resolves at the run's end. Rejects when its log can't be written any more: attempts under way are then let go of,
   * or ended when the run was cancelled.
   */
  async drive(): Promise<RunLoopEnd> {
    const unsubscribe = this.#parts.slots.onFree(() => this.#wake());
    try {
      return await this.#loop();
    } catch (error) {
      this.stop.fail(error);
      this.stop.leaveAttempts();
      await Promise.allSettled(this.#tasks);
      throw error;
    } finally {
      unsubscribe();
    }
  }

  async #loop(): Promise<RunLoopEnd> {
    const { run } = this.#parts;
    const { status } = run.state;
    if (status !== "queued" && status !== "running") return status;
    const { team, workflow } = run.manifest;
    if (status === "queued") await this.#publish({ type: "crew.run.started", team, workflow });
    obeyAsked(run.state, this.stop);
    for (const spec of run.manifest.tasks) {
      const task = taskOf(run.state, spec.taskId);
      if (task?.status !== "running") continue;
      if (task.question === null) this.#seats.take(spec.taskId);
      this.#launch(spec);
    }
    for (;;) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      if (this.stop.failure) throw this.stop.failure.error;
      const { asked } = this.stop;
      if (asked?.kind === "release") {
        await this.#publish({ type: "crew.run.released", reason: asked.reason });
        return "released";
      }
      await tellAsked(run, this.stop);
      await this.#cancelUnstarted();
      const end = await this.#advance();
      if (end) return end;
      await woken;
    }
  }

  /** All that can be done without waiting for an attempt. */
  async #advance(): Promise<RunLoopEnd | null> {
    const { run, slots } = this.#parts;
    let steps = nextSteps(run.manifest, run.state, slots.free);
    while (steps.skip.length > 0) {
      for (const { task, because: message } of steps.skip)
        await this.#endTask(task, {
          type: "crew.task.skipped",
          status: "skipped",
          error: { kind: "dependency", message },
        });
      steps = nextSteps(run.manifest, run.state, slots.free);
    }
    for (const task of steps.ready)
      await this.#publish({ type: "crew.task.ready", taskId: task.taskId, ...this.#place(task) });
    if (steps.end) return this.#endRun(steps.end);
    await this.#startAll(steps.start);
    return null;
  }

  async #startAll(tasks: readonly TaskSpec[]): Promise<void> {
    const { run, slots, engine } = this.#parts;
    for (const task of tasks) {
      // while one start went to the disk, a stop may have come, or another run have taken the slots
      if (this.stop.kind || slots.free <= 0) return;
      await this.#start(task);
    }
    // the workers of the next tasks come up while these are at work
    if (!this.stop.kind) engine.prepare(workersToCome(run.manifest, run.state));
  }

  async #start(spec: TaskSpec): Promise<void> {
    this.#seats.take(spec.taskId);
    try {
      await this.#publish({ type: "crew.task.started", taskId: spec.taskId, ...this.#place(spec) });
    } catch (error) {
      this.#seats.leave(spec.taskId);
      throw error;
    }
    // released meanwhile: its first attempt is the next owner's
    if (this.stop.kind === "release") this.#seats.leave(spec.taskId);
    else this.#launch(spec);
  }

  /** Has a seat, and gives it back. */
  #launch(spec: TaskSpec): void {
    const work = this.#runTask(spec)
      .catch((error: unknown) => this.stop.fail(error))
      .finally(() => {
        this.stop.endAttempt(spec.taskId);
        this.#seats.leave(spec.taskId);
        this.#wake();
      });
    this.#tasks.push(work);
  }

  async #runTask(spec: TaskSpec): Promise<void> {
    const stop = {
      kind: () => this.stop.kindOf(spec.taskId),
      halted: this.stop.haltedOf(spec.taskId),
      answer: () => this.stop.waitFor(spec.taskId),
      leaveSeat: () => this.#seats.leave(spec.taskId),
      takeSeat: () => this.#seats.takeAgain(spec.taskId, this.stop.haltedOf(spec.taskId)),
      beginAttempt: () => this.stop.beginAttempt(spec.taskId),
    };
    try {
      const ending = await runTask(this.#parts, spec, stop);
      if (ending) await this.#endTask(spec, ending);
    } catch (error) {
      if (error instanceof LogFailed || this.stop.kind === "release") throw error;
      // a fault of ours costs this task, and neither the others nor the run's end
      const fault = { kind: "internal", message: this.#parts.redact(messageOf(error)).slice(0, FAULT_CHARS_MAX) };
      await this.#endTask(spec, { type: "crew.task.failed", status: "failed", error: fault });
    }
  }

  async #cancelUnstarted(): Promise<void> {
    for (const spec of this.#parts.run.manifest.tasks) {
      const status = taskOf(this.#parts.run.state, spec.taskId)?.status;
      if ((status === "waiting" || status === "ready") && this.stop.kindOf(spec.taskId) === "cancel")
        await this.#endTask(spec, { type: "crew.task.cancelled", status: "cancelled", error: null });
    }
  }

  async #endTask(spec: TaskSpec, ending: TaskEnding): Promise<void> {
    const { run, clock } = this.#parts;
    const task = taskOf(run.state, spec.taskId);
    if (!task || isTerminal(task.status)) return;
    await this.#publish(taskEndEvent(run.manifest, spec, task, ending, clock.now()));
  }

  async #endRun({ status, reason }: NonNullable<NextSteps["end"]>): Promise<RunLoopEnd> {
    const { run, clock } = this.#parts;
    // a cancel that found nothing left to cancel but a failure is still what the user asked for
    const { asked: stop } = this.stop;
    const asked = stop?.kind === "cancel" && status !== "completed" ? stop.reason : null;
    const end = asked === null ? { status, reason } : { status: "cancelled" as const, reason: asked };
    this.stop.over = true;
    await this.#publish(runEndEvent(run.manifest, run.state, end, clock.now()));
    return end.status;
  }

  #place(spec: TaskSpec) {
    const { team } = this.#parts.run.manifest;
    return { team, role: spec.role, stepName: spec.taskId, workerKind: spec.kind };
  }

  async #publish(event: NewEvent): Promise<void> {
    await this.#parts.run.publisher.publish(event);
  }
}
