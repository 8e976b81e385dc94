import { join } from "node:path";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";

/** What a wrapper that died has left here is of interest that long. */
const oldMs = 24 * 60 * 60 * 1000;

/** The folder of the wrappers' own output, made when it is not there, and rid of what nobody will ask for. */
export async function openOutputFolder(world: World, agentDir: string): Promise<string> {
  const folder = join(agentDir, "crew", "workers");
  await world.files.makeFolder(folder);
  void sweep(world, folder);
  return folder;
}

async function sweep({ clock, files, log }: World, folder: string): Promise<void> {
  try {
    const names = (await files.list(folder)).filter((name) => name.endsWith(".log"));
    for (const name of names) {
      const path = join(folder, name);
      const facts = await files.facts(path);
      if (facts?.kind === "file" && clock.now() - facts.modifiedMs > oldMs) await files.remove(path);
    }
  } catch (error) {
    log.warn("old output of workers not removed", { folder, error: messageOf(error) });
  }
}
