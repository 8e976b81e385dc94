import { join } from "node:path";
import type { RunManifest } from "../runs/manifest.ts";
import type { RunState } from "../runs/run-state.ts";
import { messageOf } from "../system/errors.ts";
import type { Files, World } from "../system/world.ts";

const NAME_CHARS_MAX = 1000;

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
  const known = new Set(told.map(({ name }) => name));
  try {
    await sweep(files, join(folder, "artifacts"), "", known);
  } catch (error) {
    log.warn("artifacts that nobody knows of were not removed", { folder, error: messageOf(error) });
  }
}

async function sweep(files: Files, root: string, below: string, known: ReadonlySet<string>): Promise<void> {
  const path = join(root, below);
  if ((await files.facts(path))?.kind !== "directory") return;
  for (const entry of await files.list(path)) {
    const name = below === "" ? entry : `${below}/${entry}`;
    // no name is as long
    if (known.has(name) || name.length > NAME_CHARS_MAX) continue;
    await sweep(files, root, name, known);
    if ((await files.list(join(path, entry)).catch(() => [])).length === 0) await files.remove(join(path, entry));
  }
}
