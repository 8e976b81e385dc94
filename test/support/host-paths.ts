import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** A Pi that can be started: `node cli …`. */
export interface Host {
  /** The package's name and version, for titles. */
  name: string;
  version: string;
  cli: string;
  node: string;
  /** The folder of the package, for importing its SDK. */
  packageFolder: string;
}

const repoFolder = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const defaultCli = join(repoFolder, "node_modules/@mariozechner/pi-coding-agent/dist/cli.js");

/** All hosts there are: the installed one, then the one named by FOREMAN_TEST_HOST_CLI (and _NODE). */
export function hosts(): Host[] {
  const other = process.env["FOREMAN_TEST_HOST_CLI"];
  const first = describeHost(defaultCli, process.execPath);
  if (!other) return [first];
  return [first, describeHost(other, process.env["FOREMAN_TEST_HOST_NODE"] ?? process.execPath)];
}

/** The host under test: the one the environment names, else the installed one. */
export function currentHost(): Host {
  const all = hosts();
  const last = all.at(-1);
  if (!last) throw new Error("no host");
  return last;
}

/** Whether the host is at least `wanted` ("0.84"); numbers only. */
export function hostAtLeast(host: Host, wanted: string): boolean {
  const have = host.version.split(".").map(Number);
  for (const [index, number] of wanted.split(".").map(Number).entries()) {
    const own = have[index] ?? 0;
    if (own !== number) return own > number;
  }
  return true;
}

function describeHost(cli: string, node: string): Host {
  if (!existsSync(cli)) throw new Error(`There is no Pi at ${cli}; run npm install, or mend FOREMAN_TEST_HOST_CLI.`);
  let folder = dirname(cli);
  while (!existsSync(join(folder, "package.json"))) {
    if (folder === dirname(folder)) throw new Error(`No package.json above ${cli}.`);
    folder = dirname(folder);
  }
  const { name, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<string, string>;
  return { name: `${name} ${version}`, version: version ?? "0", cli, node, packageFolder: folder };
}
