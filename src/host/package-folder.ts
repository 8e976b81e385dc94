import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The package's own folder, where the shipped definitions lie. */
export const PACKAGE_FOLDER = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
