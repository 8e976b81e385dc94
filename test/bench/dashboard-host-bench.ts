import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { nodeWorld } from "../../src/system/node.ts";
import { makeAgentFolder } from "../support/agent-folder.ts";
import { TmuxHost, tmuxMissing } from "../support/tmux-host.ts";
import { plantRun } from "./planted-runs.ts";
import { row, sample } from "./timing.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const RUNS = 50;
const TASKS = 1000;
const KEYS = ["2", "Down", "1", "Down", "6", "5", "3", "4"];
const ROUNDS = 80;
const KEY_GOAL_MS = 50;
const IDLE_MS = 10_000;
/** USER_HZ, which Linux shows all programs as 100. */
const TICK_MS = 10;
const KEY_NAME = "a key until the frame has left Pi, 200 × 60";

/** The dashboard in the real Pi, in tmux: from a key to the terminal, and what it costs while nothing goes on. */
export async function benchDashboardInPi(): Promise<void> {
  console.log(`The dashboard in Pi, in tmux: ${RUNS} runs, ${TASKS.toLocaleString("en")} tasks in the newest`);
  if (tmuxMissing) return console.log(`  ${tmuxMissing}`);
  await using agentFolder = await makeAgentFolder();
  const world = nodeWorld({ warn: console.warn, error: console.error });
  const owner = { ...world.processes.self(), nonce: "bench" };
  for (let at = 0; at < RUNS; at++) {
    const runId = `20240101-0000000${at + 10}-00000000`;
    const tasks = at === RUNS - 1 ? TASKS : 20;
    await plantRun(world, join(agentFolder.project, ".crew"), { runId, events: 200, owner, ended: true, tasks });
  }
  await using pi = await TmuxHost.start({ agentFolder, extensions: [PACKAGE], columns: 200, rows: 60 });
  await pi.ready();
  using typist = await pi.typist();
  let at = 0;
  const press = (keys: readonly string[]) => typist.press(keys[at++ % keys.length] ?? "");
  const editor = await sample(ROUNDS, () => press(["a", "b"]));
  row("a key in Pi's own editor until the frame has left Pi", editor, "ms");
  await pi.sendKeys("C-u");
  await pi.submit("/team-dashboard");
  await pi.waitForText("q close");
  row(KEY_NAME, await sample(ROUNDS, () => press(KEYS)), "ms", KEY_GOAL_MS, editor);
  await idle(pi);
}

async function idle(pi: TmuxHost): Promise<void> {
  const pid = await pi.pid();
  // what the last key has left to do
  await sleep(1000);
  const before = await cpuMs(pid);
  await sleep(IDLE_MS);
  const spent = (await cpuMs(pid)) - before;
  console.log(`  ${`CPU of Pi in ${IDLE_MS / 1000} s, open, nothing going on`.padEnd(56)}${spent} ms`);
}

/** User and system time of a process. */
async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}
