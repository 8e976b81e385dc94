import type { RunConfig } from "../runs/run-config.ts";
import type { Config } from "./config-schema.ts";

/** What of a configuration a run made under it takes along. In the configuration 0 means no limit. */
export function runConfigOf({ limits, reliability }: Pick<Config, "limits" | "reliability">): RunConfig {
  const { autoRetry, retryPolicy, heartbeat } = reliability;
  const orNull = (value: number) => (value > 0 ? value : null);
  return {
    limits: {
      attemptTimeoutSec: limits.attemptTimeoutSec,
      maxCostUsd: orNull(limits.maxCostUsd),
      maxTokens: orNull(limits.maxTokens),
      maxDurationMs: orNull(limits.maxDurationMs),
    },
    reliability: { autoRetry, retryPolicy, heartbeat },
  };
}
