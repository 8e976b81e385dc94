import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ExtensionAPI, ExtensionContext } from "@mariozechner/pi-coding-agent";
import { createCorrelation } from "../events/correlation.ts";
import type { EventBus } from "../events/publisher.ts";
import { subscribeCrewMetrics } from "../metrics/crew-metrics.ts";
import { createMetricRegistry, type MetricRegistry } from "../metrics/registry.ts";
import type { Catalog } from "../runs/definitions.ts";
import { Disposer } from "../system/disposer.ts";
import { messageOf } from "../system/errors.ts";
import { createFileLog } from "../system/file-log.ts";
import { nodeWorld } from "../system/node.ts";
import { nodeFiles } from "../system/node-files.ts";
import type { Log, World } from "../system/world.ts";
import { agentFolder, DEPTH_VARIABLE, ENV, type LoadedConfig, loadConfig, teamDepth } from "./config.ts";
import { findSdkEntry, readHostArguments } from "./host-process.ts";
import type { Notify } from "./record-dead-letter.ts";
import { RunFeed } from "./run-feed.ts";
import type { RunService } from "./run-service.ts";

/** The package's own folder, where the shipped definitions lie. */
export const PACKAGE_FOLDER = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

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
  #context: ExtensionContext;
  #runs: Promise<RunService> | null = null;
  #feed: RunFeed | null = null;
  #config: Promise<LoadedConfig> | null = null;

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
    this.#disposer.defer(subscribeCrewMetrics(this.bus, this.registry));
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

  config(): Promise<LoadedConfig> {
    this.#config ??= loadConfig(this.world.files, this.agentDir, this.cwd);
    return this.#config;
  }

  /** Read anew at each call: definition files may change between two runs. */
  async catalog(): Promise<Catalog> {
    const { loadCatalog } = await import("../catalog/load-catalog.ts");
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

  /** Tells the user something beside the work. Never throws. */
  readonly notify: Notify = ({ severity, source, message }) => {
    if (severity === "error") this.world.log.error(message, { source });
    if (this.context?.hasUI) this.context.ui.notify(message, severity);
  };

  /** Made at the first run that somebody follows. */
  feed(): RunFeed {
    this.#feed ??= this.#disposer.use(new RunFeed(this.bus, this.world));
    return this.#feed;
  }

  /** Whether this project has a folder with runs; creates nothing. */
  async hasRuns(): Promise<boolean> {
    const { findCrewRoot } = await import("../store/layout.ts");
    return (await findCrewRoot(this.world.files, this.cwd, this.agentDir)) !== null;
  }

  /** The runs when a run was started or looked at in this session, else null. */
  openedRuns(): Promise<RunService> | null {
    return this.#runs;
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
    const [
      { prepareCrewRoot },
      { RunStore },
      { createLocalEngine },
      { RunService: Service },
      { Slots },
      redaction,
      { afterFailureUnder },
      { DeadLetters },
      { alertOnDeadLetters },
    ] = await Promise.all([
      import("../store/layout.ts"),
      import("../store/run-store.ts"),
      import("../engines/local.ts"),
      import("./run-service.ts"),
      import("../runs/slots.ts"),
      import("../system/redaction.ts"),
      import("./after-failure.ts"),
      import("../store/dead-letters.ts"),
      import("./dead-letter-alert.ts"),
    ]);
    const crewRoot = await prepareCrewRoot(this.world.files, this.cwd, this.agentDir);
    const { config } = await this.config();
    const host = readHostArguments(process.argv, this.cwd);
    const engine = createLocalEngine({
      world: this.world,
      hostEntry: await findSdkEntry(this.world.files, process.argv[1]),
      execPath: process.execPath,
      agentDir: this.agentDir,
      cwd: this.cwd,
      extensionPaths: host.extensionPaths,
      noExtensions: host.noExtensions,
      env: { ...definedOnly(ENV), [DEPTH_VARIABLE]: String(teamDepth() + 1) },
      warmIdleMs: 60_000,
      idleMax: 2,
    });
    const redactor = redaction.createRedactor({ secretValues: redaction.collectSecretValues(ENV) });
    const service = new Service({
      world: this.world,
      bus: this.bus,
      store: new RunStore(this.world, crewRoot),
      engine,
      slots: new Slots(config.limits.maxParallelAttempts),
      sessionId: this.id,
      redact: (text) => redactor.text(text),
      afterFailure: afterFailureUnder(config.reliability, this.world),
      correlation: this.#correlation,
      deadLetters: new DeadLetters(this.world, crewRoot),
      notify: this.notify,
    });
    this.#disposer.defer(alertOnDeadLetters(this.bus, config.reliability.deadletterThreshold, this.notify));
    this.#disposer.defer(() => service.release("session ended"));
    return service;
  }
}

function definedOnly(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined));
}
