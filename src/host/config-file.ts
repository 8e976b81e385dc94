import { Value } from "@sinclair/typebox/value";
import type { ConfigProblem } from "./config.ts";
import { CONFIG_SCHEMA, type Config } from "./config-schema.ts";

const VALUE_CHARS_MAX = 60;

interface FieldSchema {
  type: string;
  minimum?: number;
  maximum?: number;
}

const SECTIONS = CONFIG_SCHEMA.properties as unknown as Record<string, { properties: Record<string, FieldSchema> }>;

/** `base` with the values of one file over it. Each value that can't be used is named in `problems`. */
export function applyConfigFile(base: Config, value: unknown, file: string, problems: ConfigProblem[]): Config {
  const report = (path: string, given: unknown, why: string) => {
    const shown = (JSON.stringify(given) ?? "undefined").slice(0, VALUE_CHARS_MAX);
    problems.push({ file, path, message: `${path} = ${shown} in ${file} ${why}.` });
  };
  if (!isObject(value)) {
    problems.push({ file, path: "", message: `${file} must hold a JSON object; the defaults are used.` });
    return base;
  }
  const result = structuredClone(base) as unknown as Record<string, Record<string, unknown>>;
  for (const [section, fields] of Object.entries(value)) {
    const schema = own(SECTIONS, section);
    const target = result[section];
    if (!schema || !target) report(section, fields, `is not a section; there are ${names(SECTIONS)}`);
    else if (!isObject(fields)) report(section, fields, "must be an object");
    else applySection(section, schema.properties, target, fields, report);
  }
  return result as unknown as Config;
}

function applySection(
  section: string,
  schemas: Record<string, FieldSchema>,
  target: Record<string, unknown>,
  given: Record<string, unknown>,
  report: (path: string, given: unknown, why: string) => void,
): void {
  for (const [field, value] of Object.entries(given)) {
    const schema = own(schemas, field);
    const path = `${section}.${field}`;
    if (!schema) report(path, value, `is not known; there are ${names(schemas)}`);
    else if (Value.Check(schema as never, value)) target[field] = value;
    else report(path, value, `can't be used: it must be ${describe(schema)}; ${JSON.stringify(target[field])} is used`);
  }
}

function own<T>(record: Record<string, T>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

function names(record: Record<string, unknown>): string {
  return Object.keys(record).join(", ");
}

function describe({ type, minimum, maximum }: FieldSchema): string {
  return minimum === undefined ? `a ${type}` : `a whole number from ${minimum} to ${maximum}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
