import { join } from "node:path";
import type { ExtensionAPI, ExtensionContext } from "@mariozechner/pi-coding-agent";
import { createCorrelation } from "../events/correlation.ts";
import type { EventBus } from "../events/publisher.ts";
import type { Catalog } from "../runs/definitions.ts";
import { findCrewRoot } from "../store/layout.ts";
import { Disposer } from "../system/disposer.ts";
import { messageOf } from "../system/errors.ts";
import type { Redactor } from "../system/redaction.ts";
import type { World } from "../system/world.ts";
import type { BackgroundRuns } from "./background-runs.ts";
import { agentFolder, ENV } from "./config.ts";
import { Dialogs } from "./dialogs.ts";
import { EarlyFacts } from "./early-facts.ts";
import { type HostFacts, ownHostFacts } from "./host-process.ts";
import { onceInTurn } from "./in-turn.ts";
import type { LATE } from "./late.ts";
import { tellLetGo } from "./let-go.ts";
import type { LoadedConfig } from "./load-config.ts";
import { openWorld } from "./open-world.ts";
import type { Severity } from "./output.ts";
import { PACKAGE_FOLDER } from "./package-folder.ts";
import type { Recovery } from "./recovery.ts";
import { RunFeed } from "./run-feed.ts";
import type { RunService } from "./run-service.ts";
import type { RunsHome } from "./runs-home.ts";
import { SessionMeter } from "./session-meter.ts";
import { SessionRuns } from "./session-runs.ts";
import type { ShownRun } from "./shown-run.ts";
import type { Telemetry } from "./telemetry.ts";

export type Late = typeof LATE;

const late = onceInTurn(async (): Promise<Late> => (await import("./late.ts")).LATE);
const soon = onceInTurn(async () => (await import("./soon.ts")).SOON);

/** A start is not slowed down by what is needed a minute later. */
const SETTLED_AFTER_MS = 2000;

/**
 * Everything that belongs to one Pi session, and the only place that puts the rooms together. Opening it is cheap;
 * what runs need is loaded with the first run.
 */
export class Session implements RunsHome {
  readonly pi: ExtensionAPI;
  readonly id: string;
  readonly cwd: string;
  readonly agentDir: string;
  readonly bus: EventBus;
  readonly world: World;
  /** Wall clock, milliseconds. */
  readonly startedAt: number;
  /** What the host tells, until the metrics are there to be moved by it. */
  readonly facts = new EarlyFacts();
  readonly meter: SessionMeter;
  readonly correlation = createCorrelation();
  readonly dialogs = new Dialogs(this);
  /** Runs whose end is told, or will be. */
  readonly announced = new WeakSet<ShownRun>();
  /** What commands and runs need. */
  readonly late = late;
  readonly #disposer: Disposer;
  readonly #runs = new SessionRuns(this);
  #context: ExtensionContext;
  #feed: RunFeed | null = null;
  #config: Promise<LoadedConfig> | null = null;
  #telemetry: Promise<Telemetry> | null = null;
  #redactor: Promise<Redactor> | null = null;
  #quitting = false;

  constructor(pi: ExtensionAPI, context: ExtensionContext) {
    this.pi = pi;
    this.#context = context;
    this.id = context.sessionManager.getSessionId();
    this.cwd = context.cwd;
    this.agentDir = agentFolder();
    this.bus = pi.events;
    const world = openWorld(this.agentDir, this.correlation, () => this.redactor());
    const { log } = world;
    this.world = world;
    this.startedAt = world.clock.now();
    this.#disposer = new Disposer((error) => log.error("a release failed", { error: messageOf(error) }));
    this.#disposer.defer(() => world.close());
    this.meter = new SessionMeter(this.facts.tell, world.clock);
    // released after the runs, so that their last events are told too
    this.#disposer.defer(() => this.#endTelemetry());
    this.#disposer.use(world.clock.after(SETTLED_AFTER_MS, () => void this.#settle()));
  }

  get closed(): boolean {
    return this.#disposer.disposed;
  }

  /** The user leaves Pi: its screen is gone, and standard error is a terminal like any other. */
  get isQuitting(): boolean {
    return this.#quitting;
  }

  /** The host's view of the session; null when the session was replaced, where using it would throw. */
  get context(): ExtensionContext | null {
    return this.closed ? null : this.#context;
  }

  /** The chosen model as `provider/id`; null when none is, or none that could be used. */
  get model(): string | null {
    // a replaced session's context throws when it is read
    const model = this.context?.model;
    // without a choice the host's agent carries a placeholder of provider "unknown"
    if (!model || !this.#context.modelRegistry.hasConfiguredAuth(model)) return null;
    return `${model.provider}/${model.id}`;
  }

  /** Calls `release` when the session ends, before what was opened earlier. */
  defer(release: () => void | Promise<void>): void {
    this.#disposer.defer(release);
  }

  config(): Promise<LoadedConfig> {
    this.#config ??= soon().then(({ loadConfig }) => loadConfig(this.world.files, this.agentDir, this.cwd));
    return this.#config;
  }

  /** The metrics, and what of them leaves this process. Begun soon after the session, or now. */
  telemetry(): Promise<Telemetry> {
    this.#telemetry ??= Promise.all([soon(), this.config()])
      .then(([{ startTelemetry }, { config }]) => startTelemetry(this, config))
      .catch((error: unknown) => {
        this.#telemetry = null;
        throw error;
      });
    return this.#telemetry;
  }

  /** What needs not be there at the start. What is said sooner after a session, the host wipes from its screen. */
  async #settle(): Promise<void> {
    const { log } = this.world;
    if (this.canAsk) for (const text of tellLetGo(this.cwd)) this.show(text, "warning");
    await this.telemetry().catch((error: unknown) =>
      log.error("metrics are neither kept nor sent", { error: messageOf(error) }),
    );
    await this.#runs
      .awaitFirst()
      .catch((error: unknown) => log.error("other sessions' runs are not looked for", { error: messageOf(error) }));
  }

  /** A session in which nothing was done is not held up for telemetry that has not begun. */
  async #endTelemetry(): Promise<void> {
    if (this.#telemetry === null && !this.#runs.begun && !this.facts.waiting) return;
    await (await this.telemetry()).dispose();
  }

  /** Read anew at each call: definition files may change between two runs. */
  async catalog(): Promise<Catalog> {
    const { loadCatalog } = await this.late();
    return loadCatalog(this.world.files, [
      { origin: "package", root: PACKAGE_FOLDER, holds: "crew" },
      { origin: "user", root: join(this.agentDir, "crew"), holds: "crew" },
      { origin: "project", root: join(this.cwd, ".claude", "agents"), holds: "agents" },
      { origin: "project", root: join(this.cwd, ".crew"), holds: "crew" },
    ]);
  }

  /** The runs of this project. Throws a UserError when no run can be kept. */
  async runs(): Promise<RunService> {
    return (await this.#runs.open()).runs;
  }

  /** Those that processes of their own drive. Throws as `runs`. */
  async background(): Promise<BackgroundRuns> {
    return (await this.#runs.open()).background;
  }

  async recovery(): Promise<Recovery> {
    return (await this.#runs.open()).recovery;
  }

  /** The runs under way that this session drives or follows. */
  async shownRuns(): Promise<ShownRun[]> {
    const { runs, background } = await this.#runs.open();
    return [...runs.active, ...background.shown];
  }

  hostFacts(): Promise<HostFacts> {
    return ownHostFacts(this.world.files, this.cwd);
  }

  redactor(): Promise<Redactor> {
    const from = { files: this.world.files, env: ENV, agentDir: this.agentDir };
    this.#redactor ??= soon().then(({ openRedactor }) => openRedactor(from));
    return this.#redactor;
  }

  get canAsk(): boolean {
    return this.context?.hasUI ?? false;
  }

  show(text: string, severity: Severity): void {
    this.context?.ui.notify(text, severity);
  }

  /** Made at the first run that somebody follows. */
  feed(): RunFeed {
    this.#feed ??= this.#disposer.use(new RunFeed(this.bus, this.world));
    return this.#feed;
  }

  /** Whether this project has a folder with runs; creates nothing. */
  async hasRuns(): Promise<boolean> {
    return (await findCrewRoot(this.world.files, this.cwd, this.agentDir)) !== null;
  }

  /**
   * Idempotent. Runs under way are released: their attempts go on. At a quit they are cancelled when the user's
   * configuration says so; background runs go on in any case.
   */
  async close(quit = false): Promise<void> {
    this.#quitting ||= quit;
    if (quit && this.#runs.begun && !this.closed) await this.#runs.stopIfWished();
    await this.#disposer.dispose();
  }
}
