import { dirname, join } from "node:path";
import { codeOf } from "../system/errors.ts";
import { versionOf } from "../system/file-version.ts";
import type { Files } from "../system/world.ts";

/** What a session is made from: when one of these files changes, services made before are stale. */

const levelsMax = 4;
/** Below each of the paths. */
const entriesMax = 500;
const contextFiles = ["AGENTS.override.md", "AGENTS.md", "AGENTS.MD", "CLAUDE.md", "CLAUDE.MD"];
const settings = ["settings.json", "models.json", "auth.json", "trust.json"];
const resources = ["SYSTEM.md", "APPEND_SYSTEM.md", "extensions", "skills", "prompts"];
/** Big, and of packages whose own version stands above them. */
const skipped = new Set(["node_modules", ".git"]);

/** Changes when the user's settings, models, keys, context files, extensions or skills do. Never rejects. */
export async function resourceFingerprint(files: Files, agentDir: string, cwd: string): Promise<string> {
  const paths = [
    ...[...settings, ...contextFiles, ...resources].map((name) => join(agentDir, name)),
    ...["settings.json", ...resources].map((name) => join(cwd, ".pi", name)),
    ...ancestors(cwd).flatMap((folder) =>
      [...contextFiles, join(".agents", "skills")].map((name) => join(folder, name)),
    ),
  ];
  return (await Promise.all(paths.map((path) => describe(files, path, levelsMax, { left: entriesMax })))).join(" ");
}

/** The folder and all above it: the host reads the context files of each. */
function ancestors(folder: string): string[] {
  const above = dirname(folder);
  return above === folder ? [folder] : [folder, ...ancestors(above)];
}

async function describe(files: Files, path: string, levels: number, budget: { left: number }): Promise<string> {
  if (budget.left <= 0) return "";
  budget.left -= 1;
  try {
    // at once: a hop to the thread pool costs ten times what a name that is not there does
    let facts = files.factsNow(path);
    if (facts?.kind === "symlink") facts = files.factsNow(await files.realPath(path));
    if (!facts) return "-";
    const own = versionOf(facts);
    if (facts.kind !== "directory" || levels === 0) return own;
    const names = (await files.list(path)).filter((name) => !skipped.has(name));
    const inside: string[] = [];
    // one after the other: the same ones are left out each time
    for (const name of names) inside.push(await describe(files, join(path, name), levels - 1, budget));
    return `${own}(${inside.join(" ")})`;
  } catch (error) {
    return codeOf(error) || "?"; // what can't be read now can't be loaded either
  }
}
