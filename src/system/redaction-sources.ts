import { join } from "node:path";
import { isObject, parseObject } from "./json.ts";
import { collectSecretValues, createRedactor, type Redactor } from "./redaction.ts";
import { isSecretName, looksRandom } from "./redaction-rules.ts";
import type { FileFacts, Files } from "./world.ts";

/** Of the agent folder: what the host keeps credentials in, and our own settings. */
const FILES = ["auth.json", "models.json", "crew.json"];
const FILE_BYTES_MAX = 1024 * 1024;
/** `key`, `access` and `refresh` are the host's names for an API key and an OAuth login. */
const SECRET_FIELD = /^(?:key|access|refresh|apiKey|webhookUrl)$/;
const COMMAND = "!";
const VARIABLE = /^[A-Za-z_]\w*$/;
const IN_TEMPLATE = /\$\{?([A-Za-z_]\w*)\}?/g;

interface Source {
  path: string;
  seen: FileFacts | null;
}

/**
 * Masks what is secret here by name or shape, and wherever they stand, the secret values of the environment and of the
 * agent folder's files: as the host keeps them now (a token is renewed every hour), and those seen before.
 */
export async function openRedactor(from: {
  files: Pick<Files, "factsNow" | "readNow" | "realPath">;
  env: Readonly<Record<string, string | undefined>>;
  agentDir: string;
}): Promise<Redactor> {
  const { files, env, agentDir } = from;
  // users keep such files elsewhere, with a link in their place
  const paths = await Promise.all(FILES.map((name) => files.realPath(join(agentDir, name))));
  const sources: Source[] = paths.map((path) => ({ path, seen: null }));
  let values: readonly string[] = collectSecretValues(env);
  const current = () => {
    const found = sources.flatMap((source) => changed(files, source, env));
    if (found.some((value) => !values.includes(value))) values = [...new Set([...values, ...found])];
    return values;
  };
  return createRedactor({ secretValues: current });
}

/** The secrets of a file that is not as it was at the last look; a file half-written is looked at again. */
function changed(
  files: Pick<Files, "factsNow" | "readNow">,
  source: Source,
  env: Readonly<Record<string, string | undefined>>,
): string[] {
  try {
    const facts = files.factsNow(source.path);
    const { seen } = source;
    if (facts?.kind !== "file") return [];
    if (facts.modifiedMs === seen?.modifiedMs && facts.inode === seen.inode && facts.bytes === seen.bytes) return [];
    const bytes = files.readNow(source.path, 0, Math.min(facts.bytes, FILE_BYTES_MAX));
    const content = parseObject(Buffer.from(bytes ?? []).toString());
    if (content === null) return [];
    source.seen = facts;
    return secretsIn(content, env, false);
  } catch {
    // who may not read it is told no secret of it
    return [];
  }
}

function secretsIn(node: object, env: Readonly<Record<string, string | undefined>>, headers: boolean): string[] {
  return Object.entries(node).flatMap(([name, value]: [string, unknown]): string[] => {
    if (Array.isArray(value) || isObject(value)) return secretsIn(value, env, name === "headers");
    if (typeof value !== "string" || value.startsWith(COMMAND)) return [];
    const isNamed = SECRET_FIELD.test(name) || isSecretName(name);
    if (!isNamed && (!headers || value.startsWith("http"))) return [];
    return meant(value, env).filter((secret) => looksRandom(secret) || (isNamed && secret.length >= 20));
  });
}

/** The host takes such a value for the name of a variable, a template with variables, or for what it is. */
function meant(value: string, env: Readonly<Record<string, string | undefined>>): string[] {
  const names = [value, ...[...value.matchAll(IN_TEMPLATE)].map((match) => match[1] ?? "")];
  const named = names.flatMap((name) => (VARIABLE.test(name) ? (env[name] ?? []) : []));
  if (named.length > 0) return named;
  // after a scheme, `Bearer …`, too
  return [value, ...value.split(" ").slice(1)];
}
