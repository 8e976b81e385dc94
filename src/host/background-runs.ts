import type { RunManifest } from "../runs/manifest.ts";
import { Followings } from "../store/followings.ts";
import { messageOf } from "../system/errors.ts";
import { type FollowedRun, FollowedRuns } from "./followed-runs.ts";
import { launchSupervisor } from "./launch-supervisor.ts";
import type { Resumption } from "./resumption.ts";
import type { RunService } from "./run-service.ts";
import type { RunsHome } from "./runs-home.ts";

/** Runs that go on without this session: made, handed to a process of their own, and followed. */
export class BackgroundRuns {
  readonly #home: RunsHome;
  readonly #runs: RunService;
  readonly #followings: Followings;
  readonly #followed: FollowedRuns;

  constructor(home: RunsHome, runs: RunService) {
    const { world, bus, id: sessionId } = home;
    this.#home = home;
    this.#runs = runs;
    this.#followings = new Followings(world, runs.store.crewRoot);
    const show: RunsHome["show"] = (text, severity) => home.show(text, severity);
    this.#followed = new FollowedRuns({ world, bus, store: runs.store, sessionId, show });
  }

  get shown(): readonly FollowedRun[] {
    return this.#followed.shown;
  }

  /** The runs go on. */
  dispose(): Promise<void> {
    return this.#followed.dispose();
  }

  /** `wake`: the run's end begins a turn of the model. Throws a UserError when the run could not be begun; it is then cancelled. */
  async start(manifest: RunManifest, wake: boolean): Promise<FollowedRun> {
    const { bus } = this.#home;
    const { runId } = manifest;
    const run = await this.#runs.store.create(manifest, bus);
    run.close();
    // its first event was told by the making of it
    const lease = await this.#followings.begin(runId, 1, wake);
    try {
      await launchSupervisor(this.#home, runId, null);
    } catch (error) {
      const taken = await this.#runs.takeOver(runId, { cancelReason: "its process could not be started" });
      await taken?.done;
      await lease.end();
      throw error;
    }
    return this.#followed.follow(runId, lease);
  }

  /** Hands a run whose process is gone to a new one, and follows it. Throws a UserError when it has an owner. */
  async goOn(runId: string, resumption: Resumption | null): Promise<void> {
    await launchSupervisor(this.#home, runId, resumption);
  }

  /** The runs whose end has not been told yet and that no other session tells of. */
  async followAll(): Promise<FollowedRun[]> {
    const found: FollowedRun[] = [];
    const known = new Set(this.#followed.shown.map(({ run }) => run.manifest.runId));
    for (const runId of await this.#followings.runIds()) {
      if (known.has(runId)) continue;
      try {
        const lease = await this.#followings.claim(runId);
        if (lease) found.push(await this.#followed.follow(runId, lease));
      } catch (error) {
        this.#home.world.log.warn("a background run is not followed", { runId, error: messageOf(error) });
      }
    }
    return found;
  }
}
