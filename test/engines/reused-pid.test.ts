import { execFile, execFileSync } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { openBench } from "./engine-bench.ts";

const PROBE = join(import.meta.dirname, "reused-pid-probe.ts");
const UNSHARE = [...(process.getuid?.() === 0 ? [] : ["-r"]), "-pf", "--mount-proc", "--kill-child"];

/** Why it can't be tried here; empty when it can. */
function obstacle(): string {
  if (process.platform !== "linux") return "only Linux lets the next pid be chosen";
  try {
    execFileSync("unshare", [...UNSHARE, "sh", "-c", "echo 100 > /proc/sys/kernel/ns_last_pid"], { stdio: "pipe" });
    return "";
  } catch (error) {
    return `a pid namespace of one's own is not permitted here: ${String(error).split("\n")[0]}`;
  }
}

const why = obstacle();

it("a pid that was given to somebody else is a dead worker's, and that somebody is never signalled", async (test) => {
  if (why !== "") test.skip(why);
  await using bench = await openBench(() => ({ text: "never asked" }));
  const { world: _world, ...options } = bench.options;
  const args = ["--import", "tsx", PROBE, JSON.stringify(options), JSON.stringify(bench.order())];
  const { stdout } = await promisify(execFile)("unshare", [...UNSHARE, process.execPath, ...args], {
    timeout: 50_000,
  });
  expect(JSON.parse(stdout)).toEqual({
    samePid: true,
    answersSignals: true,
    before: "alive",
    after: "dead",
    stranger: "alive",
    adopted: { outcome: "lost", error: "worker-died", spared: true },
    cancelled: { outcome: "cancelled", error: "cancelled", spared: true },
    unreadable: { outcome: "lost", error: "attempt-unreadable", spared: true },
  });
});
