import { execFile, execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { codeOf, messageOf } from "./errors.ts";
import { environmentOf, startCommand } from "./node-command.ts";
import { NodeForkedProcess } from "./node-fork.ts";
import type { CommandResult, Liveness, Processes, ProcessIdentity, ProcessSight, RunOptions } from "./world.ts";

const commandOutputBytesMax = 64 * 1024 * 1024;
const identityToolMs = 2000;
/** On a machine where processes come and go without an end. */
const LISTINGS_MAX = 20;
/** Of those without an environment: the system's own never have one. */
const BLANK_LOOKS = 3;

/** The real processes. */
export function nodeProcesses(): Processes {
  let self: ProcessIdentity | null = null;
  const own = () => {
    self ??= { ...machine(), pid: process.pid, processStart: lookUp(process.pid)?.start ?? "" };
    return self;
  };
  return {
    self: own,
    alive: (identity) => judge(identity, own()).liveness,
    look: (identity) => judge(identity, own()),
    fork: (options) => new NodeForkedProcess(options),
    start: startCommand,
    killGroup,
    withEnvironment,
    kill: (pid, signal) => signalQuietly(pid, pid, signal),
    run,
  };
}

/**
 * `start` is empty where the system does not tell; null means that no such process can be seen.
 * On Linux the second field of stat is the name in brackets, which may hold spaces and brackets itself.
 */
function lookUp(pid: number): { state: string; start: string } | null {
  if (process.platform === "linux") {
    const stat = readOrEmpty(`/proc/${pid}/stat`);
    if (!stat) return null;
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0] ?? "", start: fields[19] ?? "" };
  }
  if (process.platform !== "darwin") return { state: "", start: "" };
  const line = outputOf("ps", ["-o", "state=,lstart=", "-p", String(pid)]);
  if (!line) return null;
  const space = line.indexOf(" ");
  return { state: line.slice(0, space), start: line.slice(space).trim() };
}

function machine(): Pick<ProcessIdentity, "hostId" | "bootId" | "pidNs"> {
  if (process.platform === "linux")
    return {
      hostId: `${hostname()}/${readOrEmpty("/etc/machine-id").trim()}`,
      bootId: readOrEmpty("/proc/sys/kernel/random/boot_id").trim(),
      pidNs: linkOrEmpty("/proc/self/ns/pid"),
    };
  if (process.platform !== "darwin") return { hostId: hostname(), bootId: "", pidNs: "" };
  const device = outputOf("ioreg", ["-rd1", "-c", "IOPlatformExpertDevice"]);
  const machineId = /"IOPlatformUUID" = "([^"]+)"/.exec(device)?.[1] ?? "";
  return { hostId: `mac/${machineId}`, bootId: outputOf("sysctl", ["-n", "kern.bootsessionuuid"]), pidNs: "" };
}

function judge(identity: ProcessIdentity, own: ProcessIdentity): ProcessSight {
  if (!identity.bootId || !own.bootId || identity.hostId !== own.hostId) return seen("unknown");
  // the same machine was started again since: nothing of the boot before is left
  if (identity.bootId !== own.bootId) return seen(own.hostId.endsWith("/") ? "unknown" : "dead");
  if (identity.pidNs !== own.pidNs) return seen("unknown");
  const found = lookUp(identity.pid);
  if (!found) return seen(exists(identity.pid) ? "unknown" : "dead");
  if (found.state.startsWith("Z") || found.state.startsWith("X")) return seen("dead");
  if (!found.start || !identity.processStart) return seen("unknown");
  if (found.start !== identity.processStart) return seen("dead");
  // by a signal; who is held by a debugger is t on Linux, and goes on with that
  return { liveness: "alive", stopped: found.state.startsWith("T") };
}

function seen(liveness: Liveness): ProcessSight {
  return { liveness, stopped: false };
}

/** Also true for a process of somebody else, which /proc may hide. */
function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== "ESRCH";
  }
}

function killGroup(pid: number, signal: "SIGTERM" | "SIGKILL"): boolean {
  if (process.platform !== "win32") return signalQuietly(pid, -pid, signal);
  return spawnSync("taskkill", ["/T", "/F", "/PID", String(pid)], { stdio: "ignore" }).status === 0;
}

/** Refuses 0, 1 and what is no pid: kill(2) takes those for our own group, init, or everyone. */
function signalQuietly(pid: number, target: number, signal: "SIGTERM" | "SIGKILL"): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 1) return false;
  try {
    return process.kill(target, signal);
  } catch {
    return false; // gone, or not ours
  }
}

/** However many variables, each process's environment is read once: that takes a lock of its memory. */
function withEnvironment(variables: Readonly<Record<string, string>>): number[] {
  const pairs = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  if (process.platform === "darwin")
    return pidsInListing(outputOf("ps", ["-axEww", "-o", "pid=,command="]), pairs).filter((pid) => pid !== process.pid);
  if (process.platform !== "linux") return [];
  const wanted = pairs.map((pair) => Buffer.from(`\0${pair}\0`).toString("latin1"));
  const looked = new Set([process.pid]);
  const found: number[] = [];
  const blank: number[] = [];
  const look = (pid: number) => {
    const environment = `\0${readOrEmpty(`/proc/${pid}/environ`)}`;
    if (environment.length === 1) blank.push(pid);
    else if (wanted.some((pair) => environment.includes(pair))) found.push(pid);
  };
  // one that ended while it was looked for may have started others, which the listing before does not have; and while a
  // process turns into another program it has no environment for a moment
  for (let round = 0; round < LISTINGS_MAX; round++) {
    const fresh = pidsListed().filter((pid) => !looked.has(pid));
    if (fresh.length === 0 && round >= BLANK_LOOKS) break;
    // the newest first: it may be gone the soonest
    for (const pid of [...fresh.reverse(), ...blank.splice(0)]) look(pid);
    for (const pid of fresh) looked.add(pid);
  }
  return found;
}

function pidsListed(): number[] {
  return namesOrNone("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);
}

/** Of lines `pid command environment`, where only blanks end a word, those with one of the pairs `name=value`. */
export function pidsInListing(listing: string, pairs: readonly string[]): number[] {
  return listing.split("\n").flatMap((line) => {
    const pid = /^\s*(\d+) /.exec(line)?.[1];
    return pid && pairs.some((pair) => `${line} `.includes(` ${pair} `)) ? [Number(pid)] : [];
  });
}

function run(command: string, args: readonly string[], options: RunOptions): Promise<CommandResult> {
  const settings = {
    cwd: options.cwd,
    env: environmentOf(options.env ?? {}),
    encoding: options.encoding ?? "utf8",
    timeout: options.timeoutMs,
    killSignal: "SIGKILL" as const,
    maxBuffer: commandOutputBytesMax,
    windowsHide: true,
  };
  return new Promise((resolve) => {
    const child = execFile(command, [...args], settings, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === "number" ? error.code : null) : 0;
      const why = code === null && error ? messageOf(error) : "";
      resolve({ code, stdout, stderr: stderr || why });
    });
    // who does not read it to its end closes the pipe; the exit code tells what that means
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(options.input);
  });
}

function outputOf(command: string, args: string[]): string {
  try {
    return execFileSync(command, args, {
      encoding: "utf8",
      timeout: identityToolMs,
      maxBuffer: commandOutputBytesMax,
      // the date of `ps` follows the locale
      env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C" },
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "";
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return ""; // ended, or somebody else's
  }
}

function namesOrNone(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return []; // too many open files
  }
}

function linkOrEmpty(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
