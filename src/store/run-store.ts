import type { CrewEvent, RunOwner } from "../events/crew-event.ts";
import { createPublisher, type EventBus, type Publisher } from "../events/publisher.ts";
import { applyEvent } from "../runs/apply-event.ts";
import type { RunManifest } from "../runs/manifest.ts";
import { initialRunState, type RunState } from "../runs/run-state.ts";
import { codeOf, messageOf, UserError } from "../system/errors.ts";
import type { Clock, Files, Log } from "../system/world.ts";
import { parseManifest } from "./kept-manifest.ts";
import { isSafeSegment, type RunPaths, refusePlanted, refusePlantedTasks, runPaths, runsFolder } from "./layout.ts";
import { RunLog } from "./run-log.ts";
import { isDegraded, type LogHealth, RunLogReader } from "./run-log-reader.ts";
import { runNamed } from "./run-named.ts";
import { readSnapshot, SnapshotKeeper } from "./run-snapshot.ts";
import { UnendedRuns } from "./unended-runs.ts";

/** A run as anyone can read it. */
export interface RunView {
  manifest: RunManifest;
  state: RunState;
  health: LogHealth;
  degraded: boolean;
  folder: string;
  /** Of the log's last event; 0 before the first. */
  seq: number;
  /** When the log was last written to; wall clock, milliseconds. */
  writtenAt: number;
}

/** A run this process may write to once it owns it. */
export interface OpenRun {
  readonly manifest: RunManifest;
  readonly state: RunState;
  readonly folder: string;
  /** Of what was there when the log was last read; what this process appends is well. */
  readonly health: LogHealth;
  readonly publisher: Publisher;
  /** Of the last event the bus was told, or that was there when the run was first opened. */
  readonly toldSeq: number;
  /** Rejects when the log is another owner's by now, or could not be written before; one stat. */
  look(): Promise<void>;
  /** Becomes the owner; false when another process won. */
  claim(owner: RunOwner): Promise<boolean>;
  /** Writes `state.json`. Never needed for the run's safety. */
  saveSnapshot(): Promise<void>;
  close(): void;
}

interface StoreWorld {
  files: Files;
  clock: Clock;
  log: Log;
}

/** The runs of one project. */
export class RunStore {
  readonly #world: StoreWorld;
  readonly crewRoot: string;
  readonly #unended: UnendedRuns;

  constructor(world: StoreWorld, crewRoot: string) {
    this.#world = world;
    this.crewRoot = crewRoot;
    this.#unended = new UnendedRuns(world.files, crewRoot);
  }

  /**
   * Makes the run's folder, writes what was asked, and the log's first event, which tells `goal`. Throws a UserError
   * when it can't.
   */
  async create(manifest: RunManifest, bus: EventBus, goal = manifest.goal): Promise<OpenRun> {
    const paths = runPaths(this.crewRoot, manifest.runId);
    try {
      return await this.#create(manifest, paths, bus, goal);
    } catch (error) {
      if (error instanceof UserError || codeOf(error) === "EEXIST") throw error;
      const { files } = this.#world;
      await files.remove(paths.folder).catch(() => undefined);
      const place = runsFolder(this.crewRoot);
      // the system's own words for a read-only disk may be "no such file"
      const why = (await files.writable(place)) ? messageOf(error) : "its folder can't be written";
      throw new UserError(
        "run-not-kept",
        `The run can't be kept and was not begun: ${why}. Mend ${place}, then start it again.`,
        { cause: error },
      );
    }
  }

  async #create(manifest: RunManifest, paths: RunPaths, bus: EventBus, goal: string): Promise<OpenRun> {
    for (const folder of [paths.folder, paths.inbox, paths.artifacts]) await this.#world.files.makeFolder(folder);
    // made before the manifest, whose folder sync then covers its name too
    this.#world.files.openAppend(paths.events).close();
    await this.#world.files.writeNew(paths.manifest, `${JSON.stringify(manifest, null, 2)}\n`);
    const run = await this.#open(manifest, bus);
    const { team, workflow, background, sessionId, resumedFrom } = manifest;
    try {
      await run.publisher.publish({
        type: "crew.run.created",
        team,
        workflow,
        goal: goal.slice(0, 2000),
        taskCount: manifest.tasks.length,
        background,
        sessionId,
        ...(resumedFrom === null ? {} : { resumedFrom }),
      });
      return run;
    } catch (error) {
      run.close();
      throw error;
    }
  }

  /**
   * Opens an existing run for driving it on. Throws a UserError when there is none, or a later version drove it.
   * Who had it open before gives `toldSeq` of then: the log is read from its begin, and what the bus has not heard of
   * is told with the claim.
   */
  async open(runId: string, bus: EventBus, toldSeq: number | null = null): Promise<OpenRun> {
    await refusePlantedTasks(this.#world.files, runPaths(this.crewRoot, runId));
    return this.#open(await this.#manifest(runId), bus, toldSeq);
  }

  /** Reads a run without touching it. Throws a UserError when there is none. */
  async view(runId: string): Promise<RunView> {
    const manifest = await this.#manifest(runId);
    const { state, reader } = await this.#fold(manifest);
    const { health, position } = reader;
    const paths = runPaths(this.crewRoot, runId);
    const written = this.#world.files.factsNow(paths.events);
    return {
      manifest,
      state,
      health,
      degraded: isDegraded(health),
      folder: paths.folder,
      seq: position.seq,
      writtenAt: written?.modifiedMs ?? 0,
    };
  }

  /** A run's log read from its begin, whatever `state.json` remembers of it. */
  async log(runId: string): Promise<{ events: CrewEvent[]; health: LogHealth }> {
    const reader = new RunLogReader(this.#world.files, runPaths(this.crewRoot, runId).events);
    return { events: await reader.readNew(), health: reader.health };
  }

  /** Ids of the runs that are kept, newest first. */
  async ids(): Promise<string[]> {
    return (await this.#world.files.list(runsFolder(this.crewRoot))).filter(isSafeSegment).reverse();
  }

  /**
   * Ids of the runs that may need somebody, newest first: without those that have ended, and without those that an
   * owner drives who `isAlive`. Costs some 10 µs for each run, however long its log is.
   */
  async unended(isAlive: (owner: RunOwner) => boolean): Promise<string[]> {
    return this.#unended.of(await this.ids(), isAlive);
  }

  /** See `runNamed`. */
  async find(text: string): Promise<string> {
    return runNamed(await this.ids(), text);
  }

  async #manifest(runId: string): Promise<RunManifest> {
    const paths = runPaths(this.crewRoot, runId);
    await refusePlanted(this.#world.files, paths);
    const path = paths.manifest;
    const text = await this.#world.files.readText(path);
    if (text === null)
      throw new UserError("unknown-run", `There is no run ${runId}: ${path} is missing. /team-status lists the runs.`);
    const manifest = parseManifest(text);
    if (manifest?.schemaVersion !== 1 || manifest.runId !== runId)
      throw new UserError(
        "bad-manifest",
        `Run ${runId} can't be read: ${path} is damaged or of a later version. Its events are untouched beside it.`,
      );
    return manifest;
  }

  async #fold(manifest: RunManifest, bySnapshot = true) {
    const { files } = this.#world;
    const paths = runPaths(this.crewRoot, manifest.runId);
    const snapshot = bySnapshot ? await readSnapshot(files, paths, manifest.runId) : null;
    const reader = new RunLogReader(files, paths.events, snapshot ?? undefined);
    const events = await reader.readNew();
    return { state: events.reduce(applyEvent, snapshot?.state ?? initialRunState(manifest)), reader, events };
  }

  async #open(manifest: RunManifest, bus: EventBus, told: number | null = null): Promise<OpenRun> {
    const { files, clock, log: ownLog } = this.#world;
    const paths = runPaths(this.crewRoot, manifest.runId);
    const folded = await this.#fold(manifest, told === null);
    const { reader, events } = folded;
    let toldSeq = told ?? reader.position.seq;
    const untold = events.filter(({ seq }) => seq > toldSeq);
    if (reader.health.newer)
      throw new UserError(
        "newer-run",
        `Run ${manifest.runId} was driven by a later version of pi-foreman; this one can only show it. Update to go on.`,
      );
    let state = folded.state;
    const keeper = new SnapshotKeeper({ files, log: ownLog }, paths, reader, state);
    const fold = (event: CrewEvent) => {
      state = applyEvent(state, event);
      keeper.count();
    };
    const tell = (event: CrewEvent) => {
      toldSeq = event.seq;
      fold(event);
    };
    const log = await RunLog.open({ files, clock, runId: manifest.runId, path: paths.events, reader, onEvent: fold });
    const onSubscriberError = (message: string, event: CrewEvent) =>
      ownLog.warn("a subscriber of the bus threw", { message, type: event.type });
    const publisher = createPublisher({ log, bus, fold: tell, onSubscriberError });
    return {
      manifest,
      folder: paths.folder,
      publisher,
      get state() {
        return state;
      },
      get health() {
        return reader.health;
      },
      get toldSeq() {
        return toldSeq;
      },
      look: () => log.look(),
      async claim(owner) {
        const won = await log.claim(owner, fold);
        if (won === null) return false;
        for (const event of [...untold.splice(0), won]) {
          toldSeq = event.seq;
          try {
            bus.emit(event.type, event);
          } catch (error) {
            onSubscriberError(messageOf(error), event);
          }
        }
        await keeper.saveQuietly();
        return true;
      },
      saveSnapshot: () => keeper.save(),
      close: () => log.close(),
    };
  }
}
