import { execFileSync, spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, rmSync, statfsSync, writeSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { waitUntil } from "./processes.ts";

/** Faults of the real system: a full disk, a disk that fails. They need rights that not every machine gives. */

function works(command: string, args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Why a test of `what` is skipped here; null where it can run. */
export function missing(what: "mount" | "strace" | "setpriv" | "prlimit"): string | null {
  const tries: Record<typeof what, [string, string[]]> = {
    mount: ["unshare", ["-m", "mount", "-t", "tmpfs", "none", "/mnt"]],
    strace: ["strace", ["-f", "-e", "trace=fdatasync", "true"]],
    setpriv: ["setpriv", ["--reuid=65534", "--clear-groups", "true"]],
    prlimit: ["prlimit", ["--nofile"]],
  };
  const [command, args] = tries[what];
  if (process.platform === "linux" && works(command, args)) return null;
  return `it needs ${command} with the right to use it (${command} ${args.join(" ")} fails here)`;
}

export interface SmallDisk {
  /** Until not a byte more fits. */
  fill(): void;
  /** Makes room again. */
  free(): void;
}

/** A disk of its own at `folder`, which is made; gone after the test, whoever still uses it. */
export async function mountSmallDisk(folder: string, megabytes: number): Promise<SmallDisk> {
  await mkdir(folder, { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m,mode=700`, "none", folder]);
  onTestFinished(() => void execFileSync("umount", ["--lazy", folder]));
  const filler = join(folder, ".filler");
  return {
    fill: () => {
      const file = openSync(filler, "a");
      try {
        for (;;) writeSync(file, new Uint8Array(4096));
      } catch (error) {
        if ((error as { code?: string }).code !== "ENOSPC") throw error;
      } finally {
        closeSync(file);
      }
      if (statfsSync(folder).bavail !== 0) throw new Error(`${folder} is not full`);
    },
    free: () => rmSync(filler),
  };
}

/** From now on the process's calls of `call` fail with `error`, until `mend` resolves. Its children are not touched. */
export async function breakCalls(pid: number, call: string, error: string): Promise<{ mend(): Promise<void> }> {
  const args = ["-f", "-q", "-p", String(pid), "-e", `trace=${call}`, "-e", `inject=${call}:error=${error}`];
  const strace = spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<void>((resolve) => {
    strace.once("exit", () => resolve());
  });
  const mend = async () => {
    strace.kill("SIGINT");
    await ended;
  };
  onTestFinished(mend);
  await waitUntil(() => isTraced(pid));
  return { mend };
}

/** In all its threads: one of the pool that is not yet attached would write unharmed. */
export function isTraced(pid: number): boolean {
  const isFree = (thread: string) => {
    try {
      return /TracerPid:\s*0\b/.test(readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8"));
    } catch {
      return false; // it has ended
    }
  };
  return !readdirSync(`/proc/${pid}/task`).some(isFree);
}
