import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** A live process; zombies are not listed. */
export interface ProcessEntry {
  pid: number;
  parent: number;
  group: number;
  command: string;
}

/** Where processes can be seen (Linux). Elsewhere the lists below throw: skip such tests. */
export const processesVisible = process.platform === "linux";

/** All live processes of this machine that this user may see. */
export function listProcesses(): ProcessEntry[] {
  if (!processesVisible) throw new Error("Processes can only be listed on Linux; skip unless processesVisible.");
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(Number(name)) ?? []);
}

export function processesInGroup(group: number): ProcessEntry[] {
  return listProcesses().filter((entry) => entry.group === group);
}

/** Processes started with `name=value` in their environment, this one left out. */
export function processesWithEnvironment(name: string, value: string): ProcessEntry[] {
  const wanted = `${name}=${value}`;
  return listProcesses().filter(
    ({ pid }) => pid !== process.pid && readOrEmpty(`/proc/${pid}/environ`).split("\0").includes(wanted),
  );
}

/** Looks until `list` is empty; throws with what is left after `timeoutMs`. */
export function expectGone(list: () => ProcessEntry[], timeoutMs = 5000): Promise<void> {
  const describe = () =>
    list().map(({ pid, parent, group, command }) => `  ${pid} (parent ${parent}, group ${group}) ${command}`);
  return waitUntil(
    () => list().length === 0,
    timeoutMs,
    () => `still alive after ${timeoutMs} ms:\n${describe().join("\n")}`,
  );
}

/** For what has no event to await, such as the end of somebody else's child. */
export async function waitUntil(
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
  complaint: () => string = () => `it did not come to hold within ${timeoutMs} ms: ${holds}`,
): Promise<void> {
  const until = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > until) throw new Error(complaint());
    await sleep(20);
  }
}

/** Kills what is left, for cleaning up after a failed test. Returns how many there were. */
export function killAll(entries: ProcessEntry[]): number {
  for (const { pid } of entries) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // gone in the meantime
    }
  }
  return entries.length;
}

/** What the open file descriptors of a process point to, by number. */
export function openFds(pid: number = process.pid): Map<number, string> {
  const folder = `/proc/${pid}/fd`;
  const found = new Map<number, string>();
  for (const name of readdirSync(folder)) {
    try {
      found.set(Number(name), readlinkSync(`${folder}/${name}`));
    } catch {
      // the descriptor of this very listing
    }
  }
  return found;
}

/** TCP ports on which a process listens. */
export function listeningPorts(pid: number): number[] {
  const inodes = new Set([...openFds(pid).values()].flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []));
  const ports = new Set<number>();
  for (const table of ["tcp", "tcp6"]) {
    for (const line of readOrEmpty(`/proc/${pid}/net/${table}`).split("\n").slice(1)) {
      const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
      if (state === "0A" && inodes.has(inode)) ports.add(Number.parseInt(local.split(":")[1] ?? "0", 16));
    }
  }
  return [...ports].sort((a, b) => a - b);
}

function readProcess(pid: number): ProcessEntry | null {
  const stat = readOrEmpty(`/proc/${pid}/stat`);
  // The second field is the name in brackets; it may hold spaces and brackets itself.
  const [state, parent, group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (!stat || state === "Z" || state === "X") return null;
  const command = readOrEmpty(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
  return { pid, parent: Number(parent), group: Number(group), command };
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // ended, or somebody else's
  }
}
