import { join } from "node:path";
import { messageOf } from "../system/errors.ts";
import type { Files } from "../system/world.ts";
import { DEFAULT_CONFIG, ENV, VARIABLES } from "./config.ts";
import type { ConfigFile, ConfigProblem } from "./config-file.ts";
import type { Config } from "./config-schema.ts";
import { inTurn } from "./in-turn.ts";

const FILE_BYTES_MAX = 1024 * 1024;

export interface LoadedConfig {
  config: Config;
  problems: readonly ConfigProblem[];
}

/**
 * Package defaults < `crew.json` of the agent folder < `.crew/config.json` of the project < the environment. A bad or
 * unknown value is reported and the one below it stands, but for a bad address, which stays to be refused. Never throws
 * for what a file holds.
 */
export async function loadConfig(
  files: Files,
  agentDir: string,
  projectFolder: string,
  env = ENV,
): Promise<LoadedConfig> {
  const problems: ConfigProblem[] = [];
  const sources: ConfigFile[] = [
    { path: join(agentDir, "crew.json"), origin: "user" },
    { path: join(projectFolder, ".crew", "config.json"), origin: "project" },
  ];
  const found: Array<{ file: ConfigFile; value: unknown }> = [];
  for (const file of sources) {
    const value = await readJson(files, file.path, problems);
    if (value !== null) found.push({ file, value });
  }
  // Windows takes a variable's name in whatever case
  const isSet = found.length > 0 || Object.keys(env).some((name) => name.toUpperCase().startsWith(VARIABLES));
  const config = isSet ? await apply(found, env, problems) : structuredClone(DEFAULT_CONFIG);
  return { config: Object.freeze(config), problems };
}

/** What checks values takes longer to load than all else at a session's start, and most users set none. */
async function apply(
  found: ReadonlyArray<{ file: ConfigFile; value: unknown }>,
  env: NodeJS.ProcessEnv,
  problems: ConfigProblem[],
): Promise<Config> {
  const { applyConfigFile } = await inTurn(() => import("./config-file.ts"));
  const { ENVIRONMENT, environmentContent, unknownVariables } = await inTurn(() => import("./settings.ts"));
  problems.push(...unknownVariables(env));
  const given = [...found, { file: ENVIRONMENT, value: environmentContent(env) }];
  return given.reduce((config, { file, value }) => applyConfigFile(config, value, file, problems), DEFAULT_CONFIG);
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
