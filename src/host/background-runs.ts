import type { RunManifest } from "../runs/manifest.ts";
import { Followings, type FollowLease } from "../store/followings.ts";
import { messageOf, UserError } from "../system/errors.ts";
import { FollowedRun } from "./followed-run.ts";
import { launchSupervisor } from "./launch-supervisor.ts";
import type { Resumption } from "./resumption.ts";
import type { RunService } from "./run-service.ts";
import type { RunsHome } from "./runs-home.ts";
import type { ShownRun } from "./shown-run.ts";

/** Runs that go on without this session: made, handed to a process of their own, and followed. */
export class BackgroundRuns {
  readonly #home: RunsHome;
  readonly #runs: RunService;
  readonly #followings: Followings;
  /** Those that this session tells of; null while one is on its way to that. */
  readonly #mine = new Map<string, FollowedRun | null>();
  /** Followings are begun and claimed one after the other; a disposal waits for the last one. */
  #turn: Promise<unknown> = Promise.resolve();
  #disposed = false;

  constructor(home: RunsHome, runs: RunService) {
    this.#home = home;
    this.#runs = runs;
    this.#followings = new Followings(home.world, runs.store.crewRoot);
  }

  get shown(): readonly ShownRun[] {
    return this.#followed();
  }

  /** The runs go on; the next session of this Pi, or the first one after it, follows them. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    await this.#turn;
    await Promise.all(this.#followed().map((run) => run.stop()));
  }

  /** `wake`: the run's end begins a turn of the model. Throws a UserError when the run could not be begun; it is then cancelled. */
  async start(manifest: RunManifest, wake: boolean): Promise<ShownRun> {
    const { runId } = manifest;
    this.#mine.set(runId, null);
    try {
      const lease = await this.#inTurn(() => this.#create(manifest, wake));
      try {
        await launchSupervisor(this.#home, runId, null);
      } catch (error) {
        await this.#cancel(runId, lease);
        throw error;
      }
      return await this.#inTurn(() => this.#follow(manifest, lease));
    } finally {
      this.#letGo(runId, null);
    }
  }

  /** Hands a run whose process is gone to a new one; `followAll` follows it. Throws a UserError when it has an owner. */
  async goOn(runId: string, resumption: Resumption | null): Promise<void> {
    await launchSupervisor(this.#home, runId, resumption);
  }

  /** Follows the runs of this folder whose end has not been told yet and that no other session tells of; gives those. */
  async followAll(): Promise<ShownRun[]> {
    const found: ShownRun[] = [];
    for (const runId of await this.#followings.runIds()) {
      if (this.#disposed) break;
      if (this.#mine.has(runId)) continue;
      this.#mine.set(runId, null);
      try {
        const followed = await this.#inTurn(() => this.#claim(runId));
        if (followed) found.push(followed);
      } catch (error) {
        this.#home.world.log.warn("a background run is not followed", { runId, error: messageOf(error) });
      } finally {
        this.#letGo(runId, null);
      }
    }
    return found;
  }

  #followed(): FollowedRun[] {
    return [...this.#mine.values()].filter((run) => run !== null);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => {
      if (!this.#disposed) return work();
      throw new UserError("session-ended", "The session has ended; background runs under way go on without it.");
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** The following comes first: a run that nobody would tell of is not made. */
  async #create(manifest: RunManifest, wake: boolean): Promise<FollowLease> {
    const { runId } = manifest;
    // the run's first event is told by the making of it
    const lease = await this.#followings.begin(runId, 1, wake).catch((error: unknown) => {
      const message = `Background run ${runId} was not begun: ${messageOf(error)}. Mend that and start it again.`;
      throw new UserError("run-not-kept", message, { cause: error });
    });
    try {
      (await this.#runs.create(manifest)).close();
      return lease;
    } catch (error) {
      await this.#end(runId, lease);
      throw error;
    }
  }

  /** What could not be cancelled, because somebody drives it after all, is still followed. */
  async #cancel(runId: string, lease: FollowLease): Promise<void> {
    try {
      const taken = await this.#runs.takeOver(runId, { cancelReason: "its process could not be started" });
      if (!taken) return;
      await taken.done;
      await this.#end(runId, lease);
    } catch (error) {
      this.#home.world.log.error("a run that could not be begun was not cancelled", { runId, error: messageOf(error) });
    }
  }

  async #claim(runId: string): Promise<FollowedRun | null> {
    const { store } = this.#runs;
    try {
      const { manifest } = await store.view(runId);
      // whoever copied the folder copied what its sessions followed
      if (manifest.cwd !== this.#home.cwd) return null;
      const lease = await this.#followings.claim(runId);
      return lease && (await this.#follow(manifest, lease));
    } catch (error) {
      if (!(error instanceof UserError) || error.code !== "unknown-run") throw error;
      // it was pruned; of one that is just being made, somebody alive has the lease
      await (await this.#followings.claim(runId))?.end();
      return null;
    }
  }

  async #follow(manifest: RunManifest, lease: FollowLease): Promise<FollowedRun> {
    const { runId } = manifest;
    const run = new FollowedRun(this.#home, this.#runs.store.crewRoot, manifest, lease);
    this.#mine.set(runId, run);
    void run.done.then(() => this.#letGo(runId, run));
    await run.caughtUp();
    return run;
  }

  #letGo(runId: string, run: FollowedRun | null): void {
    if (this.#mine.get(runId) === run) this.#mine.delete(runId);
  }

  async #end(runId: string, lease: FollowLease): Promise<void> {
    await lease.end().catch((error: unknown) => {
      this.#home.world.log.warn("a following was left behind", { runId, error: messageOf(error) });
    });
  }
}
