import { basename, join } from "node:path";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import { UNFINISHED_MARK } from "./task-recorder.ts";

/** A file on its way to its name: see `Files.writeAtomic`. */
export const UNFINISHED = /^\..+\.tmp$/;

/** Begun by whoever goes on with the run or with a task of it. */
const RESUMING = /^\.again-/;

/** Removes what killed writers had begun to write below a run's folder; for one that has ended. Never rejects. */
export async function removeUnfinishedFiles(
  { files, log }: Pick<World, "files" | "log">,
  folder: string,
): Promise<void> {
  // what a link leads to is not the run's
  const below = async (path: string) =>
    (await files.facts(path))?.kind === "directory" ? (await files.list(path)).map((name) => join(path, name)) : [];
  try {
    // may be written by a living process at this moment: the second until that is done
    const underWay = files.factsNow(join(folder, "recorded.json")) ? [RESUMING] : [RESUMING, UNFINISHED_MARK];
    const tasks = await below(join(folder, "tasks"));
    const attempts = (await Promise.all(tasks.map(below))).flat();
    for (const place of [folder, join(folder, "inbox"), ...attempts])
      for (const path of await below(place)) {
        const name = basename(path);
        if (UNFINISHED.test(name) && !underWay.some((one) => one.test(name))) await files.remove(path);
      }
  } catch (error) {
    log.warn("unfinished files of an ended run were not removed", { folder, error: messageOf(error) });
  }
}
