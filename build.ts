// `npm run build` compiles the package into `dist/`: a package of its own, as it is published.
import { realpathSync } from "node:fs";
import { cp, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { type OutputOptions, rolldown } from "rolldown";

const ROOT = import.meta.dirname;

/** Is the same in both. */
const COPIED = ["agents", "teams", "workflows", "skills", "docs", "README.md", "LICENSE", "CHANGELOG.md"];

/** Read by path. */
const ASSETS = ["src/export/page.html"];

/** Each begins a process of its own, and becomes one file beside the script that starts it. */
const PROCESSES = {
  "src/host/cli": "cli.mjs",
  "src/host/supervisor": "supervisor.mjs",
  "src/workers/wrapper-main": "start.mjs",
};

/** What a session counts with: in a file of its own, so that what it costs can be told from the rest. */
const METRIC_CORE =
  /[\\/]src[\\/]metrics[\\/](buckets|counter|crew-metrics|gauge|histogram|label-set|metric-table|quantile|registry|session-metrics)\.ts$/;

/** What stands in for language that Node 20 has not; the compiler brings it along. */
const LOWERED = "@oxc-project/runtime/";

/**
 * Puts the compiled package in place of what `target` holds. Files keep their folders, so that what is found by its
 * place is found there too.
 */
export async function buildPackage(target: string): Promise<void> {
  const fresh = join(dirname(target), `.${basename(target)}.new`);
  await rm(fresh, { recursive: true, force: true });
  await writePackage(fresh);
  await rm(target, { recursive: true, force: true });
  await rename(fresh, target);
}

async function writePackage(target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  await compile("src/host/extension", "index.ts", target, {
    // the host's loader leaves .js to Node, which knows nothing of the modules that the host lends
    entryFileNames: "[name].ts",
    chunkFileNames: "src/host/[name].ts",
    // the piece that all begins with takes in what the later ones share with it
    codeSplitting: { includeDependenciesRecursively: false, groups: [{ name: "metric-core", test: METRIC_CORE }] },
  });
  for (const [entry, script] of Object.entries(PROCESSES)) {
    await compile(entry, `${entry}.ts`, target, { codeSplitting: false });
    const place = join(dirname(entry), script);
    await writeFile(join(target, place), startingCompiled(await readFile(join(ROOT, place), "utf8")), { mode: 0o755 });
  }
  for (const path of [...COPIED, ...ASSETS]) await cp(join(ROOT, path), join(target, path), { recursive: true });
  await writeFile(join(target, "package.json"), await manifest());
  // later pieces import the first one by its real path, the host by the path it was given: two modules, if it is a link
  await writeFile(join(target, "index.ts"), 'export { default } from "./src/host/extension.ts";\n');
}

async function compile(name: string, source: string, target: string, output: OutputOptions): Promise<void> {
  const bundle = await rolldown({
    input: { [name]: join(ROOT, source) },
    platform: "node",
    transform: { target: "node20.6" },
    external: (id) => !(id.startsWith(".") || isAbsolute(id) || id.startsWith(LOWERED)),
    preserveEntrySignatures: "allow-extension",
  });
  await bundle.write({
    dir: target,
    format: "esm",
    entryFileNames: "[name].js",
    minifyInternalExports: false,
    comments: false,
    ...output,
  });
  await bundle.close();
}

/** A script that starts a process needs no loader for what is compiled. */
function startingCompiled(script: string): string {
  const compiled = script
    .replace(/import \{ createJiti \} from "jiti";\n/, "")
    .replace(/createJiti\(import\.meta\.url\)\.import\("(.+)\.ts"\)/, 'import("$1.js")');
  if (compiled.includes("createJiti")) throw new Error(`this script can't be compiled:\n${script}`);
  return compiled;
}

async function manifest(): Promise<string> {
  const {
    scripts: _scripts,
    devDependencies: _dev,
    private: _private,
    knip: _knip,
    ...rest
  } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  const { jiti: _loader, ...dependencies } = rest.dependencies;
  return `${JSON.stringify({ ...rest, dependencies }, null, 2)}\n`;
}

if (process.argv[1] && realpathSync(process.argv[1]) === import.meta.filename) {
  await buildPackage(resolve(ROOT, "dist"));
  process.stdout.write("dist/ holds the package. A Pi that is open and uses it needs /reload.\n");
}
