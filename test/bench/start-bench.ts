import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import { buildPackage } from "../../build.ts";
import { TOOL_TEXT } from "../../src/host/team-tool.ts";
import { hosts } from "../support/host-paths.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const ROUNDS = 15;
const PRINT_ROUNDS = 7;

/** What the package adds to Pi's start and to every prompt. Medians of fresh processes, interleaved. */
export async function benchStart(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "foreman-bench-"));
  try {
    const empty = join(folder, "empty.ts");
    writeFileSync(empty, "export default function empty(): void {}\n");
    await buildPackage(join(folder, "built"));
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
    const cases = {
      "an empty extension": empty,
      "pi-foreman, compiled": join(folder, "built/index.ts"),
      "pi-foreman, from sources": join(ROOT, "index.ts"),
    };
    const times = Object.entries(cases).map(([name, path]) => ({ name, path, ms: [] as number[] }));
    for (let round = 0; round <= ROUNDS; round++)
      for (const { path, ms } of times) {
        const took = loadOnce(path, folder);
        // the first round warms the loader's cache
        if (round > 0) ms.push(took);
      }
    const base = median(times[0]?.ms ?? []);
    console.log(
      "Loading the package and opening a session in the host (loader's cache warm, median of fresh processes)",
    );
    for (const { name, ms } of times) {
      const added = median(ms) - base;
      const goal = added === 0 ? "" : `   added ${added.toFixed(1)} ms, goal 30 ms, peers 60–150 ms`;
      console.log(`  ${name.padEnd(26)}${median(ms).toFixed(1)} ms${goal}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function loadOnce(extension: string, cwd: string): number {
  const sdk = join(hosts()[0]?.packageFolder ?? "", "dist/index.js");
  const output = execFileSync(process.execPath, [join(import.meta.dirname, "load-once.mjs"), sdk, extension, cwd], {
    encoding: "utf8",
    env: { ...process.env, PI_CODING_AGENT_DIR: join(cwd, "agent"), PI_OFFLINE: "1" },
  });
  return (JSON.parse(output) as { ms: number }).ms;
}

/** A print-mode Pi from its start to its exit, with and without the package. Medians, interleaved. */
export function benchPrint(): void {
  const folder = mkdtempSync(join(tmpdir(), "foreman-bench-"));
  try {
    const noop = join(folder, "noop.ts");
    writeFileSync(
      noop,
      'export default (pi) => pi.registerCommand("noop", { description: "", handler: async () => {} });\n',
    );
    const times = { without: [] as number[], with: [] as number[] };
    for (let round = 0; round <= PRINT_ROUNDS; round++) {
      const [without, full] = [printOnce([noop], folder), printOnce([noop, join(ROOT, "index.ts")], folder)];
      // the first round warms the loader's cache
      if (round === 0) continue;
      times.without.push(without);
      times.with.push(full);
    }
    const [base, full] = [median(times.without), median(times.with)];
    console.log("A print-mode Pi from start to exit");
    console.log(`  without   ${base.toFixed(0)} ms`);
    console.log(`  with      ${full.toFixed(0)} ms   ratio ${(full / base).toFixed(2)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function printOnce(extensions: string[], cwd: string): number {
  const cli = hosts()[0]?.cli ?? "";
  const args = [cli, "-p", "--no-session", "--no-extensions", ...extensions.flatMap((path) => ["-e", path]), "/noop"];
  const env = { ...process.env, PI_CODING_AGENT_DIR: join(cwd, "agent"), PI_OFFLINE: "1" };
  const started = performance.now();
  execFileSync(process.execPath, args, { cwd, env, stdio: "ignore" });
  return performance.now() - started;
}

/** Bytes the host sends with every prompt because of us: the tool, and each skill's name and description. */
export function benchPromptText(): void {
  const tool = Buffer.byteLength(TOOL_TEXT);
  const skills = readdirSync(join(ROOT, "skills")).map((name) => {
    const file = join(ROOT, "skills", name, "SKILL.md");
    const { description } = parse(readFileSync(file, "utf8").split("---")[1] ?? "") as { description: string };
    // as the host writes it into the system prompt
    return Buffer.byteLength(
      `<skill>\n<name>${name}</name>\n<description>${description}</description>\n<location>${file}</location>\n</skill>\n`,
    );
  });
  const skillBytes = skills.reduce((sum, bytes) => sum + bytes, 0);
  console.log("Text in every prompt");
  console.log(`  tool     ${tool} bytes`);
  console.log(`  skills   ${skillBytes} bytes (${skills.length} of them)`);
  console.log(`  together ${tool + skillBytes} bytes   limit 4,096; peers 9,100–16,100`);
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}
