import type { Correlation } from "../events/correlation.ts";
import type { EventBus } from "../events/publisher.ts";
import type { TaskEngine } from "../runs/execute.ts";
import type { RunManifest } from "../runs/manifest.ts";
import type { RunConfig } from "../runs/run-config.ts";
import { RunLoop, type RunLoopEnd, type RunLoopParts } from "../runs/run-loop.ts";
import { isTerminal } from "../runs/run-state.ts";
import type { Slots } from "../runs/slots.ts";
import type { DeadLetters } from "../store/dead-letters.ts";
import { Inbox, postRequest } from "../store/inbox.ts";
import type { InboxRequest, PostedRequest } from "../store/inbox-request.ts";
import { removeOrphanedArtifacts } from "../store/orphaned-artifacts.ts";
import type { OpenRun, RunStore, RunView } from "../store/run-store.ts";
import { removeUnfinishedFiles } from "../store/unfinished-files.ts";
import { messageOf, UserError } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import { claimRun, mayTake, reopenRun, type TakeOver } from "./claim-run.ts";
import { LastingRun } from "./keep-driving.ts";
import { runsToEnd } from "./let-go.ts";
import { answerRequest, askOwner, mailParts } from "./owner-requests.ts";
import { deadLetterRecorder, type KeepingParts } from "./record-dead-letter.ts";
import type { ActiveRun, DriveEnd } from "./shown-run.ts";
import { watchBudget } from "./watch-budget.ts";

export interface RunServiceParts extends KeepingParts {
  world: World;
  bus: EventBus;
  store: RunStore;
  engine: TaskEngine;
  slots: Slots;
  sessionId: string;
  redact: (text: string) => string;
  afterFailure: (reliability: RunConfig["reliability"]) => RunLoopParts["afterFailure"];
  correlation: Correlation;
  /** Throws a UserError for a run that may not be driven here. */
  permit?: (manifest: RunManifest) => Promise<void>;
  /** Hears of a run that was taken over, before it is driven on; what it throws costs the run nothing. */
  taken?: (run: OpenRun) => Promise<void>;
}

/** The runs this process drives, and the reading of all others of the project. */
export class RunService {
  readonly #parts: RunServiceParts;
  readonly #active = new Map<string, ActiveRun>();
  /** Runs on their way to being driven, one work at a time for each; a release waits for them. */
  readonly #opening = new Map<string, Promise<unknown>>();
  #released: string | null = null;
  readonly #toEnd = runsToEnd();

  constructor(parts: RunServiceParts) {
    this.#parts = parts;
  }

  get store(): RunStore {
    return this.#parts.store;
  }

  get deadLetters(): DeadLetters {
    return this.#parts.deadLetters;
  }

  get active(): readonly ActiveRun[] {
    return [...this.#active.values()];
  }

  /** Makes the run, becomes its owner and drives it. Resolves when it is under way. */
  start(manifest: RunManifest): Promise<ActiveRun> {
    return this.#open(manifest.runId, async () => this.#drive(await this.create(manifest), {}));
  }

  /** Makes the run, and leaves it to whoever claims it. The secrets of its goal are in its manifest alone. */
  create(manifest: RunManifest): Promise<OpenRun> {
    return this.store.create(manifest, this.#parts.bus, this.#parts.redact(manifest.goal));
  }

  /** Goes on with a run whose owner let go of it or is gone; null when another process has it, or was faster. */
  takeOver(runId: string, how: TakeOver = {}): Promise<ActiveRun | null> {
    return this.#open(runId, async () => {
      const run = await this.store.open(runId, this.#parts.bus);
      if (this.#active.has(runId) || !mayTake(this.#parts.world, run.state.owner, how.confirmed)) {
        run.close();
        return null;
      }
      try {
        const cancelReason = how.cancelReason ?? this.#toEnd.get(runId);
        const prepare = (taken: OpenRun) => this.#prepare(taken, how);
        return await this.#drive(run, { ...(cancelReason === undefined ? {} : { cancelReason }), prepare });
      } catch (error) {
        if (error instanceof UserError && error.code === "claimed-elsewhere") return null;
        throw error;
      }
    });
  }

  /** A live run as it is in memory, any other from its files. */
  async view(runId: string): Promise<RunView> {
    const live = this.#active.get(runId);
    const view = await this.store.view(runId);
    return live ? { ...view, state: live.run.state } : view;
  }

  async views(limit: number, unreadable?: (runId: string, error: unknown) => void): Promise<RunView[]> {
    const ids = (await this.store.ids()).slice(0, limit);
    const failed = (id: string) => (error: unknown) => void unreadable?.(id, error);
    const views = await Promise.all(ids.map((id) => this.view(id).catch(failed(id))));
    return views.flatMap((view) => view ?? []);
  }

  /**
   * Ends a run and resolves when nothing of it is left running. A run nobody drives any more is taken over for that;
   * the living owner of another process is asked, and `asked` says so: its workers end within seconds.
   */
  async cancel(runId: string, reason: string): Promise<DriveEnd | "asked"> {
    const live = this.#active.get(runId);
    if (live) {
      live.cancel(reason);
      return live.done;
    }
    const { manifest, state, folder, writtenAt } = await this.view(runId);
    if (isTerminal(state.status)) throw new UserError("run-ended", `Run ${runId} has already ended: ${state.status}.`);
    // whoever asks for the end of a run that has been silent for so long need not be sure that its owner is gone
    const confirmed = this.#parts.world.clock.now() - writtenAt >= manifest.config.reliability.heartbeat.deadMs;
    const taken = await this.takeOver(runId, { cancelReason: reason, confirmed });
    if (taken) return taken.done;
    await postRequest(this.#parts.world, folder, { kind: "cancel", reason }, this.#parts.sessionId);
    return "asked";
  }

  /** Asks the run's owner, this process or another; `answered` when it has done about it what it will do. */
  ask(runId: string, request: InboxRequest): Promise<{ id: string; answered: boolean }> {
    return askOwner(this.#parts, this.#active.get(runId), runId, request);
  }

  /** Stops driving: attempts under way go on, and the next owner follows them. Resolves with the runs let go of. */
  async release(reason: string): Promise<string[]> {
    this.#released = reason;
    await Promise.allSettled(this.#opening.values());
    const active = this.active;
    for (const { loop } of active) loop.release(reason);
    await Promise.all(active.map(({ done }) => done));
    await this.#parts.engine.dispose();
    const left = active.map(({ run }) => run.state).filter((it) => it.releasedBy !== null && !isTerminal(it.status));
    return left.map(({ runId }) => runId);
  }

  async #open<T>(runId: string, work: () => Promise<T>): Promise<T> {
    if (this.#released !== null)
      throw new UserError("session-ended", "The session has ended; nothing new is started in it.");
    const opening = (this.#opening.get(runId) ?? Promise.resolve()).catch(() => undefined).then(work);
    this.#opening.set(runId, opening);
    try {
      return await opening;
    } finally {
      if (this.#opening.get(runId) === opening) this.#opening.delete(runId);
    }
  }

  async #drive(run: OpenRun, { prepare, cancelReason }: TakeOver): Promise<ActiveRun> {
    const { world } = this.#parts;
    const { runId } = run.manifest;
    try {
      if (cancelReason === undefined) await this.#parts.permit?.(run.manifest);
      if (!(await claimRun(world, run)))
        throw new UserError("claimed-elsewhere", `Run ${runId} was just taken by another process.`);
    } catch (error) {
      run.close();
      throw error;
    }
    const loop = this.#loopOf(run);
    if (cancelReason !== undefined) loop.cancel(cancelReason);
    if (this.#released !== null) loop.release(this.#released);
    let toPrepare = prepare;
    const prepareOnce = async (claimed: OpenRun) => {
      await toPrepare?.(claimed);
      toPrepare = undefined;
    };
    const active = new LastingRun(
      {
        world,
        notify: this.#parts.notify,
        drive: (openRun, openLoop) => this.#driveToEnd(openRun, openLoop, prepareOnce),
        reopen: (before) => reopenRun(this.#parts, before),
        loopOf: (openRun) => this.#loopOf(openRun),
        isGone: async ({ folder }) => (await world.files.facts(folder)) === null,
      },
      run,
      loop,
    );
    this.#active.set(runId, active);
    void active.done.then((end) => {
      const { asked } = active.loop.stop;
      if (end.kind === "lost" && asked?.kind === "cancel") this.#toEnd.set(runId, asked.reason);
      else this.#toEnd.delete(runId);
      if (this.#active.get(runId) === active) this.#active.delete(runId);
    });
    return active;
  }

  #loopOf(run: OpenRun): RunLoop {
    const { world, engine, slots, afterFailure, correlation } = this.#parts;
    return new RunLoop({
      run,
      engine,
      slots,
      clock: world.clock,
      ...mailParts(this.#parts, run),
      newWorkerId: () => `w-${world.random.hex(6)}`,
      afterFailure: afterFailure(run.manifest.config.reliability),
      recordDeadLetter: deadLetterRecorder(this.#parts, run.manifest.runId),
      correlation,
    });
  }

  async #prepare(run: OpenRun, { prepare }: TakeOver): Promise<void> {
    await this.#parts.taken?.(run).catch((error: unknown) => {
      this.#parts.world.log.warn("a run taken over was not told of", { error: messageOf(error) });
    });
    await prepare?.(run);
  }

  async #driveToEnd(run: OpenRun, loop: RunLoop, prepare: (run: OpenRun) => Promise<void>): Promise<RunLoopEnd> {
    const { files, clock, log } = this.#parts.world;
    const { runId } = run.manifest;
    const handle = (request: PostedRequest) => answerRequest(this.#parts, { run, loop }, request);
    const handledIds = run.state.mail.map(({ messageId }) => messageId);
    const inbox = new Inbox({ files, clock, log, runFolder: run.folder, handle, handledIds });
    try {
      inbox.start();
      // who takes an ended run lets go of its log at once
      if (isTerminal(run.state.status)) await inbox.take();
      using _budget = watchBudget(this.#parts, run, loop);
      await prepare(run);
      const end = await loop.drive();
      // what was asked of it before its end has no other owner to come
      if (end !== "released") await inbox.take();
      await run.saveSnapshot().catch((error: unknown) => {
        log.warn("state.json was not written", { runId, error: messageOf(error) });
      });
      if (end === "released") return end;
      await removeUnfinishedFiles(this.#parts.world, run.folder);
      await removeOrphanedArtifacts(this.#parts.world, run);
      return end;
    } finally {
      await inbox.close();
      run.close();
    }
  }
}
