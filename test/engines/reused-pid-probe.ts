// A pid given again, in a pid namespace of its own: `unshare -pf --mount-proc node --import tsx reused-pid-probe.ts
// <LocalEngineOptions without world> <AttemptOrder>`. Prints what we make of who has it now.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLocalEngine } from "../../src/engines/local.ts";
import type { AttemptOrder } from "../../src/runs/execute.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { waitUntil } from "../support/processes.ts";

const [options = "{}", orderText = "{}"] = process.argv.slice(2);
const world = nodeWorld({ warn: () => undefined, error: () => undefined });
const engine = createLocalEngine({ ...JSON.parse(options), world });

const startSleep = () => spawn("sleep", ["1000"], { detached: true, stdio: "ignore" });
const pidOf = ({ pid = -1 }: ChildProcess) => pid;
const uptime = () => Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
/** Ticks since boot; empty when it is gone. */
const startOf = (pid: number) => {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    return fields[0] === "Z" ? "" : (fields[19] ?? "");
  } catch {
    return "";
  }
};

async function kill(child: ChildProcess): Promise<void> {
  const exited = new Promise((done) => child.once("exit", done));
  child.kill("SIGKILL");
  await exited;
}

/** Somebody else under the number; our own threads may be quicker at times. */
async function reuse(pid: number): Promise<ChildProcess> {
  for (let tries = 0; tries < 50; tries++) {
    writeFileSync("/proc/sys/kernel/ns_last_pid", String(pid - 1));
    const child = startSleep();
    if (child.pid === pid) return child;
    await kill(child);
  }
  throw new Error(`pid ${pid} was not given again`);
}

const worker = startSleep();
const pid = pidOf(worker);
const identity = { ...world.processes.self(), pid, processStart: startOf(pid) };
const before = world.processes.alive(identity);
await kill(worker);
// start times are told in hundredths of a second
const diedAt = uptime();
await waitUntil(() => uptime() > diedAt + 0.02);
const stranger = await reuse(pid);
const strangersStart = startOf(pid);

const beat = { workerId: "w", lastSeenAt: "2026-01-01T00:00:00.000Z", alive: true, counter: 1 };
const running = { status: "running", workerId: "w", startedAt: "2026-01-01T00:00:00.000Z", lastEventSeq: 1 };

/** What the engine says of an attempt that the dead worker had, and whether the stranger is still there. */
async function take(name: string, signal: AbortSignal, writeState: (path: string) => void) {
  const order: AttemptOrder = JSON.parse(orderText);
  const folder = join(order.folder, name);
  mkdirSync(folder, { recursive: true });
  writeState(join(folder, "state.json"));
  writeFileSync(join(folder, "heartbeat.json"), JSON.stringify({ ...beat, ...identity }));
  const hooks = {
    spawned: () => undefined,
    progress: () => undefined,
    used: () => undefined,
    checkpoint: () => undefined,
  };
  const { outcome, error } = await engine.execute({ ...order, folder }, "w", hooks, signal);
  return { outcome, error: error?.kind, spared: startOf(pid) === strangersStart };
}

const record = (path: string) => writeFileSync(path, JSON.stringify({ ...running, ...identity }));
/** Whoever is taken for alive is ended by then. */
const soon = AbortSignal.timeout(5000);
console.log(
  JSON.stringify({
    samePid: stranger.pid === pid,
    answersSignals: process.kill(pid, 0),
    before,
    after: world.processes.alive(identity),
    stranger: world.processes.alive({ ...identity, processStart: strangersStart }),
    adopted: await take("adopted", soon, record),
    cancelled: await take("cancelled", AbortSignal.abort("cancelled"), record),
    unreadable: await take("unreadable", soon, (path) => mkdirSync(path)),
  }),
);
await engine.dispose();
process.exit(0);
