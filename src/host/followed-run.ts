import type { CrewEvent } from "../events/crew-event.ts";
import { applyEvent } from "../runs/apply-event.ts";
import type { RunManifest } from "../runs/manifest.ts";
import type { RunLoopEnd } from "../runs/run-loop.ts";
import { initialRunState, isTerminal, type RunState } from "../runs/run-state.ts";
import type { FollowLease } from "../store/followings.ts";
import { postRequest } from "../store/inbox.ts";
import { type RunPaths, runPaths } from "../store/layout.ts";
import { HEALTHY_LOG, RunLogReader } from "../store/run-log-reader.ts";
import { messageOf } from "../system/errors.ts";
import { isSameProcess } from "../system/same-process.ts";
import type { Standstill } from "../views/standstill.ts";
import { hasRoom } from "./disk-room.ts";
import { driverStandstill } from "./run-facts.ts";
import type { RunsHome } from "./runs-home.ts";
import type { DriveEnd, ShownRun } from "./shown-run.ts";

const POLL_MS = 500;
/** Between two looks at its driver: on some systems each starts a program. */
const DRIVER_MS = 2000;
const DISK_FULL = "its disk is full. It goes on by itself once there is room.";

/**
 * A run that another process drives, told of in this session: what its log tells beyond `lease.seq` is put on the bus,
 * as it grows, as if the session drove it, until its end was told or the lease is lost.
 */
export class FollowedRun implements ShownRun {
  readonly run: ShownRun["run"];
  readonly wake: boolean;
  readonly done: Promise<DriveEnd>;
  readonly #home: RunsHome;
  readonly #lease: FollowLease;
  readonly #paths: RunPaths;
  readonly #sources: Disposable[];
  #settle: (end: DriveEnd) => void = () => undefined;
  /** Null when a reading broke off: that reader is behind events it never gave. */
  #reader: RunLogReader | null = null;
  #state: RunState;
  #untold: readonly CrewEvent[] = [];
  readonly #ownEpochs = new Set<number>();
  /** Sequence number of the last event told. */
  #told: number;
  #standstill: Standstill | null = null;
  #driverAtMs = Number.NEGATIVE_INFINITY;
  #turn: Promise<void> = Promise.resolve();
  #waiting = false;
  #stopped = false;

  constructor(home: RunsHome, crewRoot: string, manifest: RunManifest, lease: FollowLease) {
    this.#home = home;
    this.#lease = lease;
    this.#paths = runPaths(crewRoot, manifest.runId);
    this.#state = initialRunState(manifest);
    this.#told = lease.seq;
    // another session's model knows nothing of the run
    this.wake = lease.wake && manifest.sessionId === home.id;
    const state = () => this.#state;
    const health = () => this.#reader?.health ?? HEALTHY_LOG;
    this.run = {
      manifest,
      folder: this.#paths.folder,
      get state() {
        return state();
      },
      get health() {
        return health();
      },
    };
    this.done = new Promise((settle) => {
      this.#settle = settle;
    });
    const { clock, files } = home.world;
    const look = () => this.#look();
    this.#sources = [clock.every(POLL_MS, look), files.watch(this.#paths.events, look)];
    look();
  }

  get standstill(): Standstill | null {
    return this.#standstill;
  }

  cancel(reason: string): void {
    const { world, id } = this.#home;
    postRequest(world, this.#paths.folder, { kind: "cancel", reason }, id).catch((error: unknown) =>
      this.#warn("a background run could not be asked to cancel", error),
    );
  }

  /** Resolves when what the log holds now was told, or could not be. */
  async caughtUp(): Promise<void> {
    this.#look();
    await this.#turn;
  }

  /** Tells nothing more; resolves when a telling under way is over. The run goes on. Idempotent. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#turn;
    this.#over({ kind: "released" });
  }

  #look(): void {
    if (this.#waiting || this.#stopped) return;
    this.#waiting = true;
    this.#turn = this.#turn.then(() => this.#tellNews());
  }

  async #tellNews(): Promise<void> {
    this.#waiting = false;
    if (this.#stopped) return;
    try {
      await this.#read();
      if (!(await this.#tell())) return this.#over({ kind: "released" });
      if (!isTerminal(this.#state.status)) {
        await this.#lookForDriver();
        return await this.#lookForFolder();
      }
    } catch (error) {
      return this.#warn("a run could not be told of; the next look tries again", error);
    }
    await this.#lease.end().catch((error: unknown) => this.#warn("a run's end may be told once more", error));
    this.#over({ kind: this.#state.status as RunLoopEnd });
  }

  /** Its driver can't write down that it waits for room: whoever follows it sees that, too. */
  async #lookForDriver(): Promise<void> {
    const { clock, files, processes } = this.#home.world;
    const now = clock.monotonicMs();
    if (now - this.#driverAtMs < DRIVER_MS) return;
    this.#driverAtMs = now;
    const isFull = !(await hasRoom(files, this.#paths.folder, "goOn"));
    const paused = isFull ? ({ kind: "paused", why: DISK_FULL } as const) : null;
    this.#standstill = (this.#isBeingStarted ? null : driverStandstill(this.#state, processes)) ?? paused;
  }

  /** Of such a one nobody knows yet who drives it. */
  get #isBeingStarted(): boolean {
    return this.#state.owner === null && this.#state.releasedBy === null;
  }

  /** A run whose folder was removed never ends in its log. */
  async #lookForFolder(): Promise<void> {
    const { folder, events } = this.#paths;
    if (this.#home.world.files.factsNow(events) !== null) return;
    await this.#lease.end();
    const message = `Run ${this.run.manifest.runId} can't go on: its folder ${folder} was removed. Its workers end by themselves.`;
    this.#home.show(message, "error");
    this.#over({ kind: "lost", error: new Error(message) });
  }

  async #read(): Promise<void> {
    const anew = this.#reader === null;
    const reader = this.#reader ?? new RunLogReader(this.#home.world.files, this.#paths.events);
    this.#reader = null;
    const events = await reader.readNew();
    this.#reader = reader;
    this.#state = events.reduce(applyEvent, anew ? initialRunState(this.run.manifest) : this.#state);
    const last = this.#untold.at(-1)?.seq ?? this.#told;
    this.#untold = [...this.#untold, ...events.filter(({ seq }) => seq > last)];
    const self = this.#home.world.processes.self();
    for (const event of events)
      if (event.type === "crew.run.claimed" && isSameProcess(event.owner, self)) this.#ownEpochs.add(event.epoch);
  }

  /** False when another session tells of the run by now. */
  async #tell(): Promise<boolean> {
    // progress is in no metric and may be told again
    const counted = this.#untold.findLast(({ type }) => type !== "crew.task.progress");
    if (counted && !(await this.#lease.advance(counted.seq))) return false;
    const events = this.#untold;
    this.#untold = [];
    this.#told = events.at(-1)?.seq ?? this.#told;
    for (const event of events) {
      // whoever took the run over here, to end it, has told it on this bus
      if (this.#ownEpochs.has(event.epoch)) continue;
      try {
        this.#home.bus.emit(event.type, event);
        if (event.type === "crew.notification.sent" && event.message) this.#home.show(event.message, event.severity);
      } catch (error) {
        this.#warn("a subscriber of the bus threw", error);
      }
    }
    return true;
  }

  #over(end: DriveEnd): void {
    this.#stopped = true;
    for (const source of this.#sources.splice(0)) source[Symbol.dispose]();
    this.#settle(end);
  }

  #warn(message: string, error: unknown): void {
    this.#home.world.log.warn(message, { runId: this.run.manifest.runId, error: messageOf(error) });
  }
}
