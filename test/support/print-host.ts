import { spawn } from "node:child_process";
import type { AgentFolder } from "./agent-folder.ts";
import { currentHost, type Host } from "./host-paths.ts";
import type { HostEvent } from "./rpc-host.ts";

export interface PrintHostOptions {
  agentFolder: AgentFolder;
  prompt: string;
  /** `-p` (text) unless json. */
  mode?: "text" | "json";
  projectFolder?: string;
  extensions?: string[];
  args?: string[];
  env?: Record<string, string>;
  host?: Host;
  /** The child is killed after it, and the result says so; 60 s unless given. */
  timeoutMs?: number;
}

export interface PrintResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  ms: number;
  timedOut: boolean;
}

export interface PrintHost {
  readonly pid: number;
  readonly done: Promise<PrintResult>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts `pi -p` or `pi --mode json` with stdin closed; the child leads its own process group (`pid`). */
export function startPrintHost(options: PrintHostOptions): PrintHost {
  const { agentFolder, extensions = [], args = [], host = currentHost(), timeoutMs = 60_000 } = options;
  const mode = options.mode === "json" ? ["--mode", "json"] : ["-p"];
  const flags = extensions.flatMap((path) => ["-e", path]);
  const started = performance.now();
  const child = spawn(host.node, [host.cli, ...mode, ...flags, ...args, options.prompt], {
    cwd: options.projectFolder ?? agentFolder.project,
    env: { ...agentFolder.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  const done = new Promise<PrintResult>((resolve, reject) => {
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill("SIGKILL");
    }, timeoutMs);
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      const [stdout, stderr] = [Buffer.concat(out).toString("utf8"), Buffer.concat(err).toString("utf8")];
      resolve({ code, signal, stdout, stderr, ms: performance.now() - started, timedOut });
    });
  });
  return { pid: child.pid ?? -1, done, kill: (signal) => void child.kill(signal) };
}

/** Runs a print-mode host to its end. */
export function runPrint(options: PrintHostOptions): Promise<PrintResult> {
  return startPrintHost(options).done;
}

/** The JSON lines of `--mode json`, message_update left out. Throws on a line that is not JSON. */
export function jsonEvents(stdout: string): HostEvent[] {
  return stdout
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith('{"type":"message_update"'))
    .map((line) => JSON.parse(line) as HostEvent);
}
