import { createMetricRegistry } from "../metrics/registry.ts";
import type { MetricsSnapshot } from "../metrics/snapshot.ts";
import type { RunAnswers } from "./run-answers.ts";

const DAY_MS = 86_400_000;
const RUNS_COUNTED = new URLSearchParams({ limit: "500" });

/**
 * What can be said without a session: gauges of what is kept, none of whose names a session has. No counters: runs and
 * records are removed one day, and a count that falls is none.
 */
export function historyMetrics(answers: () => Promise<RunAnswers>): () => Promise<MetricsSnapshot> {
  const registry = createMetricRegistry();
  const tasks = registry.registerGauge("crew.history.tasks", "Tasks that ended in the last 24 hours", {
    labels: ["status"],
  });
  const duration = registry.registerGauge(
    "crew.history.task_duration_ms",
    "Of these tasks, median and 95th percentile",
    {
      // the name `quantile` belongs to summaries
      labels: ["percentile"],
      unit: "ms",
    },
  );
  const tokens = registry.registerGauge("crew.history.task_tokens", "Of these tasks", {
    labels: ["model"],
    unit: "tokens",
  });
  const cost = registry.registerGauge("crew.history.task_cost_usd", "Of these tasks", {
    labels: ["model"],
    unit: "usd",
  });
  const records = registry.registerGauge("crew.history.task_records", "Tasks of which a record is kept");
  const runs = registry.registerGauge("crew.history.runs", "Runs that are kept, the newest 500 at most", {
    labels: ["status"],
  });
  return async () => {
    const kept = await answers();
    const { success_rate, execution_time } = await kept.tasks.aggregate({ windowMs: DAY_MS });
    const models = await kept.tasks.scoreboard({ windowMs: DAY_MS, by: ["model"] });
    const [health, list] = [await kept.tasks.health(), await kept.list(RUNS_COUNTED)];
    // from here on at once: two may ask at a time
    for (const gauge of [duration, tokens, cost, runs]) gauge.remove();
    tasks.set({ status: "completed" }, success_rate.completed);
    tasks.set({ status: "failed" }, success_rate.failed);
    // of no task there is no duration
    if (success_rate.total > 0) {
      duration.set({ percentile: "50" }, execution_time.p50_seconds * 1000);
      duration.set({ percentile: "95" }, execution_time.p95_seconds * 1000);
    }
    for (const { name, tokens: used, cost_usd } of models) {
      tokens.set({ model: name }, used);
      cost.set({ model: name }, cost_usd);
    }
    records.set({}, health.records);
    for (const { status } of list.runs) runs.add({ status }, 1);
    return registry.snapshot();
  };
}
