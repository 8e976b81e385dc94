/**
 * `npm run demo`: a team fixes a bug of a sample project in the real Pi, offline and without a key; only the model is
 * a script. Exit code 0 when the run completed and the sample's test failed before and passes after.
 */
import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { currentHost } from "../support/host-paths.ts";
import { processesVisible } from "../support/processes.ts";
import { RpcHost } from "../support/rpc-host.ts";
import type { TestRun } from "./conversation.ts";
import { heading, indented, print, printPlaces, usd } from "./printing.ts";
import { prompt } from "./script.ts";
import { askMainAgent, type Conversation } from "./team-call.ts";
import { Workplace } from "./workplace.ts";

const usage = `npm run demo [-- options]

  --interactive  open the same set-up in Pi itself; the prompt is sent for you
  --keep         keep the temporary folders and name them
  --fast         the scripted model answers at once
  --without-fix  the scripted executor leaves its edit out: the demo must then fail
  --help`;

const paceMs = 18;
const abortMs = 8000;

interface Options {
  interactive: boolean;
  keep: boolean;
  fast: boolean;
  withoutFix: boolean;
}

async function main(): Promise<number> {
  const flag = { type: "boolean", default: false } as const;
  const { values } = parseArgs({
    options: { interactive: flag, keep: flag, fast: flag, "without-fix": flag, help: flag },
  });
  if (values.help) {
    print(usage);
    return 0;
  }
  const options: Options = { ...values, withoutFix: values["without-fix"] };
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  // in the TUI Ctrl-C is the host's
  if (!options.interactive)
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupt);
  const place = await Workplace.make({ withoutFix: options.withoutFix, paceMs: options.fast ? 0 : paceMs });
  try {
    return await play(place, options, stop.signal);
  } finally {
    if (options.keep) print(`\nkept: ${place.root}`);
    else await place.folder.dispose();
  }
}

async function play(place: Workplace, options: Options, stop: AbortSignal): Promise<number> {
  heading(`pi-foreman's demo, in ${currentHost().name}`);
  print("The model is a script: no AI, no key, no network, prices made up. All else is real: Pi, the team's");
  print("worker processes, their tools, the files they edit and the tests they run.");
  const before = await place.test();
  heading("The sample's tests before");
  printTests(before);
  const faults = await perform(place, options, stop);
  if (stop.aborted) return conclude(faults, "stopped");
  const after = await place.test();
  heading("The sample's tests after");
  printTests(after);
  print();
  print((await place.diff()) || "(no difference)");
  if (before.ok) faults.push("the sample's test did not fail before");
  if (!after.ok) faults.push(`the sample's test still fails: ${after.failures.join("; ")}`);
  return conclude(faults, "done");
}

/** Runs the host to its end, whatever happens; sentences about what went wrong. */
async function perform(place: Workplace, { interactive, keep }: Options, stop: AbortSignal): Promise<string[]> {
  const faults: string[] = [];
  const note = (error: unknown) => void faults.push(error instanceof Error ? error.message : String(error));
  if (interactive) await openPi(place).catch(note);
  else await runInHost(place, keep, stop).then((found) => faults.push(...found), note);
  await place.expectNoProcess().catch(note);
  return faults;
}

async function runInHost(place: Workplace, keep: boolean, stop: AbortSignal): Promise<string[]> {
  const host = await RpcHost.start({ agentFolder: place.folder });
  const giveUp = () => {
    print("stopping …");
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
    if (stop.aborted) return [];
    return await tell(place, host, conversation, keep);
  } finally {
    stop.removeEventListener("abort", giveUp);
    await host.close();
  }
}

async function tell(
  place: Workplace,
  host: RpcHost,
  { team, closing, ...own }: Conversation,
  keep: boolean,
): Promise<string[]> {
  heading("What the main agent says");
  print(closing);
  const { runId, status = "unknown", tokens = 0, costUsd = 0 } = team?.details ?? {};
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
  heading(`Where everything lies${keep ? "" : " (until the end of this demo; --keep keeps it)"}`);
  await printPlaces(place.folder.project, runId);
  return status === "completed" ? [] : [`the run ended as ${status}`];
}

/** Resolves when the user leaves Pi. */
function openPi({ folder }: Workplace): Promise<void> {
  const { cli, node } = currentHost();
  const terminal = Object.fromEntries(
    ["TERM", "COLORTERM", "LANG", "LC_ALL"].flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
  );
  const env = { ...folder.env, ...terminal };
  const child = spawn(node, [cli, prompt], { cwd: folder.project, env, stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`Pi ended with ${signal ?? `exit code ${code}`}`)),
    );
  });
}

function printTests({ passed, failed, failures }: TestRun): void {
  print(`node --test: ${passed} passed, ${failed} failed`);
  for (const name of failures) print(indented(`✗ ${name}`));
}

function conclude(faults: readonly string[], how: "done" | "stopped"): number {
  heading("The end");
  for (const fault of faults) print(`✗ ${fault}`);
  if (how === "stopped") {
    print("Stopped before the run's end.");
    return 130;
  }
  if (faults.length > 0) return 1;
  print(
    `✓ The run completed; the test failed before and passes after.${processesVisible ? " No process is left." : ""}`,
  );
  return 0;
}

process.exitCode = await main().catch((error: unknown) => {
  print(`✗ ${error instanceof Error ? error.message : String(error)}`);
  return 1;
});
