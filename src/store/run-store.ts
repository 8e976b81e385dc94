import type { CrewEvent, RunOwner } from "../events/crew-event.ts";
import { createPublisher, type EventBus, type Publisher } from "../events/publisher.ts";
import { applyEvent } from "../runs/apply-event.ts";
import type { KeptResult, RunManifest, TaskSpec } from "../runs/manifest.ts";
import { initialRunState, type RunState } from "../runs/run-state.ts";
import { messageOf, UserError } from "../system/errors.ts";
import type { Clock, Files, Log } from "../system/world.ts";
import { isSafeSegment, refusePlanted, runPaths, runsFolder } from "./layout.ts";
import { RunLog } from "./run-log.ts";
import { isDegraded, type LogHealth, RunLogReader } from "./run-log-reader.ts";
import { readSnapshot, writeSnapshot } from "./run-snapshot.ts";

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
  readonly publisher: Publisher;
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

  constructor(world: StoreWorld, crewRoot: string) {
    this.#world = world;
    this.crewRoot = crewRoot;
  }

  /** Makes the run's folder, writes what was asked, and the log's first event. */
  async create(manifest: RunManifest, bus: EventBus): Promise<OpenRun> {
    const paths = runPaths(this.crewRoot, manifest.runId);
    for (const folder of [paths.folder, paths.inbox, paths.artifacts]) await this.#world.files.makeFolder(folder);
    // made before the manifest, whose folder sync then covers its name too
    this.#world.files.openAppend(paths.events).close();
    await this.#world.files.writeNew(paths.manifest, `${JSON.stringify(manifest, null, 2)}\n`);
    const run = await this.#open(manifest, bus);
    const { team, workflow, goal, background, sessionId, resumedFrom } = manifest;
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

  /** Opens an existing run for driving it on. Throws a UserError when there is none, or a later version drove it. */
  async open(runId: string, bus: EventBus): Promise<OpenRun> {
    return this.#open(await this.#manifest(runId), bus);
  }

  /** Reads a run without touching it. Throws a UserError when there is none. */
  async view(runId: string): Promise<RunView> {
    const manifest = await this.#manifest(runId);
    const { state, reader } = await this.#fold(manifest);
    const { health, position } = reader;
    const paths = runPaths(this.crewRoot, runId);
    const written = await this.#world.files.facts(paths.events);
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

  /** Ids of the runs that are kept, newest first. */
  async ids(): Promise<string[]> {
    return (await this.#world.files.list(runsFolder(this.crewRoot))).filter(isSafeSegment).reverse();
  }

  /** The one run whose id is, begins or ends with `text`; `latest` is the newest. Throws a UserError otherwise. */
  async find(text: string): Promise<string> {
    const ids = await this.ids();
    if (ids.length === 0)
      throw new UserError("no-runs", 'There is no run yet. Start one with /team-run <team> "<goal>".');
    if (text === "" || text === "latest") return ids[0] as string;
    const exact = ids.filter((id) => id === text);
    const found = exact.length > 0 ? exact : ids.filter((id) => id.startsWith(text) || id.endsWith(text));
    if (found.length === 1) return found[0] as string;
    const known = found.length > 1 ? found : ids;
    throw new UserError(
      "unknown-run",
      `${found.length > 1 ? "More than one run is" : "No run is"} called ${JSON.stringify(text.slice(0, 80))}. ` +
        `Use one of ${known.slice(0, 5).join(", ")}, or "latest".`,
    );
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

  async #fold(manifest: RunManifest): Promise<{ state: RunState; reader: RunLogReader }> {
    const { files } = this.#world;
    const paths = runPaths(this.crewRoot, manifest.runId);
    const snapshot = await readSnapshot(files, paths, manifest.runId);
    const reader = new RunLogReader(files, paths.events, snapshot?.position, snapshot?.health);
    const state = (await reader.readNew()).reduce(applyEvent, snapshot?.state ?? initialRunState(manifest));
    return { state, reader };
  }

  async #open(manifest: RunManifest, bus: EventBus): Promise<OpenRun> {
    const { files, clock, log: ownLog } = this.#world;
    const paths = runPaths(this.crewRoot, manifest.runId);
    const folded = await this.#fold(manifest);
    const { reader } = folded;
    if (reader.health.newer)
      throw new UserError(
        "newer-run",
        `Run ${manifest.runId} was driven by a later version of pi-foreman; this one can only show it. Update to go on.`,
      );
    let state = folded.state;
    const fold = (event: CrewEvent) => {
      state = applyEvent(state, event);
    };
    const log = await RunLog.open({ files, clock, runId: manifest.runId, path: paths.events, reader, onEvent: fold });
    const onSubscriberError = (message: string, event: CrewEvent) =>
      ownLog.warn("a subscriber of the bus threw", { message, type: event.type });
    const publisher = createPublisher({ log, bus, fold, onSubscriberError });
    return {
      manifest,
      folder: paths.folder,
      publisher,
      get state() {
        return state;
      },
      async claim(owner) {
        const won = await log.claim(owner, fold);
        if (won === null) return false;
        try {
          bus.emit(won.type, won);
        } catch (error) {
          onSubscriberError(messageOf(error), won);
        }
        return true;
      },
      async saveSnapshot() {
        // read back rather than remembered: the snapshot then holds what any reader would find
        const { state: folded, reader: read } = await foldAll(files, paths.events, manifest);
        const { position, health } = read;
        await writeSnapshot(files, paths.state, {
          schemaVersion: 1,
          runId: manifest.runId,
          position,
          health,
          state: folded,
        });
      },
      close: () => log.close(),
    };
  }
}

async function foldAll(files: Files, events: string, manifest: RunManifest) {
  const reader = new RunLogReader(files, events);
  const state = (await reader.readNew()).reduce(applyEvent, initialRunState(manifest));
  return { state, reader };
}

function parseManifest(text: string): RunManifest | null {
  try {
    const manifest = JSON.parse(text) as RunManifest | null;
    if (!Array.isArray(manifest?.tasks) || !manifest.tasks.every(isTaskSpec)) return null;
    const kept: unknown = manifest.kept;
    return typeof kept === "object" && kept !== null && Object.values(kept).every(isKept) ? manifest : null;
  } catch {
    return null;
  }
}

function isKept(result: Partial<KeptResult> | null): boolean {
  const { summary, artifacts, fromRunId } = result ?? {};
  return typeof summary === "string" && Array.isArray(artifacts) && typeof fromRunId === "string";
}

function isTaskSpec(task: Partial<TaskSpec> | null): boolean {
  return typeof task?.taskId === "string" && Array.isArray(task.dependsOn);
}
