import { join } from "node:path";
import { messageOf } from "../system/errors.ts";
import type { Files } from "../system/world.ts";
import { DEFAULT_CONFIG, ENV } from "./config.ts";
import { applyConfigFile, type ConfigFile, type ConfigProblem } from "./config-file.ts";
import type { Config } from "./config-schema.ts";
import { ENVIRONMENT, environmentContent } from "./settings.ts";

const FILE_BYTES_MAX = 1024 * 1024;

export interface LoadedConfig {
  config: Config;
  problems: readonly ConfigProblem[];
}

/**
 * Package defaults < `crew.json` of the agent folder < `.crew/config.json` of the project < the environment. A bad or unknown value is
 * reported and the one below it stands. Never throws for what a file holds.
 */
export async function loadConfig(
  files: Files,
  agentDir: string,
  projectFolder: string,
  env = ENV,
): Promise<LoadedConfig> {
  const problems: ConfigProblem[] = [];
  let config = DEFAULT_CONFIG;
  const sources: ConfigFile[] = [
    { path: join(agentDir, "crew.json"), origin: "user" },
    { path: join(projectFolder, ".crew", "config.json"), origin: "project" },
  ];
  for (const file of sources) {
    const value = await readJson(files, file.path, problems);
    if (value !== null) config = applyConfigFile(config, value, file, problems);
  }
  config = applyConfigFile(config, environmentContent(env), ENVIRONMENT, problems);
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
