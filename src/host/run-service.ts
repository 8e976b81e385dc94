import type { Correlation } from "../events/correlation.ts";
import type { RunOwner } from "../events/crew-event.ts";
import type { EventBus } from "../events/publisher.ts";
import type { TaskEngine } from "../runs/execute.ts";
import type { RunManifest } from "../runs/manifest.ts";
import { RunLoop, type RunLoopEnd, type RunLoopParts } from "../runs/run-loop.ts";
import { isTerminal } from "../runs/run-state.ts";
import type { Slots } from "../runs/slots.ts";
import { attemptFolder } from "../store/layout.ts";
import type { OpenRun, RunStore, RunView } from "../store/run-store.ts";
import { UserError } from "../system/errors.ts";
import type { World } from "../system/world.ts";

/** How driving a run ended; `lost` when its log could not be written any more. */
export type DriveEnd = { kind: RunLoopEnd } | { kind: "lost"; error: unknown };

export interface ActiveRun {
  readonly run: OpenRun;
  readonly loop: RunLoop;
  /** Never rejects. */
  readonly done: Promise<DriveEnd>;
}

/** The runs this process drives, and the reading of all others of the project. */
export class RunService {
  readonly #world: World;
  readonly #bus: EventBus;
  readonly #engine: TaskEngine;
  readonly #slots: Slots;
  readonly #afterFailure: RunLoopParts["afterFailure"];
  readonly #redact: (text: string) => string;
  readonly #correlation: Correlation;
  readonly #active = new Map<string, ActiveRun>();
  readonly store: RunStore;

  constructor(parts: {
    world: World;
    bus: EventBus;
    store: RunStore;
    engine: TaskEngine;
    slots: Slots;
    redact: (text: string) => string;
    afterFailure: RunLoopParts["afterFailure"];
    correlation: Correlation;
  }) {
    this.#world = parts.world;
    this.#bus = parts.bus;
    this.store = parts.store;
    this.#engine = parts.engine;
    this.#slots = parts.slots;
    this.#redact = parts.redact;
    this.#afterFailure = parts.afterFailure;
    this.#correlation = parts.correlation;
  }

  get active(): readonly ActiveRun[] {
    return [...this.#active.values()];
  }

  /** Makes the run, becomes its owner and drives it. Resolves when it is under way. */
  async start(manifest: RunManifest): Promise<ActiveRun> {
    return this.#drive(await this.store.create(manifest, this.#bus));
  }

  /** Goes on with a run nobody drives; null when another process was faster. */
  async takeOver(runId: string): Promise<ActiveRun | null> {
    const run = await this.store.open(runId, this.#bus);
    try {
      return await this.#drive(run);
    } catch (error) {
      if (error instanceof UserError && error.code === "claimed-elsewhere") return null;
      throw error;
    }
  }

  /** A live run as it is in memory, any other from its files. */
  async view(runId: string): Promise<RunView> {
    const live = this.#active.get(runId);
    const view = await this.store.view(runId);
    return live ? { ...view, state: live.run.state } : view;
  }

  async views(limit: number): Promise<RunView[]> {
    const ids = (await this.store.ids()).slice(0, limit);
    const views: RunView[] = [];
    for (const id of ids) {
      const view = await this.view(id).catch(() => null);
      if (view) views.push(view);
    }
    return views;
  }

  /** Ends a run this process drives and resolves when nothing of it is left running. */
  async cancel(runId: string, reason: string): Promise<void> {
    const live = this.#active.get(runId);
    if (live) {
      live.loop.cancel(reason);
      await live.done;
      return;
    }
    const { state } = await this.view(runId);
    if (isTerminal(state.status)) throw new UserError("run-ended", `Run ${runId} has already ended: ${state.status}.`);
    const owner = state.owner ? `process ${state.owner.pid} drives it; cancel it there` : "no process drives it";
    throw new UserError("not-ours", `Run ${runId} can't be cancelled from here: ${owner}.`);
  }

  /** Stops driving: attempts under way go on, and the next owner follows them. */
  async release(reason: string): Promise<void> {
    const active = this.active;
    for (const { loop } of active) loop.release(reason);
    await Promise.all(active.map(({ done }) => done));
    await this.#engine.dispose();
  }

  async #drive(run: OpenRun): Promise<ActiveRun> {
    const { runId } = run.manifest;
    const owner: RunOwner = { ...this.#world.processes.self(), nonce: this.#world.random.hex(8) };
    if (!(await run.claim(owner))) {
      run.close();
      throw new UserError("claimed-elsewhere", `Run ${runId} was just taken by another process.`);
    }
    const loop = new RunLoop({
      run,
      engine: this.#engine,
      slots: this.#slots,
      clock: this.#world.clock,
      attemptFolder: (taskId, attempt) => attemptFolder(this.store.crewRoot, runId, taskId, attempt),
      newWorkerId: () => `w-${this.#world.random.hex(6)}`,
      redact: this.#redact,
      afterFailure: this.#afterFailure,
      correlation: this.#correlation,
    });
    const active: ActiveRun = { run, loop, done: this.#driveToEnd(run, loop) };
    this.#active.set(runId, active);
    return active;
  }

  async #driveToEnd(run: OpenRun, loop: RunLoop): Promise<DriveEnd> {
    try {
      return { kind: await loop.drive() };
    } catch (error) {
      this.#world.log.error("a run's log failed", { runId: run.manifest.runId, error: String(error) });
      return { kind: "lost", error };
    } finally {
      await run.saveSnapshot().catch((error: unknown) => {
        this.#world.log.warn("state.json was not written", { runId: run.manifest.runId, error: String(error) });
      });
      run.close();
      this.#active.delete(run.manifest.runId);
    }
  }
}
