import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { buildPackage } from "../../build.ts";
import { hosts } from "../support/host-paths.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const ROUNDS = 15;

interface Package {
  name: string;
  folder: string;
  /** What has all that counts. */
  core: readonly string[];
}

interface Took {
  coreLoadMs: number;
  coreRunMs: number;
  /** The core not counted. */
  soonMs: number;
  lateMs: number;
}

/** What a session loads after its start, in turn; with what it does first of all with its metrics. */
function loadingIn({ folder, core }: Package): string {
  const imports = core.map((path) => `...(await import("${folder}/${path}"))`).join(", ");
  return `
import foreman from "${folder}/index.ts";
export default async function loading(pi) {
  foreman(pi);
  const times = [performance.now()];
  const lap = () => times.push(performance.now());
  const { createMetricRegistry, registerSessionMetrics, subscribeCrewMetrics } = { ${imports} };
  lap();
  const registry = createMetricRegistry();
  registerSessionMetrics(registry);
  subscribeCrewMetrics(pi.events, registry);
  lap();
  await import("${folder}/src/host/soon.ts");
  lap();
  await import("${folder}/src/host/late.ts");
  lap();
  const [coreLoadMs, coreRunMs, soonMs, lateMs] = times.slice(1).map((at, i) => at - times[i]);
  console.log(JSON.stringify({ coreLoadMs, coreRunMs, soonMs, lateMs }));
}
`;
}

/** What the package costs a session after its start. The fastest of fresh processes, the loader's cache warm. */
export async function benchLoading(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "foreman-bench-"));
  try {
    const built = join(folder, "built");
    await buildPackage(built);
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
    const names = ["crew-metrics", "registry", "session-metrics"];
    const packages: Package[] = [
      { name: "compiled", folder: built, core: ["src/host/metric-core.ts"] },
      {
        name: "from sources",
        folder: ROOT,
        core: names.map((name) => `src/metrics/${name}.ts`),
      },
    ];
    console.log(`Loading after a session's start (fastest of ${ROUNDS} fresh processes, loader's cache warm)`);
    for (const one of packages) tell(one.name, fastest(one, folder));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function fastest(one: Package, folder: string): Took {
  const extension = join(folder, `${one.name.replace(" ", "-")}.ts`);
  writeFileSync(extension, loadingIn(one));
  // the first round warms the loader's cache, and is never the fastest
  const times = Array.from({ length: ROUNDS + 1 }, () => loadOnce(extension, folder));
  const least = (key: keyof Took) => Math.min(...times.map((it) => it[key]));
  return {
    coreLoadMs: least("coreLoadMs"),
    coreRunMs: least("coreRunMs"),
    soonMs: least("soonMs"),
    lateMs: least("lateMs"),
  };
}

function tell(name: string, { coreLoadMs, coreRunMs, soonMs, lateMs }: Took): void {
  console.log(`  ${name}`);
  console.log(
    `    loading the metric core    ${coreLoadMs.toFixed(1)} ms   goal 2 ms ${coreLoadMs <= 2 ? "met" : "MISSED"}`,
  );
  console.log(`    registering all metrics    ${coreRunMs.toFixed(1)} ms`);
  console.log(`    the rest, after 2 s        ${soonMs.toFixed(1)} ms`);
  console.log(`    with the first command     ${lateMs.toFixed(1)} ms`);
}

function loadOnce(extension: string, cwd: string): Took {
  const sdk = join(hosts()[0]?.packageFolder ?? "", "dist/index.js");
  const output = execFileSync(process.execPath, [join(import.meta.dirname, "load-once.mjs"), sdk, extension, cwd], {
    encoding: "utf8",
    env: { ...process.env, PI_CODING_AGENT_DIR: join(cwd, "agent"), PI_OFFLINE: "1" },
  });
  return JSON.parse(output.split("\n")[0] ?? "") as Took;
}
