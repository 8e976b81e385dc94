import { ATTEMPT_BOUNDS, DURATION_BOUNDS_MS } from "./buckets.ts";
import type { MetricRegistry } from "./registry.ts";
import { registerUsage } from "./usage-metrics.ts";

export type CrewInstruments = ReturnType<typeof registerCrewInstruments>;

/** Every metric about teams; crew-metrics.ts says which event moves which. */
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
