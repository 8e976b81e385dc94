import { DECLINED_REASON, type EventOf } from "../events/crew-event.ts";
import { ActiveWork } from "./active-work.ts";
import { type CrewInstruments, registerCrewInstruments } from "./crew-instruments.ts";
import type { Gauge } from "./gauge.ts";
import { type EventSource, type MetricTable, subscribeMetricTable } from "./metric-table.ts";
import type { MetricRegistry } from "./registry.ts";
import { UNKNOWN_MODEL } from "./usage-metrics.ts";

type RunEnded = EventOf<"crew.run.completed" | "crew.run.failed" | "crew.run.cancelled">;
type TaskEnded = EventOf<"crew.task.completed" | "crew.task.failed" | "crew.task.cancelled" | "crew.task.skipped">;

/**
 * Registers every metric about teams and lets the bus move them, until the returned function is called. An event with
 * fields that can't be counted is told as the registry's warning.
 */
export function subscribeCrewMetrics(bus: EventSource, registry: MetricRegistry): () => void {
  return subscribeMetricTable(bus, crewMetricTable(registerCrewInstruments(registry)), registry.warn);
}

/**
 * What each event moves. A metric is moved by one event only (an end counts as one, whatever its status), except for
 * `crew.run.active` and `crew.task.active`, which follow a run through claim, release and end, and
 * `crew.recovery.count`, whose two outcomes are two events.
 */
export function crewMetricTable(metrics: CrewInstruments): MetricTable {
  const work = new ActiveWork((runs, tasks) => {
    metrics.activeRuns.set(undefined, runs);
    metrics.activeTasks.set(undefined, tasks);
  });
  const runEnded = (event: RunEnded) => countRun(metrics, work, event);
  const taskEnded = (event: TaskEnded) => countTask(metrics, work, event);
  const taskActive = (event: { runId: string; taskId?: string }) => work.startTask(event.runId, event.taskId);
  return {
    "crew.run.created": null,
    "crew.run.claimed": (event) => work.startRun(event.runId),
    "crew.run.released": (event) => work.endRun(event.runId),
    "crew.run.started": (event) => work.startRun(event.runId),
    "crew.run.completed": runEnded,
    "crew.run.failed": runEnded,
    "crew.run.cancelled": runEnded,
    "crew.run.interrupted": (event) => work.endRun(event.runId),
    "crew.run.resumed": (event) => {
      for (const taskId of event.adoptedTasks) work.startTask(event.runId, taskId);
      work.startRun(event.runId);
      metrics.recoveries.inc({ outcome: "resumed" });
    },
    "crew.run.budget_exceeded": null,
    "crew.task.ready": null,
    "crew.task.started": taskActive,
    "crew.task.attempt_started": taskActive,
    "crew.task.attempt_finished": (event) => countUsage(metrics, event),
    "crew.task.retry_attempt": (event) => {
      metrics.retryDelay.observe(undefined, event.delayMs);
      metrics.retries.inc();
    },
    "crew.task.completed": taskEnded,
    "crew.task.failed": taskEnded,
    "crew.task.cancelled": taskEnded,
    "crew.task.skipped": taskEnded,
    "crew.task.progress": null,
    "crew.task.heartbeat_level": (event) => metrics.heartbeatLevels.inc({ level: event.level }),
    "crew.task.heartbeat_dead": () => metrics.deadHeartbeats.inc(),
    "crew.task.deadletter": (event) => metrics.deadLetters.inc({ reason: event.reason }),
    "crew.task.redriven": null,
    "crew.task.checkpoint": null,
    "crew.subagent.spawned": null,
    "crew.subagent.adopted": taskActive,
    "crew.subagent.completed": (event) => metrics.workers.inc({ status: event.status }),
    "crew.mailbox.message": (event) => metrics.mail.inc({ direction: event.direction }),
    "crew.notification.sent": (event) => metrics.notices.inc({ severity: event.severity }),
  };
}

/** Cancelled runs and tasks have no duration here: it says when someone gave up, not how long work takes. */
function countRun(metrics: CrewInstruments, work: ActiveWork, event: RunEnded): void {
  work.endRun(event.runId);
  if (event.status !== "cancelled") metrics.runDuration.observe({ team: event.team }, event.durationMs);
  else if (event.reason === DECLINED_REASON) metrics.recoveries.inc({ outcome: "declined" });
  metrics.runs.inc({ status: event.status, team: event.team });
}

function countTask(metrics: CrewInstruments, work: ActiveWork, event: TaskEnded): void {
  const { status, team, role } = event;
  work.endTask(event.runId, event.taskId);
  if (status === "completed" || status === "failed") metrics.taskDuration.observe({ team, role }, event.durationMs);
  if (event.attempts > 0) metrics.attempts.observe({ team }, event.attempts);
  metrics.tasks.inc({ status, team, role });
}

function countUsage(metrics: CrewInstruments, event: EventOf<"crew.task.attempt_finished">): void {
  const { tokens, model = UNKNOWN_MODEL, costUsd } = event;
  for (const use of event.usage ?? [{ model, tokens, costUsd }]) {
    const { input, output, cacheRead, cacheWrite } = use.tokens;
    const total = input + output + cacheRead + cacheWrite;
    if (total > 0) metrics.tokens.inc({ model: use.model }, total);
    metrics.usage(use.model, use.tokens, use.costUsd);
  }
}

export interface HeartbeatAge {
  runId: string;
  taskId: string;
  stalenessMs: number;
}

/**
 * `crew.heartbeat.staleness_ms{run_id,task_id}`: no event moves it, it is computed when read. `read` gives the live
 * tasks; what it leaves out is gone from the metric. Run ids are labels only here, where series come and go.
 */
export function registerHeartbeatStaleness(
  registry: MetricRegistry,
  read: () => Iterable<HeartbeatAge>,
): Gauge<"run_id" | "task_id"> {
  return registry.registerGauge("crew.heartbeat.staleness_ms", "Time since a live task's last sign of life", {
    labels: ["run_id", "task_id"],
    unit: "ms",
    collect: (set) => {
      for (const { runId, taskId, stalenessMs } of read()) set({ run_id: runId, task_id: taskId }, stalenessMs);
    },
  });
}
