import { join } from "node:path";
import type { ExtensionAPI, ExtensionContext } from "@mariozechner/pi-coding-agent";
import { createCorrelation } from "../events/correlation.ts";
import type { EventBus } from "../events/publisher.ts";
import { subscribeCrewMetrics } from "../metrics/crew-metrics.ts";
import { createMetricRegistry, type MetricRegistry } from "../metrics/registry.ts";
import type { Catalog } from "../runs/definitions.ts";
import { findCrewRoot } from "../store/layout.ts";
import { Disposer } from "../system/disposer.ts";
import { messageOf } from "../system/errors.ts";
import { createFileLog } from "../system/file-log.ts";
import { nodeWorld } from "../system/node.ts";
import { nodeFiles } from "../system/node-files.ts";
import type { Log, World } from "../system/world.ts";
import { agentFolder } from "./config.ts";
import type { LATE } from "./late.ts";
import type { LoadedConfig } from "./load-config.ts";
import { PACKAGE_FOLDER } from "./package-folder.ts";
import { RunFeed } from "./run-feed.ts";
import type { RunService } from "./run-service.ts";

export type Late = typeof LATE;

/**
 * Everything that belongs to one Pi session, and the only place that puts the rooms together. Opening it is cheap;
 * what runs need is loaded with the first run.
 */
export class Session {
  readonly id: string;
  readonly cwd: string;
  readonly agentDir: string;
  readonly bus: EventBus;
  readonly world: World;
  readonly registry: MetricRegistry;
  readonly #disposer: Disposer;
  readonly #correlation = createCorrelation();
  readonly #stopCounting: () => void;
  #context: ExtensionContext;
  #runs: Promise<RunService> | null = null;
  #feed: RunFeed | null = null;
  #config: Promise<LoadedConfig> | null = null;
  #late: Promise<Late> | null = null;

  constructor(pi: ExtensionAPI, context: ExtensionContext) {
    this.#context = context;
    this.id = context.sessionManager.getSessionId();
    this.cwd = context.cwd;
    this.agentDir = agentFolder();
    this.bus = pi.events;
    const log = this.#openLog();
    this.world = nodeWorld(log);
    this.#disposer = new Disposer((error) => log.error("a release failed", { error: messageOf(error) }));
    this.#disposer.use(log);
    this.registry = createMetricRegistry({ warn: log.warn });
    this.#disposer.defer(() => this.registry.dispose());
    this.#stopCounting = subscribeCrewMetrics(this.bus, this.registry);
    this.#disposer.defer(this.#stopCounting);
  }

  get closed(): boolean {
    return this.#disposer.disposed;
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

  /** Imported once, at the first use. */
  late(): Promise<Late> {
    this.#late ??= import("./late.ts").then(({ LATE }) => LATE);
    return this.#late;
  }

  config(): Promise<LoadedConfig> {
    this.#config ??= this.late().then(({ loadConfig }) => loadConfig(this.world.files, this.agentDir, this.cwd));
    return this.#config;
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
  runs(): Promise<RunService> {
    this.#runs ??= this.#openRuns().catch((error: unknown) => {
      // the user may mend the folder and try again
      this.#runs = null;
      throw error;
    });
    return this.#runs;
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

  /** Idempotent. Runs under way are released: their attempts go on. */
  close(): Promise<void> {
    return this.#disposer.dispose();
  }

  #openLog(): Log & Disposable {
    const path = join(this.agentDir, "crew", "log", "foreman.jsonl");
    const clock = { now: () => this.world.clock.now() };
    return createFileLog({ files: nodeFiles(), clock, path, context: () => this.#correlation.getCurrentContext() });
  }

  async #openRuns(): Promise<RunService> {
    const [{ openRuns }, { config }] = await Promise.all([this.late(), this.config()]);
    if (!config.observability.enabled) this.#stopCounting();
    const opened = await openRuns(this, config, this.#correlation);
    this.#disposer.defer(() => opened.dispose());
    return opened.runs;
  }
}
