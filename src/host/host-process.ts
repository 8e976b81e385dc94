import { dirname, join, resolve } from "node:path";
import { parseObject } from "../system/json.ts";
import type { Files } from "../system/world.ts";

/** What this Pi's command line says; the host tells extensions none of it in any other way. */
export interface HostArguments {
  /** Given with `-e`, made absolute, in order. */
  extensionPaths: readonly string[];
  /** `--no-extensions`: only those paths load. */
  noExtensions: boolean;
  /** `--mode json`; the last `--mode` counts. */
  json: boolean;
}

/** What starts workers like the user's own Pi. Plain data: a background run's process is given it. */
export interface HostFacts {
  execPath: string;
  /** The main file of the host's SDK; null in a single-binary host. */
  sdkEntry: string | null;
  extensionPaths: readonly string[];
  noExtensions: boolean;
}

/** Of the Pi this code runs in. */
export async function ownHostFacts(files: Files, cwd: string): Promise<HostFacts> {
  const { extensionPaths, noExtensions } = readHostArguments(process.argv, cwd);
  const sdkEntry = await findSdkEntry(files, process.argv[1]);
  return { execPath: process.execPath, sdkEntry, extensionPaths, noExtensions };
}

export function readHostArguments(argv: readonly string[], cwd: string): HostArguments {
  const extensionPaths: string[] = [];
  let noExtensions = false;
  let json = false;
  argv.forEach((word, at) => {
    const next = argv[at + 1];
    if (word === "--no-extensions" || word === "-ne") noExtensions = true;
    else if (word === "--mode") json = next === "json";
    else if ((word === "-e" || word === "--extension") && next !== undefined) extensionPaths.push(next);
  });
  const absolute = extensionPaths.map((path) => (/^(npm|git|https?):/.test(path) ? path : resolve(cwd, path)));
  return { extensionPaths: absolute, noExtensions, json };
}

/** The main file of the host's SDK: walks up from the script Node runs. Null in a single-binary host. */
export async function findSdkEntry(files: Files, script: string | undefined): Promise<string | null> {
  if (script === undefined || (await files.facts(script)) === null) return null;
  for (let folder = dirname(await files.realPath(script)); ; folder = dirname(folder)) {
    const { name, main } = parseObject(await files.readText(join(folder, "package.json"))) ?? {};
    if (String(name).endsWith("/pi-coding-agent")) return join(folder, String(main ?? "dist/index.js"));
    if (dirname(folder) === folder) return null;
  }
}
