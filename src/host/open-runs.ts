import { createLocalEngine } from "../engines/local.ts";
import type { Correlation } from "../events/correlation.ts";
import { registerHeartbeatStaleness } from "../metrics/crew-metrics.ts";
import { Slots } from "../runs/slots.ts";
import { DeadLetters } from "../store/dead-letters.ts";
import { prepareCrewRoot } from "../store/layout.ts";
import { RunStore } from "../store/run-store.ts";
import { Disposer } from "../system/disposer.ts";
import { messageOf } from "../system/errors.ts";
import { collectSecretValues, createRedactor } from "../system/redaction.ts";
import { afterFailureUnder } from "./after-failure.ts";
import { DEPTH_VARIABLE, ENV, teamDepth } from "./config.ts";
import type { Config } from "./config-schema.ts";
import { alertOnDeadLetters } from "./dead-letter-alert.ts";
import { findSdkEntry, readHostArguments } from "./host-process.ts";
import type { NotificationRouter } from "./notification-router.ts";
import { createNotifier } from "./notifier.ts";
import type { Notify } from "./record-dead-letter.ts";
import { RunService } from "./run-service.ts";
import type { Session } from "./session.ts";
import { limitsOf } from "./watch-budget.ts";
import { watchWorkers } from "./watch-workers.ts";

const WARM_IDLE_MS = 60_000;
const IDLE_WORKERS_MAX = 2;

export interface OpenedRuns {
  runs: RunService;
  /** Releases the runs under way and ends what watches them. */
  dispose(): Promise<void>;
}

/** Puts together what runs need: store, engine, supervision, notices. Throws a UserError when no run can be kept. */
export async function openRuns(session: Session, config: Config, correlation: Correlation): Promise<OpenedRuns> {
  const { world, bus, cwd, agentDir } = session;
  const crewRoot = await prepareCrewRoot(world.files, cwd, agentDir);
  const { extensionPaths, noExtensions } = readHostArguments(process.argv, cwd);
  const disposer = new Disposer((error) => world.log.error("a release failed", { error: messageOf(error) }));
  const redactor = createRedactor({ secretValues: collectSecretValues(ENV) });
  const redact = (text: string) => redactor.text(text);
  const { maxParallelAttempts } = config.limits;
  let notifier: NotificationRouter | null = null;
  const notify: Notify = (notification) => {
    notifier?.notify(notification);
  };
  const runs = new RunService({
    world,
    bus,
    store: new RunStore(world, crewRoot),
    engine: createLocalEngine({
      world,
      hostEntry: await findSdkEntry(world.files, process.argv[1]),
      execPath: process.execPath,
      agentDir,
      cwd,
      extensionPaths,
      noExtensions,
      env: { ...definedOnly(ENV), [DEPTH_VARIABLE]: String(teamDepth() + 1) },
      warmIdleMs: WARM_IDLE_MS,
      idleMax: IDLE_WORKERS_MAX,
      processesMax: maxParallelAttempts,
    }),
    slots: new Slots(maxParallelAttempts),
    limits: limitsOf(config.limits),
    sessionId: session.id,
    redact,
    afterFailure: afterFailureUnder(config.reliability, world),
    correlation,
    deadLetters: new DeadLetters(world, crewRoot),
    notify,
  });
  const router = createNotifier(session, config.notifications, runs, redact);
  notifier = router;
  disposer.defer(() => router.dispose());
  disposer.defer(alertOnDeadLetters(bus, config.reliability.deadletterThreshold, notify));
  disposer.defer(() => runs.release("session ended"));
  const watcher = watchWorkers(world, runs, config.observability.pollIntervalMs, notify);
  disposer.defer(() => watcher.dispose());
  registerHeartbeatStaleness(session.registry, () => watcher.readings());
  return { runs, dispose: () => disposer.dispose() };
}

function definedOnly(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined));
}
