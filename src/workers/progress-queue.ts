import type { AttemptProgress } from "../runs/execute.ts";
import type { Clock } from "../system/world.ts";

const progressMs = 250;
/** Told at one time: the newest. */
const progressMax = 32;

/** What an attempt's owner is told of its progress: each tool call that has ended, and of the rest the newest. */
export class ProgressQueue {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #told: (progress: AttemptProgress) => void;
  readonly #toolStarts = new Map<string, number>();
  /** Calls that have ended, and last what goes on. */
  #pending: AttemptProgress[] = [];
  /** Whether the first look is over: what was there before may have been told by another owner. */
  #caughtUp = false;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Pick<Clock, "monotonicMs">, told: (progress: AttemptProgress) => void) {
    this.#clock = clock;
    this.#told = told;
  }

  /** Nothing else is to be told. */
  replace(progress: AttemptProgress): void {
    this.#pending = [progress];
  }

  add(progress: AttemptProgress, toolCallId: string | null): void {
    const last = this.#pending.at(-1);
    if (toolCallId === null) {
      this.#pending.splice(-1, 1, { ...last, ...progress });
      return;
    }
    const next = { ...progress, ...this.#toolTime(progress, toolCallId) };
    const hasEnded = last?.toolStatus === "ok" || last?.toolStatus === "error";
    if (hasEnded && this.#caughtUp) this.#pending.push(next);
    else this.#pending.splice(-1, 1, { ...withoutTool(last), ...next });
    if (this.#pending.length > progressMax) this.#pending.shift();
  }

  /** Not too often, but `atOnce`. */
  tell(atOnce: boolean): void {
    const now = this.#clock.monotonicMs();
    this.#caughtUp = true;
    if (this.#pending.length === 0 || (!atOnce && now - this.#toldAtMs < progressMs)) return;
    this.#toldAtMs = now;
    for (const progress of this.#pending.splice(0)) this.#told(progress);
  }

  /**
   * Event lines carry no time; a poke comes with each, so that the time of reading is good enough. When a call was made
   * that is over before the first look, nobody knows.
   */
  #toolTime(progress: AttemptProgress, toolCallId: string): AttemptProgress {
    const now = this.#clock.monotonicMs();
    if (progress.toolStatus === "running") {
      this.#toolStarts.set(toolCallId, now);
      return {};
    }
    const startedAt = this.#toolStarts.get(toolCallId);
    this.#toolStarts.delete(toolCallId);
    return startedAt === undefined || !this.#caughtUp ? {} : { toolDurationMs: Math.round(now - startedAt) };
  }
}

function withoutTool(progress: AttemptProgress | undefined): AttemptProgress {
  return progress?.text === undefined ? {} : { text: progress.text };
}
