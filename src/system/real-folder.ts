import { join } from "node:path";
import { UserError } from "./errors.ts";
import type { Files } from "./world.ts";

/**
 * Makes `root/…segments` and returns it. Throws a UserError where something below `root` is not a real folder: a
 * repository could have planted a link to make us write elsewhere.
 */
export async function makeRealFolder(files: Files, root: string, ...segments: readonly string[]): Promise<string> {
  let path = root;
  for (const segment of segments) {
    path = join(path, segment);
    const facts = await files.facts(path);
    if (facts === null) await files.makeFolder(path);
    else if (facts.kind !== "directory")
      throw new UserError("planted", `${path} is a ${facts.kind}, but must be a real folder. Remove it and try again.`);
  }
  return path;
}
