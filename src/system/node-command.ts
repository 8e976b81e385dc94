import { spawn } from "node:child_process";
import type { Command, CommandOrder } from "./world.ts";

/** The real `Processes.start`. */
export function startCommand(order: CommandOrder): Command {
  // a pipe for the prompt, and nothing to read for who is told nothing: a command that asks would wait for ever
  const child = spawn(order.command, [...order.args], {
    cwd: order.cwd,
    env: environmentOf(order.env),
    detached: process.platform !== "win32",
    windowsHide: true,
    windowsVerbatimArguments: order.verbatim,
    stdio: [order.stdin === "" ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const { stdout, stderr, stdin } = child;
  stdout?.on("data", order.onStdout);
  stderr?.on("data", order.onStderr);
  // who does not read what it is told has ended, and says so by its exit
  stdin?.on("error", () => undefined);
  stdin?.end(order.stdin);
  let failure: unknown = null;
  const exited = new Promise<{ code: number | null; signal: string | null; failure: unknown }>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal, failure }));
    child.on("error", (error) => {
      failure ??= error;
      if (child.pid === undefined) resolve({ code: null, signal: null, failure });
    });
  });
  const drained = new Promise<void>((resolve) => {
    child.once("close", () => resolve());
    child.once("error", () => resolve());
  });
  return {
    pid: child.pid ?? 0,
    exited,
    drained,
    release: () => {
      stdout?.destroy();
      stderr?.destroy();
    },
  };
}

export function environmentOf(changes: CommandOrder["env"]): NodeJS.ProcessEnv {
  // biome-ignore lint/style/noProcessEnv: what a program is given unless told otherwise, at the moment it starts
  const env = { ...process.env };
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) delete env[name];
    else env[name] = value;
  }
  return env;
}
