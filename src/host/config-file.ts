import { Value } from "@sinclair/typebox/value";
import { isObject } from "../system/json.ts";
import { CONFIG_SCHEMA, type Config } from "./config-schema.ts";
import { NOTIFICATIONS_USER_ONLY } from "./notification-config.ts";
import { TELEMETRY_USER_ONLY } from "./telemetry-config.ts";

const VALUE_CHARS_MAX = 60;

/** What runs a program or sends data out: a file that comes with a project can't set it. */
export const USER_ONLY: ReadonlySet<string> = new Set([
  ...NOTIFICATIONS_USER_ONLY.map((key) => `notifications.${key}`),
  ...TELEMETRY_USER_ONLY,
]);

/** What may hold a key or a password: shown without it, unless there is nothing in it. */
const SECRET = new Set(["otlp.headers", "notifications.webhookUrl", "notifications.command"]);

/** A value as it may be shown; that of a section without what may be secret in it. */
export function shownValue(path: string, value: unknown): string {
  const isSecret = SECRET.has(path) && !['""', "{}", "[]"].includes(JSON.stringify(value));
  if (isSecret) return "***";
  const masked = (key: string, item: unknown) => (SECRET.has(`${path}.${key}`) ? "***" : item);
  return JSON.stringify(value, masked) ?? "undefined";
}

/** In place of a value that is not told. */
const UNTOLD = Symbol("untold");

/** What is no setting may be a misspelt one that holds a key. */
function toldOfUnknown(path: string, value: unknown): unknown {
  const section = path.slice(0, path.indexOf("."));
  return isObject(value) || [...SECRET].some((secret) => secret.startsWith(`${section}.`)) ? UNTOLD : value;
}

/** Maps that hold together over all files: a later one wins by name, not as a whole. */
const TOGETHER = new Set(["observability.buckets"]);

/**
 * Where any other value in place of a bad one would send data to where nobody meant them to go: the bad one stays, as a
 * text, for its reader to refuse. What that means, by path.
 */
const STAYS: ReadonlyMap<string, string> = new Map([
  ["otlp.endpoint", "nothing is sent by OTLP, unless OTEL_EXPORTER_OTLP_ENDPOINT says where"],
]);

interface Schema {
  type?: string;
  properties?: Record<string, Schema>;
  /** Of a map: its values, whatever their names. */
  patternProperties?: Record<string, Schema>;
  items?: Schema;
  minimum?: number;
  maximum?: number;
  anyOf?: { const: unknown }[];
  const?: unknown;
  description?: string;
  patternErrorMessage?: string;
}

/** A value that was not used; the one below it was, but for those that stay. */
export interface ConfigProblem {
  file: string;
  /** `limits.maxParallelAttempts`, or empty for the whole file. */
  path: string;
  /** A sentence with the value and the remedy. */
  message: string;
}

export interface ConfigFile {
  path: string;
  /** Whose it is: the user's own, or one that came with the project. */
  origin: "user" | "project";
}

/** `base` with the values of one file over it. Each value that can't be used is named in `problems`. */
export function applyConfigFile(base: Config, value: unknown, file: ConfigFile, problems: ConfigProblem[]): Config {
  const result = structuredClone(base);
  const report: Report = (path, given, why) => {
    const shown = given === UNTOLD ? "" : ` = ${shownValue(path, given).slice(0, VALUE_CHARS_MAX)}`;
    problems.push({ file: file.path, path, message: `${path}${shown} in ${file.path} ${why}.` });
  };
  if (isObject(value)) {
    // for editors
    const { $schema: _named, ...sections } = value;
    applySection("", CONFIG_SCHEMA as Schema, result, sections, file, report);
    keepAscending(base, result, report);
  } else
    problems.push({
      file: file.path,
      path: "",
      message: `${file.path} must hold a JSON object; the defaults are used.`,
    });
  return result;
}

type Report = (path: string, given: unknown, why: string) => void;

function applySection(
  prefix: string,
  section: Schema,
  target: Record<string, unknown>,
  given: Record<string, unknown>,
  file: ConfigFile,
  report: Report,
): void {
  const schemas = section.properties ?? {};
  for (const [key, value] of Object.entries(given)) {
    const path = `${prefix}${key}`;
    const schema = Object.hasOwn(schemas, key) ? schemas[key] : undefined;
    if (!schema) report(path, toldOfUnknown(path, value), `is not known; there are ${Object.keys(schemas).join(", ")}`);
    else if (!schema.properties) applyValue(path, schema, target, value, file, report);
    else if (isObject(value))
      applySection(`${path}.`, schema, target[key] as Record<string, unknown>, value, file, report);
    else report(path, value, "must be an object");
  }
}

/** Of two files each may be in order and both together not: the later one gives way. */
function keepAscending(base: Config, result: Config, report: Report): void {
  const { heartbeat } = result.reliability;
  if (heartbeat.warnMs < heartbeat.staleMs && heartbeat.staleMs < heartbeat.deadMs) return;
  const { warnMs, staleMs, deadMs } = base.reliability.heartbeat;
  const used = `${warnMs}, ${staleMs} and ${deadMs} are used`;
  report("reliability.heartbeat", heartbeat, `can't be used: warnMs < staleMs < deadMs must hold; ${used}`);
  result.reliability.heartbeat = { warnMs, staleMs, deadMs };
}

function applyValue(
  path: string,
  schema: Schema,
  target: Record<string, unknown>,
  value: unknown,
  file: ConfigFile,
  report: Report,
): void {
  const key = path.slice(path.lastIndexOf(".") + 1);
  if (USER_ONLY.has(path) && file.origin === "project")
    report(path, value, "is ignored: a project can't set it, only your own crew.json");
  else if (TOGETHER.has(path) && isObject(value))
    target[key] = withEntries(path, schema, target[key] as Record<string, unknown>, value, report);
  else if (Value.Check(schema as never, value)) target[key] = value;
  else {
    const instead = STAYS.get(path);
    report(path, value, `can't be used: ${demand(schema)}; ${instead ?? `${shownValue(path, target[key])} is used`}`);
    if (instead !== undefined) target[key] = typeof value === "string" ? value : JSON.stringify(value);
  }
}

/** `below` with the entries of a map that can be used. */
function withEntries(
  path: string,
  map: Schema,
  below: Record<string, unknown>,
  given: Record<string, unknown>,
  report: Report,
): Record<string, unknown> {
  const schema = valuesOf(map);
  const usable = Object.entries(given).filter(([name, value]) => {
    if (Value.Check(schema as never, value)) return true;
    const instead = Object.hasOwn(below, name) ? `${JSON.stringify(below[name])} is used` : "it is left out";
    report(`${path}.${name}`, value, `can't be used: ${demand(schema)}; ${instead}`);
    return false;
  });
  return Object.fromEntries([...Object.entries(below), ...usable]);
}

function valuesOf({ patternProperties = {} }: Schema): Schema {
  return Object.values(patternProperties)[0] ?? {};
}

function demand(schema: Schema): string {
  return schema.patternErrorMessage ?? `it must be ${describe(schema)}`;
}

function describe(schema: Schema): string {
  const { type, items, minimum, maximum, anyOf, description, const: only } = schema;
  if (only !== undefined) return `${JSON.stringify(only)}, the only one there is`;
  if (anyOf) return `one of ${anyOf.map((option) => JSON.stringify(option.const)).join(", ")}`;
  if (minimum !== undefined)
    return `${type === "integer" ? "a whole number" : "a number"} from ${minimum} to ${maximum}`;
  if (type === "array") return `a list of ${items?.type === "number" ? "numbers" : "texts"}`;
  if (type === "object") return `an object with ${describe(valuesOf(schema))} for each name`;
  if (type === "string") return description ? `a text (${description})` : "a text";
  return `a ${type}`;
}
