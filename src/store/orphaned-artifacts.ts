import { join } from "node:path";
import type { RunManifest } from "../runs/manifest.ts";
import type { RunState } from "../runs/run-state.ts";
import { messageOf } from "../system/errors.ts";
import type { Files, World } from "../system/world.ts";

/**
 * Removes from an ended run's `artifacts/` what no event tells of: copied by an owner who was killed before it could say
 * so. Links are removed and never followed. Never rejects.
 */
export async function removeOrphanedArtifacts(
  { files, log }: Pick<World, "files" | "log">,
  { folder, state, manifest }: { folder: string; state: RunState; manifest: RunManifest },
): Promise<void> {
  const told = [
    ...Object.values(manifest.kept).flatMap(({ artifacts }) => artifacts),
    ...state.tasks.flatMap(({ attempts }) => attempts.flatMap((it) => (it.status === "ended" ? it.artifacts : []))),
    ...state.tasks.flatMap((task) => (task.status === "completed" ? task.artifacts : [])),
  ];
  const names = told.map(({ name }) => name);
  try {
    await sweep(files, join(folder, "artifacts"), "", new Set(names), new Set(names.flatMap(foldersOf)));
  } catch (error) {
    log.warn("artifacts that nobody knows of were not removed", { folder, error: messageOf(error) });
  }
}

/** `a` and `a/b` of `a/b/c`. */
function foldersOf(name: string): string[] {
  const parts = name.split("/").slice(0, -1);
  return parts.map((_, at) => parts.slice(0, at + 1).join("/"));
}

async function sweep(
  files: Files,
  root: string,
  below: string,
  known: ReadonlySet<string>,
  folders: ReadonlySet<string>,
): Promise<void> {
  const path = join(root, below);
  if ((await files.facts(path))?.kind !== "directory") return;
  for (const entry of await files.list(path)) {
    const name = below === "" ? entry : `${below}/${entry}`;
    if (known.has(name)) continue;
    const isFolder = folders.has(name) && (await files.facts(join(root, name)))?.kind === "directory";
    if (isFolder) await sweep(files, root, name, known, folders);
    else await files.remove(join(root, name));
  }
}
