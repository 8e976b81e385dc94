import { join } from "node:path";
import type { World } from "../system/world.ts";

const LOOK_MS = 50;
const WAIT_MS_MAX = 3000;

/** Waits a moment for the owner to deal with a request; false when it has not, and the request stays for it. */
export async function requestTaken(
  { clock, files }: Pick<World, "clock" | "files">,
  runFolder: string,
  id: string,
): Promise<boolean> {
  const path = join(runFolder, "inbox", `${id}.json`);
  const until = clock.monotonicMs() + WAIT_MS_MAX;
  while ((await files.facts(path)) !== null) {
    if (clock.monotonicMs() >= until) return false;
    await clock.sleep(LOOK_MS);
  }
  return true;
}
