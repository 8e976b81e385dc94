import type { TokenCounts } from "../events/crew-event.ts";
import type { MetricRegistry } from "./registry.ts";

/** Label value when a worker used tokens and did not say with which model. */
export const UNKNOWN_MODEL = "unknown";

/** Tokens and money of one or more model replies. `costUsd` in US dollars. */
export type CountUsage = (model: string | undefined, tokens: TokenCounts, costUsd: number) => void;

/**
 * Registers `crew.<place>.token_count{model,kind}` and `crew.<place>.cost_usd{model}`. Zeros make no series: a shell
 * step has no model, and must not show as one.
 */
export function registerUsage(registry: MetricRegistry, place: "task" | "session"): CountUsage {
  const count = registry.registerCounter(`crew.${place}.token_count`, "Tokens used, by model and kind", {
    labels: ["model", "kind"],
    unit: "tokens",
  });
  const cost = registry.registerCounter(`crew.${place}.cost_usd`, "Cost of model use, in US dollars", {
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
