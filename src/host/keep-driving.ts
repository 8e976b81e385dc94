import { LogFailed } from "../events/publisher.ts";
import { askToCancel } from "../runs/cancel.ts";
import type { RetryPolicy } from "../runs/run-config.ts";
import type { RunLoop, RunLoopEnd } from "../runs/run-loop.ts";
import { LogFenced } from "../store/run-log.ts";
import type { OpenRun } from "../store/run-store.ts";
import { failureOfThrown } from "../supervision/failure-kind.ts";
import { executeWithRetry } from "../supervision/retry-executor.ts";
import { backoffDelayMs } from "../supervision/retry-policy.ts";
import { codeOf, messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import type { Standstill } from "../views/standstill.ts";
import type { Notify } from "./record-dead-letter.ts";
import type { ActiveRun, DriveEnd } from "./shown-run.ts";

/** Between two looks at whether the log is still ours, also while nothing is written. */
const LOOK_MS = 1000;

/** For a log that can't be written: as long as it takes. */
const PATIENCE: RetryPolicy = {
  maxAttempts: Number.POSITIVE_INFINITY,
  backoffMs: 1000,
  jitterRatio: 0,
  exponentialFactor: 2,
  maxDelayMs: 30_000,
  retryableErrors: [],
};

export interface KeepDrivingParts {
  world: Pick<World, "clock" | "random" | "log">;
  notify: Notify;
  /** To the run's end. Rejects with LogFailed when its log does; closes the run in any case. */
  drive(run: OpenRun, loop: RunLoop): Promise<RunLoopEnd>;
  /** Opens the run anew and becomes its owner. LogFenced when another process is. */
  reopen(run: OpenRun): Promise<OpenRun | LogFenced>;
  loopOf(run: OpenRun): RunLoop;
  /** Whether the run's folder was removed. */
  isGone(run: OpenRun): Promise<boolean>;
}

/** A run driven by this process, through times in which its log can't be written: it pauses, and goes on by itself. */
export class LastingRun implements ActiveRun {
  /** Who waits for it here reads its end. */
  readonly wake = false;
  readonly done: Promise<DriveEnd>;
  readonly #parts: KeepDrivingParts;
  #run: OpenRun;
  #loop: RunLoop;
  #tries = 0;
  #paused: string | null = null;

  constructor(parts: KeepDrivingParts, run: OpenRun, loop: RunLoop) {
    this.#parts = parts;
    this.#run = run;
    this.#loop = loop;
    this.done = this.#toEnd();
  }

  get run(): OpenRun {
    return this.#run;
  }

  get loop(): RunLoop {
    return this.#loop;
  }

  get standstill(): Standstill | null {
    return this.#paused === null ? null : { kind: "paused", why: this.#paused };
  }

  cancel(reason: string): void {
    askToCancel(this.#run, this.#loop, reason).catch((error: unknown) => {
      this.#parts.world.log.warn("that a run is to end is not on disk", { error: messageOf(error) });
    });
  }

  async #toEnd(): Promise<DriveEnd> {
    const { clock, log } = this.#parts.world;
    for (;;) {
      const since = clock.monotonicMs();
      try {
        using _watch = this.#watchLog();
        return { kind: await this.#parts.drive(this.#run, this.#loop) };
      } catch (error) {
        log.error("a run's log failed", { runId: this.#runId, error: messageOf(error) });
        if (!(error instanceof LogFailed)) return { kind: "lost", error };
        // one that fails again and again is not asked each second
        if (clock.monotonicMs() - since > PATIENCE.maxDelayMs) this.#tries = 0;
        const end = await this.#goOn(error);
        if (end) return end;
      }
    }
  }

  /** A log that nobody writes to at the moment fails unseen, and so does progress, which nobody awaits. */
  #watchLog(): Disposable {
    const [run, loop] = [this.#run, this.#loop];
    return this.#parts.world.clock.every(LOOK_MS, () => {
      run.look().catch((error: unknown) => loop.fail(error));
    });
  }

  /** Waits until the run can be driven on; its end here when it can't. */
  async #goOn(failure: LogFailed): Promise<DriveEnd | null> {
    if (failure instanceof LogFenced) return this.#fenced(failure);
    if (await this.#parts.isGone(this.#run)) return this.#gone();
    this.#paused = `${failure.message}. It goes on by itself once ${remedyOf(failure)}.`;
    this.#say("paused", "error", `is paused: ${this.#paused}`);
    let next: OpenRun | LogFenced;
    try {
      next = await this.#reopen();
    } catch (error) {
      await this.#endWorkers();
      return { kind: "lost", error };
    }
    if (next instanceof LogFenced) return this.#fenced(next);
    const { asked } = this.#loop.stop;
    this.#paused = null;
    this.#run = next;
    this.#loop = this.#parts.loopOf(next);
    if (asked?.kind === "cancel") this.#loop.cancel(asked.reason);
    else if (asked) this.#loop.release(asked.reason);
    else this.#say("unpaused", "info", "goes on: its log can be written again.");
    return null;
  }

  async #reopen(): Promise<OpenRun | LogFenced> {
    const { clock, random } = this.#parts.world;
    const { stop } = this.#loop;
    const open = () => this.#parts.reopen(this.#run);
    this.#tries += 1;
    const firstDelayMs = backoffDelayMs(this.#tries, PATIENCE);
    const counted = (attempt: number) => {
      this.#tries = attempt;
      return open();
    };
    // whatever it is, it may pass: a folder is mounted again, a file is put back
    const failureOf = (error: unknown) => ({ ...failureOfThrown(error, clock.now()), kind: "transient" as const });
    const hooks = { clock, random, signal: stop.askedSignal, attemptsMade: this.#tries, firstDelayMs, failureOf };
    try {
      return await executeWithRetry(counted, PATIENCE, hooks);
    } catch (error) {
      if (!stop.asked) throw error;
      // who asked for its end waits no longer; perhaps it can be written down
      return await open();
    }
  }

  /** There is no log to tell of a cancel, but nothing of the run may be left running. */
  async #endWorkers(): Promise<void> {
    const { asked } = this.#loop.stop;
    if (asked?.kind !== "cancel") return;
    const loop = this.#parts.loopOf(this.#run);
    loop.cancel(asked.reason);
    await loop.drive().catch(() => undefined);
  }

  /** Its folder was removed: there is nothing to come back to, and its workers end when they see it. */
  async #gone(): Promise<DriveEnd> {
    this.#say("gone", "error", `has lost its folder ${this.#run.folder}: it can't go on, and its workers are ended.`);
    return { kind: "lost", error: new Error(`The run's folder ${this.#run.folder} was removed.`) };
  }

  #fenced({ owner }: LogFenced): DriveEnd {
    const pid = owner?.pid ?? null;
    const who = pid === null ? "" : ` (pid ${pid})`;
    this.#say("fenced", "warning", `was taken over by another Pi${who}; this session only watches.`);
    return { kind: "fenced", pid };
  }

  #say(what: string, severity: "info" | "warning" | "error", message: string): void {
    const runId = this.#runId;
    this.#parts.notify({ id: `${what}_${runId}`, severity, source: "runs", message: `Run ${runId} ${message}`, runId });
  }

  get #runId(): string {
    return this.#run.manifest.runId;
  }
}

/** What has to come about, by the system's code; where a worker told of it, it stands in the message only. */
function remedyOf({ message, cause }: LogFailed): string {
  const code = codeOf(cause) || (/\bE[A-Z0-9]{3,}\b/.exec(message)?.[0] ?? "");
  if (code === "ENOSPC" || code === "ESHORT") return "there is room on the disk";
  if (code === "EDQUOT") return "the disk quota has room";
  if (["EROFS", "EACCES", "EPERM"].includes(code)) return "the run's folder can be written";
  if (code === "EMFILE" || code === "ENFILE") return "fewer files are open";
  if (code === "EAGAIN" || code === "ENOMEM") return "the machine has room for another process";
  if (code === "EIO") return "the disk works again";
  return "its log can be written";
}
