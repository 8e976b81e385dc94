import { expect, test } from "vitest";
import { subscribeCrewMetrics } from "../../src/metrics/crew-metrics.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import { registerSessionMetrics } from "../../src/metrics/session-metrics.ts";

test("each fact of a session moves its metrics", () => {
  const registry = createMetricRegistry();
  const session = registerSessionMetrics(registry);
  session.turnEnded({ durationMs: 12_000 });
  session.firstToken({ model: "m", delayMs: 800 });
  session.toolEnded({ tool: "bash", status: "error", durationMs: 30 });
  session.usage({ model: "m", tokens: { input: 10, output: 5, cacheRead: 0, cacheWrite: 7 }, costUsd: 0.01 });
  session.usage({ model: "free", tokens: { input: 1, output: 0, cacheRead: 0, cacheWrite: 0 }, costUsd: 0 });
  session.providerError({ status: 429 });
  session.providerError({ status: "network" });
  const read = Object.fromEntries(
    registry
      .snapshot()
      .map(({ name, series }) => [
        name,
        series.map((one) => [...Object.values(one.labels), "value" in one ? one.value : one.sum]),
      ]),
  );
  expect(read).toEqual({
    "crew.session.turn_duration_ms": [[12_000]],
    "crew.session.first_token_ms": [["m", 800]],
    "crew.session.tool_count": [["bash", "error", 1]],
    "crew.session.tool_duration_ms": [["bash", 30]],
    "crew.session.token_count": [
      ["m", "input", 10],
      ["m", "output", 5],
      ["m", "cache_write", 7],
      ["free", "input", 1],
    ],
    "crew.session.cost_usd": [["m", 0.01]],
    "crew.session.provider_error_total": [
      ["429", 1],
      ["network", 1],
    ],
  });
});

test("team and session metrics live in one registry under the names of the spec", () => {
  const registry = createMetricRegistry();
  subscribeCrewMetrics({ on: () => () => undefined }, registry);
  registerSessionMetrics(registry);
  expect(
    registry
      .snapshot()
      .map(({ name, labelNames }) => `${name}{${labelNames.join(",")}}`)
      .sort(),
  ).toEqual([
    "crew.heartbeat.dead_total{}",
    "crew.heartbeat.level_total{level}",
    "crew.mailbox.count{direction}",
    "crew.notification.count{severity}",
    "crew.recovery.count{outcome}",
    "crew.run.count{status,team}",
    "crew.run.duration_ms{team}",
    "crew.session.cost_usd{model}",
    "crew.session.first_token_ms{model}",
    "crew.session.provider_error_total{status}",
    "crew.session.token_count{model,kind}",
    "crew.session.tool_count{tool,status}",
    "crew.session.tool_duration_ms{tool}",
    "crew.session.turn_duration_ms{}",
    "crew.subagent.count{status}",
    "crew.task.cost_usd{model}",
    "crew.task.count{status,team,role}",
    "crew.task.deadletter_total{reason}",
    "crew.task.duration_ms{team,role}",
    "crew.task.retry_attempt_total{}",
    "crew.task.retry_count{team}",
    "crew.task.retry_delay_ms{}",
    "crew.task.token_count{model,kind}",
    "crew.task.tokens_total{model}",
  ]);
});
