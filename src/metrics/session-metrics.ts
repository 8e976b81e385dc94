import type { TokenCounts } from "../events/crew-event.ts";
import { DURATION_BOUNDS_MS, FIRST_TOKEN_BOUNDS_MS, TOOL_BOUNDS_MS } from "./buckets.ts";
import type { MetricRegistry } from "./registry.ts";
import { registerUsage } from "./usage-metrics.ts";

/**
 * What the session itself does, teams or no teams, as the host tells it: one call per fact, durations in
 * milliseconds. A number that is not finite throws: the host checks what Pi gives it.
 */
export interface SessionMetrics {
  turnEnded(fact: { durationMs: number }): void;
  /** `delayMs`: from the request to the first token of the reply. */
  firstToken(fact: { model: string; delayMs: number }): void;
  /** `durationMs` is null when the start was not seen. */
  toolEnded(fact: { tool: string; status: "ok" | "error"; durationMs: number | null }): void;
  /** Once per reply of a model, with that reply's own counts. `costUsd` in US dollars. */
  usage(fact: { model: string; tokens: TokenCounts; costUsd: number }): void;
  /** HTTP status of a failed model request; `network` when the connection failed, `other` for what names neither. */
  providerError(fact: { status: number | "network" | "other" }): void;
}

/** Registers the `crew.session.*` metrics. */
export function registerSessionMetrics(registry: MetricRegistry): SessionMetrics {
  const turns = registry.registerHistogram("crew.session.turn_duration_ms", "How long turns of the session took", {
    unit: "ms",
    buckets: DURATION_BOUNDS_MS,
  });
  const firstTokens = registry.registerHistogram("crew.session.first_token_ms", "Wait for a reply's first token", {
    labels: ["model"],
    unit: "ms",
    buckets: FIRST_TOKEN_BOUNDS_MS,
  });
  const tools = registry.registerCounter("crew.session.tool_count", "Tool calls ended, by tool and status", {
    labels: ["tool", "status"],
  });
  const toolDurations = registry.registerHistogram("crew.session.tool_duration_ms", "How long tool calls took", {
    labels: ["tool"],
    unit: "ms",
    buckets: TOOL_BOUNDS_MS,
  });
  const countUsage = registerUsage(registry, "session");
  const errors = registry.registerCounter("crew.session.provider_error_total", "Failed model requests, by status", {
    labels: ["status"],
  });
  return {
    turnEnded: ({ durationMs }) => turns.observe(undefined, durationMs),
    firstToken: ({ model, delayMs }) => firstTokens.observe({ model }, delayMs),
    toolEnded: ({ tool, status, durationMs }) => {
      tools.inc({ tool, status });
      if (durationMs !== null) toolDurations.observe({ tool }, durationMs);
    },
    usage: ({ model, tokens, costUsd }) => countUsage(model, tokens, costUsd),
    providerError: ({ status }) => errors.inc({ status }),
  };
}
