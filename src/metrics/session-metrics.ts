import type { TokenCounts } from "../events/crew-event.ts";
import { DURATION_BOUNDS_MS, FIRST_TOKEN_BOUNDS_MS, TOOL_BOUNDS_MS } from "./buckets.ts";
import type { MetricRegistry } from "./registry.ts";

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

/** Label value when a worker used tokens and did not say with which model. */
export const UNKNOWN_MODEL = "unknown";

/** Tokens and money of one or more model replies. `costUsd` in US dollars. */
type CountUsage = (model: string | undefined, tokens: TokenCounts, costUsd: number) => void;

/**
 * Registers `crew.<place>.token_count{model,kind}` and `crew.<place>.cost_usd{model}`. Zeros make no series: a shell
 * step has no model, and must not show as one.
 */
export function registerUsage(registry: MetricRegistry, place: "task" | "session"): CountUsage {
  // the host tells nothing of the model's reply to a compaction
  const but = place === "session" ? "; those of compactions are not among them" : "";
  const count = registry.registerCounter(`crew.${place}.token_count`, `Tokens used, by model and kind${but}`, {
    labels: ["model", "kind"],
    unit: "tokens",
  });
  const cost = registry.registerCounter(`crew.${place}.cost_usd`, `Cost of model use, in US dollars${but}`, {
    labels: ["model"],
    unit: "usd",
  });
  return (model = UNKNOWN_MODEL, tokens, costUsd) => {
    if (tokens.input > 0) count.inc({ model, kind: "input" }, tokens.input);
    if (tokens.output > 0) count.inc({ model, kind: "output" }, tokens.output);
    if (tokens.cacheRead > 0) count.inc({ model, kind: "cache_read" }, tokens.cacheRead);
    if (tokens.cacheWrite > 0) count.inc({ model, kind: "cache_write" }, tokens.cacheWrite);
    if (costUsd > 0) cost.inc({ model }, costUsd);
  };
}
