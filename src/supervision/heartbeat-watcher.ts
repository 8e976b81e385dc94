import type { Clock } from "../system/world.ts";
import { type Finding, judgeTick, type LiveTask, startWatch, type WatchState } from "./heartbeat-judge.ts";

const intervalMsMin = 1000;
const intervalMsMax = 60_000;

export interface WatcherPorts {
  clock: Pick<Clock, "now" | "monotonicMs" | "every">;
  /** The live tasks of the runs this process owns. A rejection spoils this look only. */
  observe(): Promise<readonly LiveTask[]>;
  /** Hears of changes, in order; awaited before the next look. After a rejection that look counts as not taken. */
  report(findings: readonly Finding[]): void | Promise<void>;
  onError(error: unknown): void;
}

/** Looks at all live workers every interval; judgement is `judgeTick`'s. */
export class HeartbeatWatcher {
  readonly #ports: WatcherPorts;
  readonly #timer: Disposable;
  #state: WatchState;
  #tick: Promise<void> | null = null;
  #disposed = false;

  /** Begins at once. The interval is kept within 1 to 60 s. */
  constructor(ports: WatcherPorts, pollIntervalMs: number) {
    const intervalMs = Math.min(intervalMsMax, Math.max(intervalMsMin, pollIntervalMs));
    this.#ports = ports;
    this.#state = startWatch(intervalMs);
    this.#timer = ports.clock.every(intervalMs, () => {
      this.#tick ??= this.#look().finally(() => {
        this.#tick = null;
      });
    });
  }

  /** Silence of each live task by now, for the gauge that is computed when read. */
  readings(): { runId: string; taskId: string; stalenessMs: number }[] {
    const { lastTick, watches } = this.#state;
    const since = lastTick === null ? 0 : this.#ports.clock.monotonicMs() - lastTick.monotonicMs;
    return [...watches.values()].map(({ runId, taskId, silenceMs }) => ({
      runId,
      taskId,
      stalenessMs: silenceMs + since,
    }));
  }

  /** Ends the timer; resolves when a look under way is over, whose findings are no longer told. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    this.#timer[Symbol.dispose]();
    await this.#tick;
  }

  async #look(): Promise<void> {
    const ports = this.#ports;
    try {
      const observation = await ports.observe();
      if (this.#disposed) return;
      // after the reading: a suspend in between then shows as a gap, not as silence
      const now = { wallMs: ports.clock.now(), monotonicMs: ports.clock.monotonicMs() };
      const { state, findings } = judgeTick(this.#state, observation, now);
      if (findings.length > 0) await ports.report(findings);
      this.#state = state;
    } catch (error) {
      ports.onError(error);
    }
  }
}
