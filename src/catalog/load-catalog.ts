import { createHash } from "node:crypto";
import { join, sep } from "node:path";
import type {
  AgentDefinition,
  Catalog,
  DefinitionProblem,
  Origin,
  Source,
  TeamDefinition,
  WorkflowDefinition,
} from "../runs/definitions.ts";
import { messageOf } from "../system/errors.ts";
import type { Files } from "../system/world.ts";
import { checkTeam } from "./check-team.ts";
import type { Lines, Parsed } from "./header.ts";
import { parseAgent } from "./parse-agent.ts";
import { parseTeam } from "./parse-team.ts";
import { parseWorkflow } from "./parse-workflow.ts";
import { Problems, quoted } from "./problems.ts";

export const fileBytesMax = 1024 * 1024;
export const filesPerFolderMax = 500;

/** A place definitions come from. */
export interface CatalogFolder {
  origin: Origin;
  /** Absolute. */
  root: string;
  /** `crew`: `agents/`, `teams/`, `workflows/` below it. `agents`: agent files right in it, as in `.claude/agents`. */
  holds: "crew" | "agents";
}

interface Named {
  name: string;
  source: Source;
}

interface Entry<T> {
  value: T;
  lines: Lines;
}

type Parse<T> = (text: string, source: Source, problems: Problems) => Promise<Parsed<T>>;

/**
 * Reads all definitions. A later folder's definition replaces an earlier one's of the same name, and a disabled one
 * removes it; a bad one is reported and leaves the earlier one in place. Nothing here throws for what a file holds.
 */
export async function loadCatalog(files: Files, folders: readonly CatalogFolder[]): Promise<Catalog> {
  const crew = folders.filter(({ holds }) => holds === "crew");
  const below = (name: string) => crew.map((it) => ({ ...it, root: join(it.root, name) }));
  const agentFolders = folders.map((it) => (it.holds === "crew" ? { ...it, root: join(it.root, "agents") } : it));
  const problems: DefinitionProblem[] = [];
  const agents = await loadKind<AgentDefinition>(files, agentFolders, isAgentFile, parseAgent, problems);
  const workflows = await loadKind<WorkflowDefinition>(
    files,
    below("workflows"),
    (name) => name.endsWith(".workflow.md"),
    parseWorkflow,
    problems,
  );
  const teams = await loadKind<TeamDefinition>(
    files,
    below("teams"),
    (name) => name.endsWith(".team.md"),
    parseTeam,
    problems,
  );
  for (const [name, team] of teams) {
    const found = new Problems(team.value.source.file);
    checkTeam(team.value, team.lines, { agents, workflows }, found);
    problems.push(...found.list);
    if (found.failed) teams.delete(name);
  }
  return Object.freeze({
    agents: values(agents),
    teams: values(teams),
    workflows: values(workflows),
    problems: Object.freeze(problems),
  });
}

function isAgentFile(name: string): boolean {
  return name.endsWith(".md") && !name.endsWith(".chain.md") && name.toLowerCase() !== "readme.md";
}

function values<T>(entries: ReadonlyMap<string, Entry<T>>): ReadonlyMap<string, T> {
  return new Map([...entries].map(([name, { value }]) => [name, value]));
}

async function loadKind<T extends Named>(
  files: Files,
  folders: readonly CatalogFolder[],
  isWanted: (name: string) => boolean,
  parse: Parse<T>,
  problems: DefinitionProblem[],
): Promise<Map<string, Entry<T>>> {
  const found = new Map<string, Entry<T>>();
  for (const folder of folders) {
    const names = (await listFolder(files, folder.root, problems)).filter((it) => !it.startsWith(".") && isWanted(it));
    if (names.length > filesPerFolderMax) {
      const about = new Problems(folder.root);
      about.warning(1, `The folder has ${names.length} definitions; only the first ${filesPerFolderMax} are read.`);
      problems.push(...about.list);
    }
    const read = await Promise.all(
      names.slice(0, filesPerFolderMax).map((name) => loadFile(files, folder, name, parse)),
    );
    const here = new Map<string, string>();
    for (const { parsed, about } of read) {
      merge(parsed, about, found, here);
      problems.push(...about.list);
    }
  }
  return found;
}

function merge<T extends Named>(
  parsed: Parsed<T>,
  about: Problems,
  found: Map<string, Entry<T>>,
  here: Map<string, string>,
): void {
  if (parsed.kind === "bad") return;
  const name = parsed.kind === "disabled" ? parsed.name : parsed.value.name;
  const other = here.get(name);
  if (other !== undefined) {
    about.error(1, `The name ${quoted(name)} is already taken by ${other} in this folder: rename one of them.`);
    return;
  }
  here.set(name, about.file);
  if (parsed.kind === "disabled") found.delete(name);
  else found.set(name, { value: parsed.value, lines: parsed.lines });
}

async function listFolder(files: Files, root: string, problems: DefinitionProblem[]): Promise<string[]> {
  try {
    return await files.list(root);
  } catch (error) {
    const about = new Problems(root);
    about.error(1, `The folder can't be read (${messageOf(error)}): mend its permissions, or remove it.`);
    problems.push(...about.list);
    return [];
  }
}

async function loadFile<T>(
  files: Files,
  folder: CatalogFolder,
  name: string,
  parse: Parse<T>,
): Promise<{ parsed: Parsed<T>; about: Problems }> {
  const file = join(folder.root, name);
  const about = new Problems(file);
  try {
    const bytes = await readDefinition(files, folder, file, about);
    if (bytes === null) return { parsed: { kind: "bad" }, about };
    const contentHash = createHash("sha256").update(bytes).digest("hex");
    const text = new TextDecoder().decode(bytes);
    return { parsed: await parse(text, { origin: folder.origin, file, contentHash }, about), about };
  } catch (error) {
    about.error(1, `The file can't be read (${messageOf(error)}): mend its permissions, or remove it.`);
    return { parsed: { kind: "bad" }, about };
  }
}

/** The bytes of a regular file, or of one a link points to. A project's link may not leave its folder. */
async function readDefinition(
  files: Files,
  folder: CatalogFolder,
  file: string,
  about: Problems,
): Promise<Uint8Array | null> {
  const real = await files.realPath(file);
  const facts = await files.facts(real);
  if (facts?.kind !== "file") {
    about.error(1, "This is not a file that can be read: replace it by a regular file, or remove it.");
    return null;
  }
  if (folder.origin === "project" && !real.startsWith(`${await files.realPath(folder.root)}${sep}`)) {
    about.error(1, `This is a link to ${quoted(real)}, outside the folder: copy the file here instead.`);
    return null;
  }
  if (facts.bytes > fileBytesMax) {
    about.error(1, `The file has ${facts.bytes} bytes, more than ${fileBytesMax}: shorten it.`);
    return null;
  }
  return files.read(real, fileBytesMax);
}
