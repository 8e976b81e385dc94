import { type CrewEvent, EVENT_DURABILITY } from "../events/crew-event.ts";
import type { EventBus } from "../events/publisher.ts";
import type { RunLoopEnd } from "../runs/run-loop.ts";
import { isTerminal } from "../runs/run-state.ts";
import type { FollowLease } from "../store/followings.ts";
import { postRequest } from "../store/inbox.ts";
import { runPaths } from "../store/layout.ts";
import { RunFollower } from "../store/run-follower.ts";
import type { RunStore } from "../store/run-store.ts";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import type { Severity } from "./output.ts";
import type { DriveEnd, ShownRun } from "./run-service.ts";

export interface FollowedRun extends ShownRun {
  /** Whether the run's end is to begin a turn of the model. */
  readonly wake: boolean;
}

export interface FollowedRunsParts {
  world: World;
  bus: EventBus;
  store: RunStore;
  sessionId: string;
  show(text: string, severity: Severity): void;
}

/** Background runs that this session tells of: their events are put on its bus as if it drove them itself. */
export class FollowedRuns {
  readonly #parts: FollowedRunsParts;
  readonly #runs = new Map<string, { shown: FollowedRun; follower: RunFollower }>();

  constructor(parts: FollowedRunsParts) {
    this.#parts = parts;
  }

  get shown(): readonly FollowedRun[] {
    return [...this.#runs.values()].map(({ shown }) => shown);
  }

  /** Follows on from where the lease stands. Resolves when what has happened so far was told. */
  async follow(runId: string, lease: FollowLease): Promise<FollowedRun> {
    const { world, store } = this.#parts;
    const { manifest, folder } = await store.view(runId);
    let told = lease.seq;
    const follower = new RunFollower({
      world,
      manifest,
      path: runPaths(store.crewRoot, runId).events,
      onEvents: async (events) => {
        const news = events.filter(({ seq }) => seq > told);
        told = news.at(-1)?.seq ?? told;
        if (news.length > 0 && !(await this.#tell(news, lease))) void follower.stop();
      },
    });
    const run = {
      manifest,
      folder,
      get state() {
        return follower.state;
      },
    };
    const cancel = (reason: string) => {
      postRequest(world, folder, { kind: "cancel", reason }, this.#parts.sessionId).catch((error: unknown) =>
        world.log.warn("a background run could not be asked to cancel", { runId, error: messageOf(error) }),
      );
    };
    const shown: FollowedRun = { run, cancel, wake: lease.wake, done: this.#doneOf(runId, follower, lease) };
    this.#runs.set(runId, { shown, follower });
    await follower.caughtUp();
    return shown;
  }

  /** The runs go on; the next session of this Pi, or the first one after it, follows them. */
  async dispose(): Promise<void> {
    await Promise.all([...this.#runs.values()].map(({ follower }) => follower.stop()));
  }

  /** False when another session tells of the run by now. */
  async #tell(events: readonly CrewEvent[], lease: FollowLease): Promise<boolean> {
    const { bus, world, show } = this.#parts;
    const last = events.findLast(({ type }) => EVENT_DURABILITY[type] === "sync");
    if (last && !(await lease.advance(last.seq))) return false;
    for (const event of events) {
      try {
        bus.emit(event.type, event);
        if (event.type === "crew.notification.sent" && event.message) show(event.message, event.severity);
      } catch (error) {
        world.log.warn("a subscriber of the bus threw", { message: messageOf(error), type: event.type });
      }
    }
    return true;
  }

  async #doneOf(runId: string, follower: RunFollower, lease: FollowLease): Promise<DriveEnd> {
    await follower.done;
    this.#runs.delete(runId);
    const { status } = follower.state;
    if (!isTerminal(status)) return { kind: "released" };
    await lease.end().catch((error: unknown) => {
      this.#parts.world.log.warn("a run's end may be told once more", { runId, error: messageOf(error) });
    });
    return { kind: status as RunLoopEnd };
  }
}
