import { LogFailed } from "../events/publisher.ts";
import { LET_GO } from "./execute.ts";

/** What its user or its session asked of a run. */
export interface AskedStop {
  kind: "cancel" | "release";
  reason: string;
}

/** What ends the driving of a run before the run's own end, and the attempts under way with it. */
export class RunStop {
  /** Of the attempt under way, by task. */
  readonly #attempts = new Map<string, AbortController>();
  readonly #waits = new Map<string, AbortController>();
  /** Of each task that was asked after; aborted when it alone is cancelled. */
  readonly #tasks = new Map<string, AbortController>();
  readonly #halt = new AbortController();
  readonly #askedSignal = new AbortController();
  #asked: AskedStop | null = null;
  /** That the run is to end is in its log, or on its way there. */
  told: Promise<unknown> | null = null;
  /** The run's end is in its log, or on its way there: nothing can be asked of it any more. */
  over = false;
  #failure: { error: unknown } | null = null;

  /** The first cancel stands, and goes before a release. */
  get asked(): AskedStop | null {
    return this.#asked;
  }

  /** Aborts when something is asked. */
  get askedSignal(): AbortSignal {
    return this.#askedSignal.signal;
  }

  /** Aborts with all that ends a wait between two attempts. */
  get halted(): AbortSignal {
    return this.#halt.signal;
  }

  get failure(): { error: unknown } | null {
    return this.#failure;
  }

  /** How tasks under way go on: they stay as they are where the log failed, as when the run is released. */
  get kind(): AskedStop["kind"] | null {
    return this.#asked?.kind ?? (this.#failure ? "release" : null);
  }

  /** How one task goes on: as its run does, unless it alone is cancelled. */
  kindOf(taskId: string): AskedStop["kind"] | null {
    return this.kind ?? (this.#task(taskId).signal.aborted ? "cancel" : null);
  }

  /** As `halted`, and when the task alone is cancelled. */
  haltedOf(taskId: string): AbortSignal {
    return AbortSignal.any([this.halted, this.#task(taskId).signal]);
  }

  /** False when it was cancelled before. */
  cancelTask(taskId: string, reason: string): boolean {
    if (this.#task(taskId).signal.aborted) return false;
    this.#task(taskId).abort(reason);
    this.#attempts.get(taskId)?.abort(reason);
    return true;
  }

  /** False when it was cancelled before. */
  cancel(reason: string): boolean {
    if (this.#asked?.kind === "cancel") return false;
    this.#ask({ kind: "cancel", reason });
    this.#abortAttempts(reason);
    return true;
  }

  release(reason: string): void {
    this.#ask(this.#asked ?? { kind: "release", reason });
  }

  /** The first failure stands. */
  fail(error: unknown): void {
    this.#failure ??= { error };
  }

  /** No attempt is followed any more: they go on without us, or end after a fault of ours. */
  leaveAttempts(): void {
    this.#halt.abort(LET_GO);
    this.#abortAttempts(this.#leaving());
  }

  beginAttempt(taskId: string): AbortSignal {
    const controller = new AbortController();
    if (this.#asked?.kind === "cancel") controller.abort(this.#asked.reason);
    else if (this.#failure) controller.abort(this.#leaving());
    else if (this.#task(taskId).signal.aborted) controller.abort(this.#task(taskId).signal.reason);
    this.#attempts.set(taskId, controller);
    return controller.signal;
  }

  loseAttempt(taskId: string): void {
    this.#attempts.get(taskId)?.abort("lost");
  }

  /** Aborts when the task's user said something, and with all that ends a wait. */
  waitFor(taskId: string): AbortSignal {
    const controller = new AbortController();
    this.#waits.set(taskId, controller);
    return AbortSignal.any([controller.signal, this.haltedOf(taskId)]);
  }

  heard(taskId: string): void {
    this.#waits.get(taskId)?.abort("heard");
  }

  endAttempt(taskId: string): void {
    this.#attempts.delete(taskId);
  }

  #task(taskId: string): AbortController {
    const controller = this.#tasks.get(taskId) ?? new AbortController();
    this.#tasks.set(taskId, controller);
    return controller;
  }

  #leaving(): string {
    return this.#failure?.error instanceof LogFailed ? LET_GO : "the run can't be driven on";
  }

  #ask(asked: AskedStop): void {
    this.#asked = asked;
    this.#halt.abort(asked.reason);
    this.#askedSignal.abort(asked.reason);
  }

  #abortAttempts(reason: string): void {
    for (const controller of this.#attempts.values()) controller.abort(reason);
  }
}
