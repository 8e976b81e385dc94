import { createLocalEngine } from "../engines/local.ts";
import { Worktrees } from "../engines/worktrees.ts";
import type { HeartbeatAge } from "../metrics/crew-metrics.ts";
import { Slots } from "../runs/slots.ts";
import { DeadLetters } from "../store/dead-letters.ts";
import { prepareCrewRoot } from "../store/layout.ts";
import { RunStore } from "../store/run-store.ts";
import { Disposer } from "../system/disposer.ts";
import { messageOf } from "../system/errors.ts";
import { ELSEWHERE } from "../workers/git.ts";
import { afterFailureUnder } from "./after-failure.ts";
import { requireAgreed } from "./agreed-commands.ts";
import { DEPTH_VARIABLE, definedEnvironment, ENV, teamDepth } from "./config.ts";
import type { Config } from "./config-schema.ts";
import { deadLetterAlert } from "./dead-letter-alert.ts";
import { noteLetGo } from "./let-go.ts";
import type { NotificationRouter } from "./notification-router.ts";
import { createNotifier } from "./notifier.ts";
import type { Notify } from "./record-dead-letter.ts";
import { openTaskRecords } from "./record-tasks.ts";
import { RunService } from "./run-service.ts";
import { tidyWorktrees } from "./run-worktrees.ts";
import type { RunsHome } from "./runs-home.ts";
import { watchWorkers } from "./watch-workers.ts";

const WARM_IDLE_MS = 60_000;
const IDLE_WORKERS_MAX = 2;

export interface OpenedRuns {
  runs: RunService;
  /** How long each live worker has been silent. */
  silences(): Iterable<HeartbeatAge>;
  /** Releases the runs under way and ends what watches them. */
  dispose(): Promise<void>;
}

/**
 * Puts together what runs need: store, engine, supervision, notices. `config` is of who drives them; what governs a run
 * is in its manifest. Throws a UserError when no run can be kept.
 */
export async function openRuns(home: RunsHome, config: Config): Promise<OpenedRuns> {
  const { world, bus, cwd, agentDir, correlation } = home;
  const crewRoot = await prepareCrewRoot(world.files, cwd, agentDir);
  const { sdkEntry, ...host } = await home.hostFacts();
  const disposer = new Disposer((error) => world.log.error("a release failed", { error: messageOf(error) }));
  const redactor = await home.redactor();
  const redact = (text: string) => redactor.text(text);
  const { maxParallelAttempts } = config.limits;
  let notifier: NotificationRouter | null = null;
  const notify: Notify = (notification) => {
    notifier?.notify(notification);
  };
  const records = await openTaskRecords(world, crewRoot, redact);
  disposer.defer(() => records.dispose());
  const deadLetters = new DeadLetters(world, crewRoot);
  const runs = new RunService({
    world,
    bus,
    store: new RunStore(world, crewRoot),
    engine: new Worktrees(world, crewRoot).around(
      createLocalEngine({
        world,
        ...host,
        hostEntry: sdkEntry,
        agentDir,
        cwd,
        // an agent's git works on the repository of its folder, whatever Pi was started with
        env: { ...definedEnvironment({ ...ENV, ...ELSEWHERE }), [DEPTH_VARIABLE]: String(teamDepth() + 1) },
        warmIdleMs: WARM_IDLE_MS,
        idleMax: IDLE_WORKERS_MAX,
        processesMax: maxParallelAttempts,
      }),
    ),
    slots: new Slots(maxParallelAttempts),
    sessionId: home.id,
    redact,
    afterFailure: (reliability) => afterFailureUnder(reliability, world, () => home.canAsk),
    correlation,
    deadLetters,
    deadLetterAlert: deadLetterAlert(deadLetters, config.reliability.deadletterThreshold, notify),
    notify,
    permit: (manifest) => requireAgreed(home, manifest),
    taken: async ({ manifest }) => void (await records.recorder.catchUp(manifest)),
  });
  records.listen(bus, runs);
  disposer.defer(tidyWorktrees({ world, crewRoot, notify }, bus, runs));
  const router = createNotifier(home, config.notifications, runs, redact);
  notifier = router;
  disposer.defer(() => router.dispose());
  disposer.defer(async () => noteLetGo(await runs.release("session ended"), cwd));
  const watcher = watchWorkers(world, runs, config.observability.pollIntervalMs, notify);
  disposer.defer(() => watcher.dispose());
  return { runs, silences: () => watcher.readings(), dispose: () => disposer.dispose() };
}
