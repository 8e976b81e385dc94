import { attemptUnderWay } from "../runs/run-state.ts";
import { attemptFolder } from "../store/layout.ts";
import type { Finding, LiveTask, WatchSettings } from "../supervision/heartbeat-judge.ts";
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
  settings: WatchSettings,
  notify: (notification: Notification) => void,
): HeartbeatWatcher {
  let readers = new Map<string, HeartbeatReader>();

  async function observe(): Promise<LiveTask[]> {
    const kept = readers;
    readers = new Map();
    const found: LiveTask[] = [];
    for (const { run } of runs.active) {
      const { runId } = run.manifest;
      for (const task of run.state.tasks) {
        const { attempt, workerId, pid } = attemptUnderWay(task) ?? { pid: null };
        if (pid === null) continue;
        const { taskId } = task;
        const place = `${runId}/${taskId}/${attempt}`;
        const reader =
          kept.get(place) ?? new HeartbeatReader(world, attemptFolder(runs.store.crewRoot, runId, taskId, attempt));
        readers.set(place, reader);
        const { sign, left, processAlive } = reader.read();
        found.push({ runId, taskId, attempt, workerId, sign, left, processAlive });
      }
    }
    return found;
  }

  async function report(findings: readonly Finding[]): Promise<void> {
    for (const finding of findings) {
      const active = runs.active.find(({ run }) => run.manifest.runId === finding.runId);
      if (active) await tell(active, finding);
    }
  }

  async function tell({ run, loop }: ActiveRun, finding: Finding): Promise<void> {
    const { runId, taskId, attempt, silenceMs: stalenessMs } = finding;
    const seconds = Math.round(stalenessMs / 1000);
    const notice = { severity: "warning" as const, source: "heartbeat", runId };
    switch (finding.kind) {
      case "level": {
        const { level, previousLevel } = finding;
        await run.publisher.publish({
          type: "crew.task.heartbeat_level",
          taskId,
          attempt,
          level,
          previousLevel,
          stalenessMs,
        });
        return;
      }
      case "dead":
        await run.publisher.publish({ type: "crew.task.heartbeat_dead", taskId, attempt, stalenessMs });
        // it is told once, when it is found stuck
        if (finding.alive) return;
        notify({
          ...notice,
          id: `dead_${runId}_${taskId}`,
          message: `Task ${taskId} of run ${runId} has given no sign of life for ${seconds} s.`,
        });
        return;
      case "stuck":
        notify({
          ...notice,
          id: `stuck_${runId}_${taskId}`,
          message: `Task ${taskId} of run ${runId} is silent for ${seconds} s, but its process is there; its time limit will end it.`,
        });
        return;
      case "lost":
        loop.loseAttempt(taskId);
    }
  }

  return new HeartbeatWatcher(
    {
      clock: world.clock,
      observe,
      report,
      onError: (error) => world.log.warn("a look at the heartbeats failed", { error: messageOf(error) }),
    },
    settings,
  );
}
