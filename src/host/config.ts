import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { messageOf } from "../system/errors.ts";
import type { Files } from "../system/world.ts";
import type { ConfigFile } from "./config-file.ts";
import type { Config } from "./config-schema.ts";

/** The one place that reads the environment. */
// biome-ignore lint/style/noProcessEnv: here it is read, and nowhere else
export const ENV: NodeJS.ProcessEnv = process.env;

/** Set in workers: how many teams deep this process is. */
export const DEPTH_VARIABLE = "PI_FOREMAN_DEPTH";

export const DEFAULT_CONFIG: Config = {
  observability: { enabled: true, pollIntervalMs: 5000 },
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
};

/** Of one configuration file. */
const FILE_BYTES_MAX = 1024 * 1024;

/** A value that was not used; the default was. */
export interface ConfigProblem {
  file: string;
  /** `limits.maxParallelAttempts`, or empty for the whole file. */
  path: string;
  /** A sentence with the value and the remedy. */
  message: string;
}

export interface LoadedConfig {
  config: Config;
  problems: readonly ConfigProblem[];
}

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

/**
 * Package defaults < `crew.json` of the agent folder < `.crew/config.json` of the project. A bad or unknown value is
 * reported and the one below it stands. Never throws for what a file holds.
 */
export async function loadConfig(files: Files, agentDir: string, projectFolder: string): Promise<LoadedConfig> {
  const problems: ConfigProblem[] = [];
  let config = DEFAULT_CONFIG;
  const sources: ConfigFile[] = [
    { path: join(agentDir, "crew.json"), origin: "user" },
    { path: join(projectFolder, ".crew", "config.json"), origin: "project" },
  ];
  for (const file of sources) {
    const value = await readJson(files, file.path, problems);
    if (value === null) continue;
    // the schema's machinery is loaded only when there is something to judge
    const { applyConfigFile } = await import("./config-file.ts");
    config = applyConfigFile(config, value, file, problems);
  }
  return { config: Object.freeze(config), problems };
}

async function readJson(files: Files, file: string, problems: ConfigProblem[]): Promise<unknown> {
  try {
    const text = await files.readText(file, FILE_BYTES_MAX);
    return text === null ? null : JSON.parse(text);
  } catch (error) {
    problems.push({ file, path: "", message: `${file} can't be read (${messageOf(error)}); the defaults are used.` });
    return null;
  }
}
