import { createHash } from "node:crypto";
import { basename, join, resolve, sep } from "node:path";
import { attemptId } from "../runs/run-state.ts";
import { codeOf, UserError } from "../system/errors.ts";
import type { Files } from "../system/world.ts";

/** Where everything lies. */

/** What runs leave behind. Definitions and configuration are the project's, to be committed. */
const IGNORED = [".gitignore", "state/", "metrics/", "worktrees/", ""].join("\n");

const SEGMENT = /^[a-z0-9][a-z0-9_-]{0,63}$/;
/** Names Windows keeps for devices, whatever follows them. */
const DEVICE = /^(con|prn|aux|nul|com\d|lpt\d)$/;

/** The id itself when it is safe as one path segment on every system; otherwise a UserError that names it. */
export function safeSegment(id: string, what: string): string {
  if (isSafeSegment(id)) return id;
  throw new UserError(
    "bad-id",
    `${JSON.stringify(id.slice(0, 80))} can't be a ${what}: use 1 to 64 of a-z, 0-9, "-" and "_", beginning with a letter or digit.`,
  );
}

export function isSafeSegment(id: string): boolean {
  return SEGMENT.test(id) && !DEVICE.test(id);
}

export interface RunPaths {
  folder: string;
  manifest: string;
  events: string;
  state: string;
  inbox: string;
  artifacts: string;
}

export function runPaths(crewRoot: string, runId: string): RunPaths {
  const folder = join(runsFolder(crewRoot), safeSegment(runId, "run id"));
  return {
    folder,
    manifest: join(folder, "manifest.json"),
    events: join(folder, "events.jsonl"),
    state: join(folder, "state.json"),
    inbox: join(folder, "inbox"),
    artifacts: join(folder, "artifacts"),
  };
}

export function runsFolder(crewRoot: string): string {
  return join(crewRoot, "state", "runs");
}

/** Of what is handed to others about a run. */
export function exportsFolder(crewRoot: string): string {
  return join(crewRoot, "exports");
}

/** Of the background runs whose end has not been told yet. */
export function followingFolder(crewRoot: string): string {
  return join(crewRoot, "state", "following");
}

/** Throws a UserError when a run's folders and files are not real ones: a repository could have planted links or pipes. */
export async function refusePlanted(files: Files, paths: RunPaths): Promise<void> {
  const folders = [paths.folder, paths.inbox, paths.artifacts];
  for (const path of [...folders, paths.manifest, paths.events, paths.state]) {
    const kind = folders.includes(path) ? "directory" : "file";
    const facts = files.factsNow(path);
    if (facts !== null && facts.kind !== kind)
      throw new UserError("planted", `The run can't be used: ${path} is not a real ${kind}. Remove ${paths.folder}.`);
  }
}

/** The same for the folders of its attempts; to be asked before anything is written there. */
export async function refusePlantedTasks(files: Files, { folder }: RunPaths): Promise<void> {
  const tasks = join(folder, "tasks");
  const inside = async (path: string) => (await files.list(path)).map((name) => join(path, name));
  const requireReal = async (path: string) => {
    const facts = await files.facts(path);
    if (facts !== null && facts.kind !== "directory")
      throw new UserError("planted", `The run can't be used: ${path} is not a real directory. Remove ${folder}.`);
  };
  await requireReal(tasks);
  for (const task of await inside(tasks)) {
    await requireReal(task);
    for (const attempt of await inside(task)) {
      await requireReal(attempt);
      for (const name of ["checkpoints", "artifacts"]) await requireReal(join(attempt, name));
    }
  }
}

/** The folder of one attempt, `tasks/<taskId>/a0001`. */
export function attemptFolder(crewRoot: string, runId: string, taskId: string, attempt: number): string {
  return join(runPaths(crewRoot, runId).folder, "tasks", safeSegment(taskId, "task id"), attemptId(attempt));
}

/**
 * `.crew/` of the project, with its own `.gitignore`; the agent folder's `crew/projects/<name>/` when the project is
 * not writable. Creates it. Throws a UserError when neither can be had, or when a symlink stands in the way: a
 * repository could have planted it to make us write elsewhere.
 */
export async function prepareCrewRoot(files: Files, projectFolder: string, agentFolder: string): Promise<string> {
  const [inProject, inAgentFolder] = crewRoots(projectFolder, agentFolder);
  const there = await files.facts(inProject);
  const mayWrite = there === null ? await files.writable(projectFolder) : await isOurs(files, inProject);
  const root = mayWrite ? inProject : inAgentFolder;
  try {
    await files.makeFolder(runsFolder(root));
    const ignore = join(root, ".gitignore");
    if (mayWrite && (await files.facts(ignore)) === null) await files.writeAtomic(ignore, IGNORED);
  } catch (error) {
    throw new UserError(
      "crew-root",
      `No run can be kept: ${root} can't be written (${error instanceof Error ? error.message : String(error)}). ` +
        "Make it writable, or set PI_CODING_AGENT_DIR to a folder that is.",
      { cause: error },
    );
  }
  return root;
}

/**
 * The folder where this project's runs are kept already; null when there is none. One that may not be looked into is
 * taken for it when there is no other. Creates nothing.
 */
export async function findCrewRoot(files: Files, projectFolder: string, agentFolder: string): Promise<string | null> {
  let unreadable: string | null = null;
  for (const root of crewRoots(projectFolder, agentFolder))
    try {
      if ((await files.facts(runsFolder(root)))?.kind === "directory") return root;
    } catch (error) {
      if (codeOf(error) === "") throw error;
      unreadable ??= root;
    }
  return unreadable;
}

/** Where this project's runs and the records of its tasks are looked for, kept ones or none: records may come without a run. */
export async function keptRoot(files: Files, projectFolder: string, agentFolder: string): Promise<string> {
  return (await findCrewRoot(files, projectFolder, agentFolder)) ?? crewRoots(projectFolder, agentFolder)[0];
}

/** Where metrics of a session are kept whose project has no folder for runs: beside those of other projects. */
export function metricsRoot(projectFolder: string, agentFolder: string): string {
  return crewRoots(projectFolder, agentFolder)[1];
}

function crewRoots(projectFolder: string, agentFolder: string): [inProject: string, inAgentFolder: string] {
  return [join(projectFolder, ".crew"), join(agentFolder, "crew", "projects", projectName(projectFolder))];
}

async function isOurs(files: Files, root: string): Promise<boolean> {
  for (const path of [root, join(root, "state"), runsFolder(root), followingFolder(root)]) {
    const facts = await files.facts(path);
    if (facts !== null && facts.kind !== "directory") throw notReal(path, facts.kind);
    if (facts !== null && !(await files.writable(path))) return false;
  }
  // records of tasks that can't be written cost the runs nothing; a link would take them elsewhere
  for (const path of [join(root, "metrics"), join(root, "metrics", "tasks")])
    if ((await files.facts(path))?.kind === "symlink") throw notReal(path, "symlink");
  return true;
}

function notReal(path: string, kind: string): UserError {
  return new UserError(
    "crew-root",
    `No run can be kept: ${path} is a ${kind}, but must be a real folder. Remove it and try again.`,
  );
}

/** Readable and unique: the folder's name, and 12 hex digits of the SHA-256 of its whole path. */
function projectName(projectFolder: string): string {
  const path = resolve(projectFolder);
  const hash = createHash("sha256").update(path).digest("hex").slice(0, 12);
  const name = basename(path).replaceAll(/[^A-Za-z0-9_-]+/g, "-") || "root";
  return `${name.slice(0, 40)}-${hash}`;
}

/** A path as the user would write it: relative when it lies below the folder they work in. */
export function displayPath(path: string, from: string): string {
  return path.startsWith(from + sep) ? path.slice(from.length + 1) : path;
}
