import { isObject } from "../system/json.ts";
import { DEFAULT_CONFIG, DEPTH_VARIABLE, VARIABLES } from "./config.ts";
import { applyConfigFile, type ConfigFile, type ConfigProblem } from "./config-file.ts";
import { CONFIG_SCHEMA, type Config } from "./config-schema.ts";

/** A value of the configuration by itself, as a user sees and changes it. */
export interface Setting {
  /** `limits.maxParallelAttempts` */
  path: string;
  description: string;
  default: unknown;
  /** `PI_FOREMAN_LIMITS_MAX_PARALLEL_ATTEMPTS` */
  variable: string;
  /** What can be chosen; empty where anything of the kind can be written. */
  choices: readonly string[];
}

interface Schema {
  type?: string;
  properties?: Record<string, Schema>;
  anyOf?: { const: unknown }[];
  const?: unknown;
  description?: string;
}

/** Every setting, in the order of the schema. */
export const SETTINGS: readonly Setting[] = settingsBelow("", CONFIG_SCHEMA as Schema);

function settingsBelow(prefix: string, section: Schema): Setting[] {
  return Object.entries(section.properties ?? {}).flatMap(([key, schema]) => {
    const path = `${prefix}${key}`;
    if (schema.properties) return settingsBelow(`${path}.`, schema);
    const choices = (schema.anyOf ?? (schema.const === undefined ? [] : [schema])).map((it) => String(it.const));
    if (schema.type === "boolean") choices.push("true", "false");
    const variable = `${VARIABLES}${path
      .replaceAll(".", "_")
      .replaceAll(/([a-z])([A-Z])/g, "$1_$2")
      .toUpperCase()}`;
    return [{ path, variable, description: schema.description ?? "", default: valueAt(DEFAULT_CONFIG, path), choices }];
  });
}

export function valueAt(value: unknown, path: string): unknown {
  return path.split(".").reduce((at, key) => (isObject(at) ? at[key] : undefined), value);
}

/** What the environment sets, in the form of a configuration file; it wins over both files. */
export function environmentContent(env: NodeJS.ProcessEnv): Record<string, unknown> {
  return SETTINGS.reduce((content, { path, variable }) => {
    const text = env[variable];
    return text === undefined || text === "" ? content : withKey(content, path, readValue(text));
  }, {});
}

export const ENVIRONMENT: ConfigFile = { path: "the environment", origin: "user" };

/**
 * Variables that begin like ours and set nothing, their values left out: a slip in a name is no reason to show a key. A
 * name in another case is one of ours where the system says so, as Windows does.
 */
export function unknownVariables(env: NodeJS.ProcessEnv): ConfigProblem[] {
  const names = Object.keys(env).filter((name) => name.toUpperCase().startsWith(VARIABLES) && env[name] !== "");
  const ours = new Set([DEPTH_VARIABLE, ...SETTINGS.map(({ variable }) => variable)]);
  const unknown = names.filter((name) => !ours.has(name.toUpperCase()) || env[name.toUpperCase()] !== env[name]);
  return unknown.map((name) => {
    const message = `${name} in ${ENVIRONMENT.path} is not known; there are ${variablesLike(name).join(", ")}.`;
    return { file: ENVIRONMENT.path, path: name, message };
  });
}

/** Those of its section; when it is of none, a pattern for each section, and what is in none. */
function variablesLike(name: string): string[] {
  const all = SETTINGS.map(({ variable }) => variable);
  const below = (start: string) => all.filter((variable) => variable.startsWith(`${start}_`));
  const tops = Object.keys(CONFIG_SCHEMA.properties).map((key) => `${VARIABLES}${key.toUpperCase()}`);
  const like = tops.filter((top) => name.toUpperCase().startsWith(`${top}_`)).flatMap(below);
  if (like.length > 0) return like;
  return tops.map((top) => (below(top).length > 0 ? `${top}_*` : top));
}

/** JSON where it is some, else the text itself: nobody wants to quote a word. */
export function readValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * The content of a configuration file with one value set, or taken out (`undefined`); everything else as it was. The
 * problems say why it can't be used; then the file should stay as it is.
 */
export function withValue(
  content: Readonly<Record<string, unknown>>,
  path: string,
  value: unknown,
  file: ConfigFile,
  below: Config,
): { content: Record<string, unknown>; problems: ConfigProblem[] } {
  const result = withKey(content, path, value);
  const problems: ConfigProblem[] = [];
  applyConfigFile(below, result, file, problems);
  return { content: result, problems: problemsOf(path, problems) };
}

/** Those of a value, of what it is part of, and of its parts. */
export function problemsOf(path: string, problems: readonly ConfigProblem[]): ConfigProblem[] {
  return problems.filter((problem) => `${path}.`.startsWith(`${problem.path}.`) || problem.path.startsWith(`${path}.`));
}

function withKey(content: Readonly<Record<string, unknown>>, path: string, value: unknown): Record<string, unknown> {
  const result = structuredClone(content) as Record<string, unknown>;
  const keys = path.split(".");
  const last = keys.pop() as string;
  let at = result;
  for (const key of keys) {
    const next = isObject(at[key]) ? at[key] : {};
    at[key] = next;
    at = next;
  }
  if (value === undefined) delete at[last];
  else at[last] = value;
  return result;
}
