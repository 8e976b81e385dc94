import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { installSecondHost } from "./install-hosts.ts";

/**
 * `npm run test:hosts`: the tests that drive a real Pi, in both hosts one after the other: the scope this package is at
 * home in, under this Node, and its successor under the Node it asks for. Exits with 1 when one of them fails.
 */

const ROOT = resolve(import.meta.dirname, "../..");
const TESTS = process.argv.length > 2 ? process.argv.slice(2) : ["test/host"];

function run(name: string, env: Record<string, string>): boolean {
  console.log(`\n== ${name}\n`);
  const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
  const args = [vitest, "run", "--config", "test/vitest.config.ts", ...TESTS];
  return (
    spawnSync(process.execPath, args, { cwd: ROOT, stdio: "inherit", env: { ...process.env, ...env } }).status === 0
  );
}

const second = installSecondHost();
const results = [
  run(`@mariozechner/pi-coding-agent, Node ${process.versions.node}`, {}),
  run("@earendil-works/pi-coding-agent, its own Node", {
    FOREMAN_TEST_HOST_CLI: second.cli,
    FOREMAN_TEST_HOST_NODE: second.node,
  }),
];
process.exitCode = results.every(Boolean) ? 0 : 1;
