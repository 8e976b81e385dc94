import { messageOf } from "../system/errors.ts";
import type { BackgroundRuns } from "./background-runs.ts";
import type { Recovery } from "./recovery.ts";
import type { RunService } from "./run-service.ts";
import type { Session } from "./session.ts";

interface Opened {
  runs: RunService;
  background: BackgroundRuns;
  recovery: Recovery;
}

/** What a session needs for runs: loaded and opened with the first thing that is done about them. */
export class SessionRuns {
  readonly #session: Session;
  #opened: Promise<Opened> | null = null;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Whether they are open, or being opened. */
  get begun(): boolean {
    return this.#opened !== null;
  }

  /** Throws a UserError when no run can be kept. */
  open(): Promise<Opened> {
    this.#opened ??= this.#open().catch((error: unknown) => {
      // the user may mend the folder and try again
      this.#opened = null;
      throw error;
    });
    return this.#opened;
  }

  /** Another Pi may make the first run of this project, and be killed. Until there is one, each look is at a folder only. */
  async awaitFirst(): Promise<void> {
    const session = this.#session;
    // without anybody to tell, an interrupted run stays as it is
    if (this.begun || !session.canAsk) return;
    const { config } = await session.config();
    let looking = false;
    let failed = false;
    const timer = session.world.clock.every(config.observability.pollIntervalMs, async () => {
      if (looking) return;
      looking = true;
      try {
        if (await this.#areThere()) timer[Symbol.dispose]();
      } catch (error) {
        if (!failed) session.world.log.error("other sessions' runs can't be looked after", { error: messageOf(error) });
        failed = true;
      } finally {
        looking = false;
      }
    });
    session.defer(() => timer[Symbol.dispose]());
  }

  /** What is configured for a quit. */
  async stopIfWished(): Promise<void> {
    const [{ config }, parts] = await Promise.all([this.#session.config(), this.#opened?.catch(() => null)]);
    if (!parts || config.reliability.onQuit !== "stop") return;
    const ids = parts.runs.active.map(({ run }) => run.manifest.runId);
    await Promise.allSettled(ids.map((id) => parts.runs.cancel(id, "stopped when Pi quit")));
  }

  /** Whether there are runs, which from then on are looked after as in any session. */
  async #areThere(): Promise<boolean> {
    if (this.#opened)
      return await this.#opened.then(
        () => true,
        () => false,
      );
    if (!(await this.#session.hasRuns()) || this.#session.closed) return false;
    await (await this.open()).recovery.look();
    return true;
  }

  async #open(): Promise<Opened> {
    const session = this.#session;
    const [{ openRuns, BackgroundRuns, Recovery }, { config }] = await Promise.all([session.late(), session.config()]);
    // nothing happens that is not counted
    const telemetry = await session.telemetry();
    const opened = await openRuns(session, config);
    session.defer(() => opened.dispose());
    const background = new BackgroundRuns(session, opened.runs);
    session.defer(() => background.dispose());
    telemetry.watchWork({ silences: opened.silences, runs: () => [...opened.runs.active, ...background.shown] });
    const recovery = new Recovery(session, opened.runs, background, config.reliability.autoRecover);
    const timer = session.world.clock.every(config.observability.pollIntervalMs, () => void recovery.look());
    session.defer(() => timer[Symbol.dispose]());
    return { runs: opened.runs, background, recovery };
  }
}
