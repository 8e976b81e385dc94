import { DECLINED_REASON, type EventOf } from "../events/crew-event.ts";
import { ATTEMPT_BOUNDS, DURATION_BOUNDS_MS } from "./buckets.ts";
import { type EventSource, type MetricTable, subscribeMetricTable } from "./metric-table.ts";
import type { MetricRegistry } from "./registry.ts";
import { registerUsage, UNKNOWN_MODEL } from "./session-metrics.ts";

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
 * `crew.recovery.count`, whose two outcomes are two events.
 */
export function crewMetricTable(metrics: CrewInstruments): MetricTable {
  const runEnded = (event: RunEnded) => countRun(metrics, event);
  const taskEnded = (event: TaskEnded) => countTask(metrics, event);
  return {
    "crew.run.created": null,
    "crew.run.claimed": null,
    "crew.run.released": null,
    "crew.run.started": null,
    "crew.run.completed": runEnded,
    "crew.run.failed": runEnded,
    "crew.run.cancelled": runEnded,
    "crew.run.interrupted": null,
    "crew.run.resumed": () => metrics.recoveries.inc({ outcome: "resumed" }),
    "crew.run.budget_exceeded": null,
    "crew.run.cancel_asked": null,
    "crew.task.ready": null,
    "crew.task.started": null,
    "crew.task.attempt_started": null,
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
    "crew.task.heartbeat_level": ({ level, previousLevel }) => {
      // told again at the same level is no change to it
      if (level !== previousLevel) metrics.heartbeatLevels.inc({ level });
    },
    "crew.task.heartbeat_dead": () => metrics.deadHeartbeats.inc(),
    "crew.task.deadletter": (event) => metrics.deadLetters.inc({ reason: event.reason }),
    "crew.task.redriven": null,
    "crew.task.cancel_asked": null,
    "crew.task.checkpoint": null,
    "crew.subagent.spawned": null,
    "crew.subagent.adopted": null,
    "crew.subagent.completed": (event) => metrics.workers.inc({ status: event.status }),
    "crew.mailbox.message": (event) => metrics.mail.inc({ direction: event.direction }),
    "crew.notification.sent": (event) => metrics.notices.inc({ severity: event.severity }),
  };
}

/** Cancelled runs and tasks have no duration here: it says when someone gave up, not how long work takes. */
function countRun(metrics: CrewInstruments, event: RunEnded): void {
  if (event.status !== "cancelled") metrics.runDuration.observe({ team: event.team }, event.durationMs);
  else if (event.reason === DECLINED_REASON) metrics.recoveries.inc({ outcome: "declined" });
  metrics.runs.inc({ status: event.status, team: event.team });
}

function countTask(metrics: CrewInstruments, event: TaskEnded): void {
  const { status, team, role } = event;
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

/** What is under way as the session shows it. */
export interface LiveWork {
  /** How long each live worker has been silent. */
  silences(): Iterable<HeartbeatAge>;
  /** A run may be among them twice. */
  runs(): Iterable<{
    run: { state: { runId: string; endedAt: number | null; tasks: readonly { status: string }[] } };
  }>;
}

/**
 * The gauges that no event moves: they are computed when read, so that they are right whatever was missed. Run ids are
 * labels only here, where series come and go.
 */
export function registerLiveWork(registry: MetricRegistry, work: LiveWork): void {
  const live = () =>
    new Map(
      [...work.runs()].map(({ run: { state } }) => [state.runId, state] as const).filter(([, it]) => !it.endedAt),
    );
  registry.registerGauge("crew.run.active", "Runs under way that this session drives or follows", {
    collect: (set) => set(undefined, live().size),
  });
  registry.registerGauge("crew.task.active", "Tasks of these runs that have started and not ended", {
    collect: (set) => {
      const tasks = [...live().values()].flatMap((run) => run.tasks);
      set(undefined, tasks.filter(({ status }) => status === "running").length);
    },
  });
  registry.registerGauge("crew.heartbeat.staleness_ms", "Time since a live task's last sign of life", {
    labels: ["run_id", "task_id"],
    unit: "ms",
    collect: (set) => {
      for (const { runId, taskId, stalenessMs } of work.silences())
        set({ run_id: runId, task_id: taskId }, stalenessMs);
    },
  });
}

type CrewInstruments = ReturnType<typeof registerCrewInstruments>;

/** Every metric about teams that events move. */
export function registerCrewInstruments(registry: MetricRegistry) {
  return { ...registerRunInstruments(registry), ...registerTaskInstruments(registry), ...registerSigns(registry) };
}

function registerRunInstruments(registry: MetricRegistry) {
  return {
    runs: registry.registerCounter("crew.run.count", "Runs ended, by status", { labels: ["status", "team"] }),
    runDuration: registry.registerHistogram("crew.run.duration_ms", "How long completed and failed runs took", {
      labels: ["team"],
      unit: "ms",
      buckets: DURATION_BOUNDS_MS,
    }),
    recoveries: registry.registerCounter("crew.recovery.count", "Interrupted runs, by what became of them", {
      labels: ["outcome"],
    }),
  };
}

function registerTaskInstruments(registry: MetricRegistry) {
  return {
    tasks: registry.registerCounter("crew.task.count", "Tasks ended, by status", {
      labels: ["status", "team", "role"],
    }),
    taskDuration: registry.registerHistogram("crew.task.duration_ms", "How long completed and failed tasks took", {
      labels: ["team", "role"],
      unit: "ms",
      buckets: DURATION_BOUNDS_MS,
    }),
    attempts: registry.registerHistogram("crew.task.retry_count", "Attempts of each ended task", {
      labels: ["team"],
      buckets: ATTEMPT_BOUNDS,
    }),
    retries: registry.registerCounter("crew.task.retry_attempt_total", "Attempts after the first"),
    retryDelay: registry.registerHistogram("crew.task.retry_delay_ms", "Waits before an attempt after the first", {
      unit: "ms",
      buckets: DURATION_BOUNDS_MS,
    }),
    deadLetters: registry.registerCounter("crew.task.deadletter_total", "Tasks given up on, by reason", {
      labels: ["reason"],
    }),
    tokens: registry.registerCounter("crew.task.tokens_total", "Tokens used by attempts, all kinds together", {
      labels: ["model"],
      unit: "tokens",
    }),
    usage: registerUsage(registry, "task"),
  };
}

function registerSigns(registry: MetricRegistry) {
  return {
    workers: registry.registerCounter("crew.subagent.count", "Workers ended, by outcome", { labels: ["status"] }),
    mail: registry.registerCounter("crew.mailbox.count", "Messages to and from workers", { labels: ["direction"] }),
    heartbeatLevels: registry.registerCounter("crew.heartbeat.level_total", "Changes to a heartbeat level", {
      labels: ["level"],
    }),
    deadHeartbeats: registry.registerCounter("crew.heartbeat.dead_total", "Workers whose heartbeat was declared dead"),
    notices: registry.registerCounter("crew.notification.count", "Notifications sent, by severity", {
      labels: ["severity"],
    }),
  };
}
