import { attemptUnderWay } from "../runs/run-state.ts";
import { attemptFolder } from "../store/layout.ts";
import type { Finding, LiveTask } from "../supervision/heartbeat-judge.ts";
import { HeartbeatWatcher } from "../supervision/heartbeat-watcher.ts";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import { HeartbeatReader } from "../workers/attempt-facts.ts";
import type { Notification } from "./notification-router.ts";
import type { RunService } from "./run-service.ts";
import type { ActiveRun } from "./shown-run.ts";

/** Watches the workers of the runs this process drives, and ends the attempts of those that are lost. */
export function watchWorkers(
  world: World,
  runs: RunService,
  pollIntervalMs: number,
  notify: (notification: Notification) => void,
): HeartbeatWatcher {
  const observe = observing(world, runs);

  async function report(findings: readonly Finding[]): Promise<void> {
    for (const finding of findings) {
      const active = runs.active.find(({ run }) => run.manifest.runId === finding.runId);
      if (active) await tell(active, finding);
    }
  }

  async function tell({ run, loop }: ActiveRun, finding: Finding): Promise<void> {
    const { runId, taskId, attempt, silenceMs: stalenessMs } = finding;
    switch (finding.kind) {
      case "level": {
        const { level, previousLevel, alive } = finding;
        const told = { level, previousLevel, stalenessMs, ...(level === "dead" ? { processAlive: alive } : {}) };
        await run.publisher.publish({ type: "crew.task.heartbeat_level", taskId, attempt, ...told });
        return;
      }
      case "dead": {
        await run.publisher.publish({ type: "crew.task.heartbeat_dead", taskId, attempt, stalenessMs });
        const seconds = Math.round(stalenessMs / 1000);
        const words = finding.alive
          ? `is silent for ${seconds} s, but its process is there; its time limit will end it`
          : `has given no sign of life for ${seconds} s`;
        const message = `Task ${taskId} of run ${runId} ${words}.`;
        notify({ id: `dead_${runId}_${taskId}`, severity: "warning", source: "heartbeat", runId, message });
        return;
      }
      case "lost":
        loop.loseAttempt(taskId);
    }
  }

  return new HeartbeatWatcher(
    {
      clock: world.clock,
      observe: async () => observe(),
      report,
      onError: (error) => world.log.warn("a look at the heartbeats failed", { error: messageOf(error) }),
    },
    pollIntervalMs,
  );
}

/** Gives what there is to be seen of each attempt under way; nobody is judged by what can't be looked at. */
function observing({ files, processes, log }: World, runs: RunService): () => LiveTask[] {
  let readers = new Map<string, HeartbeatReader>();
  return () => {
    const seen: typeof readers = new Map();
    const found: LiveTask[] = [];
    for (const { run } of runs.active) {
      const { runId, config } = run.manifest;
      const thresholds = config.reliability.heartbeat;
      for (const task of run.state.tasks) {
        const { attempt, workerId, pid } = attemptUnderWay(task) ?? { pid: null };
        if (pid === null) continue;
        const { taskId } = task;
        const place = `${runId}/${taskId}/${attempt}`;
        const folder = () => attemptFolder(runs.store.crewRoot, runId, taskId, attempt);
        const reader = readers.get(place) ?? new HeartbeatReader({ files, processes }, folder());
        seen.set(place, reader);
        try {
          found.push({ runId, taskId, attempt, workerId, thresholds, ...reader.read() });
        } catch (error) {
          log.warn("a worker's heartbeat can't be looked at", { place, error: messageOf(error) });
        }
      }
    }
    readers = seen;
    return found;
  };
}
