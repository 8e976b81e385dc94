import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Files } from "../system/world.ts";

/** The package's own folder, where the shipped definitions lie. */
export const PACKAGE_FOLDER = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** Of this package; empty when its manifest can't be read. */
export async function packageVersion(files: Files): Promise<string> {
  const manifest = await files.readText(join(PACKAGE_FOLDER, "package.json")).catch(() => null);
  return manifest === null ? "" : (JSON.parse(manifest) as { version: string }).version;
}
