/**
 * `npm run demo`: a team fixes a bug of a sample project in the real Pi, offline and without a key; only the model is
 * a script. Exit code 0 when the run completed and the sample's test failed before and passes after.
 */
import { parseArgs } from "node:util";
import { currentHost } from "../support/host-paths.ts";
import { processesVisible } from "../support/processes.ts";
import type { TestRun } from "./conversation.ts";
import { openPi, runInHost } from "./in-host.ts";
import { heading, print } from "./printing.ts";
import { Workplace } from "./workplace.ts";

const usage = `npm run demo [-- options]

  --interactive  open the same set-up in Pi itself; the prompt is sent for you, /quit ends it
  --keep         keep the temporary folders and name them
  --fast         the scripted model answers at once
  --without-fix  the scripted executor leaves its edit out: the demo must then fail
  --help`;

/** Of the scripted model: a piece of text takes so long, and it thinks for 20 pieces. */
const paceMs = 18;

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
  const stop = stopSignal(options);
  const place = await Workplace.make({ withoutFix: options.withoutFix, paceMs: options.fast ? 0 : paceMs });
  try {
    return await play(place, options, stop);
  } finally {
    if (options.keep) print(`\nkept: ${place.root}`);
    else {
      await place.folder.dispose();
      print("\nThe temporary folders are removed; --keep keeps them.");
    }
  }
}

/** Signals are asked for only here: whatever they interrupt ends in order. In the TUI Ctrl-C is the host's. */
function stopSignal({ interactive }: Options): AbortSignal {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => {
      if (!(interactive && signal === "SIGINT")) stop.abort();
    });
  return stop.signal;
}

async function play(place: Workplace, options: Options, stop: AbortSignal): Promise<number> {
  heading(`pi-foreman's demo, in ${currentHost().name}`);
  print("The model is a script: no AI, no key, no network, prices made up. All else is real: Pi, the team's");
  print("worker processes, their tools, the files they edit and the tests they run.");
  const before = await place.test();
  showTests("before", before);
  const faults = await perform(place, options, stop);
  if (stop.aborted) return conclude(faults, "stopped");
  const after = await place.test();
  showTests("after", after);
  print();
  print(await place.diff());
  const status = await place.runStatus();
  if (status !== "completed") faults.push(`the run is not completed: ${status ?? "there is none, or it has no end"}`);
  if (before.ok) faults.push("the sample's test did not fail before");
  if (!after.ok) faults.push(`the sample's test still fails: ${after.failures.join("; ")}`);
  return conclude(faults, "done");
}

/** Runs the host to its end, whatever happens; sentences about what went wrong. */
async function perform(place: Workplace, { interactive }: Options, stop: AbortSignal): Promise<string[]> {
  const faults: string[] = [];
  const note = (error: unknown) => void faults.push(error instanceof Error ? error.message : String(error));
  if (interactive) await openPi(place, stop).catch(note);
  else await runInHost(place, stop).then((found) => faults.push(...found), note);
  await place.expectNoProcess().catch(note);
  return faults;
}

function showTests(when: string, { passed, failed, failures }: TestRun): void {
  heading(`The sample's tests ${when}`);
  print(`node --test: ${passed} passed, ${failed} failed`);
  for (const name of failures) print(`  ✗ ${name}`);
}

function conclude(faults: readonly string[], how: "done" | "stopped"): number {
  heading("The end");
  for (const fault of faults) print(`✗ ${fault}`);
  if (how === "stopped") {
    print("Stopped before the run's end.");
    return 130;
  }
  if (faults.length > 0) return 1;
  const left = processesVisible ? " No process is left." : "";
  print(`✓ The run completed; the test failed before and passes after.${left}`);
  return 0;
}

process.exitCode = await main().catch((error: unknown) => {
  print(`✗ ${error instanceof Error ? error.message : String(error)}`);
  return 1;
});
