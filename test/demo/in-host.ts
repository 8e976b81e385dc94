import { spawn } from "node:child_process";
import { currentHost } from "../support/host-paths.ts";
import { RpcHost } from "../support/rpc-host.ts";
import { heading, print, printPlaces, usd } from "./printing.ts";
import { prompt } from "./script.ts";
import { askMainAgent, type Conversation } from "./team-call.ts";
import type { Workplace } from "./workplace.ts";

/** From the abort of a run until the host is killed. */
const abortMs = 8000;

/** One prompt in a host over RPC, shown as it goes. Resolves when the host is gone, with what went wrong. */
export async function runInHost(place: Workplace, stop: AbortSignal): Promise<string[]> {
  const host = await RpcHost.start({ agentFolder: place.folder });
  const giveUp = () => {
    print("stopping …");
    // the abort ends the tool call, and that the run with its workers
    host.write({ type: "abort" });
    setTimeout(() => host.kill("SIGKILL"), abortMs).unref();
  };
  stop.addEventListener("abort", giveUp, { once: true });
  try {
    if (stop.aborted) return [];
    heading("The prompt");
    print(`> ${prompt}`);
    heading("The team at work");
    const began = performance.now();
    const conversation = await askMainAgent(host, prompt, (line) => {
      print(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)}s  ${line}`);
    });
    return stop.aborted ? [] : await tell(place, host, conversation);
  } finally {
    stop.removeEventListener("abort", giveUp);
    await host.close();
  }
}

async function tell(place: Workplace, host: RpcHost, { team, closing, ...own }: Conversation): Promise<string[]> {
  heading("What the main agent says");
  print(closing);
  const { runId, tokens = 0, costUsd = 0 } = team?.details ?? {};
  if (!team || team.isError || !runId) return [`no run was made: ${team?.text ?? "the team was not called"}`];
  for (const command of ["/team-status latest", "/team-metrics crew.*"]) {
    const { notices, errors } = await host.command(command);
    heading(command);
    print(notices.join("\n"));
    if (errors.length > 0 || notices.length === 0) return [`${command} failed: ${JSON.stringify(errors)}`];
  }
  heading("What it would have cost");
  print(`team        ${tokens} tokens  ${usd(costUsd)}   (made-up prices of the scripted model)`);
  print(`main agent  ${own.tokens} tokens  ${usd(own.costUsd)}`);
  heading("Where everything lies");
  await printPlaces(place.folder.project, runId);
  return tokens > 0 && costUsd > 0 ? [] : ["the run has no tokens or no cost"];
}

/** The same in Pi's own terminal interface. Resolves when the user has left it. */
export async function openPi({ folder }: Workplace, stop: AbortSignal): Promise<void> {
  const { cli, node } = currentHost();
  const terminal = Object.fromEntries(
    ["TERM", "COLORTERM", "LANG", "LC_ALL"].flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
  );
  const env = { ...folder.env, ...terminal };
  const child = spawn(node, [cli, prompt], { cwd: folder.project, env, stdio: "inherit" });
  const end = () => void child.kill("SIGTERM");
  stop.addEventListener("abort", end, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code, signal) =>
        code === 0 ? resolve() : reject(new Error(`Pi ended with ${signal ?? `exit code ${code}`}`)),
      );
    });
  } finally {
    stop.removeEventListener("abort", end);
  }
}
