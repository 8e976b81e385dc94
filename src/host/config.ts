import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { HEARTBEAT_THRESHOLDS } from "../supervision/heartbeat.ts";
import type { Config } from "./config-schema.ts";

/** The one place that reads the environment. */
// biome-ignore lint/style/noProcessEnv: here it is read, and nowhere else
export const ENV: NodeJS.ProcessEnv = process.env;

/** What the names of our own variables begin with. */
export const VARIABLES = "PI_FOREMAN_";

/** Set in workers: how many teams deep this process is. */
export const DEPTH_VARIABLE = `${VARIABLES}DEPTH`;

export const DEFAULT_CONFIG: Config = {
  observability: { enabled: true, pollIntervalMs: 5000, metricRetentionDays: 7, buckets: {} },
  telemetry: { enabled: true, textfile: "" },
  otlp: { enabled: false, endpoint: "", headers: {}, intervalMs: 60_000 },
  http: { port: 9091, host: "localhost" },
  limits: { maxParallelAttempts: 4, attemptTimeoutSec: 1800, maxCostUsd: 0, maxTokens: 0, maxDurationMs: 0 },
  reliability: {
    autoRetry: false,
    retryPolicy: {
      maxAttempts: 3,
      backoffMs: 1000,
      jitterRatio: 0.3,
      exponentialFactor: 2,
      maxDelayMs: 300_000,
      retryableErrors: [],
    },
    heartbeat: HEARTBEAT_THRESHOLDS,
    onQuit: "finish",
    autoRecover: false,
    deadletterThreshold: 3,
  },
  notifications: {
    minSeverity: "info",
    dedupMs: 30_000,
    quietHours: "",
    burstMax: 5,
    file: true,
    command: [],
    webhookUrl: "",
  },
  engine: "local",
};

/** The host's agent folder: `PI_CODING_AGENT_DIR`, else `~/.pi/agent`, as the host itself resolves it. */
export function agentFolder(env: NodeJS.ProcessEnv = ENV): string {
  const set = env["PI_CODING_AGENT_DIR"];
  if (!set) return join(homedir(), ".pi", "agent");
  return set === "~" || set.startsWith("~/") ? join(homedir(), set.slice(1)) : resolve(set);
}

/** How many teams deep this process is; 0 in a user's own Pi. */
export function teamDepth(env: NodeJS.ProcessEnv = ENV): number {
  const depth = Number(env[DEPTH_VARIABLE] ?? 0);
  return Number.isInteger(depth) && depth > 0 ? depth : 0;
}

/** As a child process is given it. */
export function definedEnvironment(env: Readonly<Record<string, string | null | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}
