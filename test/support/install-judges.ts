/**
 * Fetches Debian's Prometheus and the Codex CLI into node_modules/.cache, where tests in test/conformance find them:
 *   npx tsx test/support/install-judges.ts
 * Nothing is installed into the system, and nobody has to be root.
 */
import { execFileSync } from "node:child_process";
import { accessSync, constants, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const FOLDER = resolve(import.meta.dirname, "../../node_modules/.cache/foreman-judges");
/** Pinned: what is recorded in tests was printed by this one. */
const CODEX = "@openai/codex@0.169.0";
const CODEX_FOLDER = join(FOLDER, "codex");

export const HOW_TO_GET_JUDGES = "not found: npx tsx test/support/install-judges.ts fetches it where there is apt-get";

/** Of a program in the PATH or fetched before; null when there is none. */
export function judgePath(program: "prometheus" | "promtool" | "codex"): string | null {
  const fetched = [join(FOLDER, "usr/bin"), join(CODEX_FOLDER, "node_modules/.bin")];
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), ...fetched];
  return folders.map((folder) => join(folder, program)).find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Of a Debian package, without its dependencies: there are none but the C library. */
function install(name: string): void {
  mkdirSync(FOLDER, { recursive: true });
  const download = mkdtempSync(join(FOLDER, "download-"));
  const run = (program: string, ...args: string[]) =>
    execFileSync(program, args, { cwd: download, stdio: ["ignore", 2, 2] });
  try {
    run("apt-get", "download", name);
    const archive = readdirSync(download).find((file) => file.endsWith(".deb"));
    if (archive === undefined) throw new Error(`apt-get downloaded no .deb file into ${download}.`);
    run("dpkg", "-x", join(download, archive), FOLDER);
  } finally {
    rmSync(download, { recursive: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  // Debian 12 has both in one package, later ones have one each
  for (const program of ["prometheus", "promtool"] as const) {
    if (judgePath(program) === null) install(program);
    console.log(judgePath(program) ?? `${program} is not in Debian's package of that name.`);
  }
  if (judgePath("codex") === null) {
    mkdirSync(CODEX_FOLDER, { recursive: true });
    const flags = ["--prefix", CODEX_FOLDER, "--save-exact", "--ignore-scripts", "--no-audit", "--no-fund"];
    execFileSync("npm", ["install", ...flags, CODEX], { cwd: CODEX_FOLDER, stdio: ["ignore", 2, 2] });
  }
  console.log(judgePath("codex") ?? "npm installed no codex.");
}
