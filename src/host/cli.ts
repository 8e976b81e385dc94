import { writeSync } from "node:fs";
import { keptRoot } from "../store/layout.ts";
import { RunStore } from "../store/run-store.ts";
import { codeOf, messageOf, UserError } from "../system/errors.ts";
import { nodeWorld } from "../system/node.ts";
import { nodeFiles } from "../system/node-files.ts";
import { safeText } from "../system/safe-text.ts";
import type { World } from "../system/world.ts";
import { renderRun, renderRunList } from "../views/run-summary.ts";
import { renderTimeline } from "../views/timeline.ts";
import { agentFolder } from "./config.ts";
import { packageVersion } from "./package-folder.ts";
import { pictureOf } from "./run-report.ts";

const HELP = `pi-foreman: read the runs of this project without Pi

  pi-foreman runs            the runs, newest first
  pi-foreman status [run]    one run: tasks, costs, timeline ("latest" when none is named)
  pi-foreman metrics         how tasks went: [--window 24h] [--by model|role|team|workflow] [--json]
                             [--project <name>]; several keys with commas: --by model,role;
                             or [--import <file>] to add records kept elsewhere
  pi-foreman serve           runs and metrics in a browser and for Prometheus: [--port 9091] [--host localhost]
  pi-foreman version
  pi-foreman help

Runs are started inside Pi: /team-run <team> "<goal>".`;

const COLUMNS_DEFAULT = 100;
const LISTED_RUNS_MAX = 50;

/** The command line. Resolves with the exit code: 0 done, 1 could not be done, 2 not understood. */
export async function main(words: readonly string[], cwd: string): Promise<number> {
  const [verb = "help", argument = "latest"] = words;
  try {
    if (words.some((word) => word === "--help" || word === "-h")) print([HELP]);
    else if (verb === "runs") print(await runs(cwd));
    else if (verb === "status") print(await status(cwd, argument));
    else if (verb === "metrics")
      await (await import("./cli-metrics.ts")).metrics(silentWorld(), cwd, quoted(words.slice(1)), print);
    else if (verb === "serve") await (await import("./cli-serve.ts")).serve(cwd, quoted(words.slice(1)), print);
    else if (["version", "--version", "-v"].includes(verb)) print([await packageVersion(nodeFiles())]);
    else if (verb === "help") print([HELP]);
    else {
      print([`pi-foreman: there is no "${verb}".`, "", HELP], 2);
      return 2;
    }
    return 0;
  } catch (error) {
    if (!(error instanceof UserError) && codeOf(error) === "") throw error;
    print([error instanceof UserError ? messageOf(error) : `This can't be done: ${messageOf(error)}.`], 2);
    return 1;
  }
}

/** A shell's words as a command's text. */
function quoted(words: readonly string[]): string {
  return words.map((word) => (word.startsWith("--") ? word : JSON.stringify(word))).join(" ");
}

function silentWorld(): World {
  const silent = () => undefined;
  return nodeWorld({ warn: silent, error: silent });
}

async function open(cwd: string) {
  const world = silentWorld();
  const store = new RunStore(world, await keptRoot(world.files, cwd, agentFolder()));
  return {
    store,
    processes: world.processes,
    now: world.clock.now(),
    width: process.stdout.columns ?? COLUMNS_DEFAULT,
  };
}

async function runs(cwd: string): Promise<string[]> {
  const { store, processes, now, width } = await open(cwd);
  const ids = (await store.ids()).slice(0, LISTED_RUNS_MAX);
  const unreadable: string[] = [];
  const failed = (id: string) => (error: unknown) => {
    // one that is just being made has no manifest yet
    if (codeOf(error) !== "unknown-run") unreadable.push(`${id}  unreadable: ${messageOf(error)}`);
    return null;
  };
  const views = await Promise.all(ids.map((id) => store.view(id).catch(failed(id))));
  const pictures = views.flatMap((view) => (view ? [pictureOf(view, cwd, processes, [])] : []));
  const isListed = pictures.length > 0 || unreadable.length === 0;
  return [...(isListed ? renderRunList(pictures, now, width) : []), ...unreadable];
}

async function status(cwd: string, text: string): Promise<string[]> {
  const { store, processes, now, width } = await open(cwd);
  const view = await store.view(await store.find(text));
  const picture = pictureOf(view, cwd, processes, []);
  return [...renderRun(picture, now, width), "", ...renderTimeline(view.state, now, width)];
}

/** The one way out: nothing that is printed can steer the terminal. */
function print(lines: readonly string[], stream: 1 | 2 = 1): void {
  try {
    writeSync(stream, `${safeText(lines.join("\n"), { multiline: true })}\n`);
  } catch (error) {
    // the reader of a pipe has seen enough
    if (codeOf(error) !== "EPIPE") throw error;
  }
}
