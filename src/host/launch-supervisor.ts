import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { messageOf, UserError } from "../system/errors.ts";
import type { ChildProcess, Clock, World } from "../system/world.ts";
import { definedEnvironment, ENV } from "./config.ts";
import type { Resumption } from "./resumption.ts";
import type { RunsHome } from "./runs-home.ts";
import { isSupervisorMessage, type SupervisorOrder } from "./supervisor-order.ts";

const SCRIPT = fileURLToPath(new URL("./supervisor.mjs", import.meta.url));
/** Loading and claiming takes a second; a busy machine and a slow disk take longer. */
const LAUNCH_MS_MAX = 60_000;
/** Of a killed process: what it waits for in the kernel may hold it up. */
const GOING_MS_MAX = 10_000;
const WORDS_CHARS_MAX = 500;

/**
 * Starts the process that drives a background run, and leaves it alone. Resolves when it owns the run. Throws a
 * UserError when it does not come to that; nothing of it is then left.
 */
export async function launchSupervisor(home: RunsHome, runId: string, resumption: Resumption | null): Promise<void> {
  const { world, cwd, agentDir, id: sessionId } = home;
  const folder = join(agentDir, "crew", "workers");
  const outputFile = join(folder, `supervisor-${runId}-${world.random.hex(3)}.log`);
  try {
    await world.files.makeFolder(folder);
    const host = await home.hostFacts();
    const order: SupervisorOrder = { runId, cwd, agentDir, sessionId, host, outputFile, resumption };
    const args = [SCRIPT, JSON.stringify(order)];
    const { execPath } = host;
    const child = world.processes.fork({ execPath, args, cwd, env: definedEnvironment(ENV), outputFile });
    await awaitDriving(world, child, outputFile);
  } catch (error) {
    const why = messageOf(error);
    const message = `The process that drives background run ${runId} could not be started: ${why}`;
    throw new UserError("no-supervisor", message, { cause: error });
  }
}

async function awaitDriving(world: World, child: ChildProcess, outputFile: string): Promise<void> {
  const refusal = await refusalOf(world, child);
  if (refusal === null) return child.detach();
  world.processes.killGroup(child.pid, "SIGKILL");
  // it may own the run, which nobody can take as long as it lives
  await within(world.clock, GOING_MS_MAX, child.exited);
  child.detach();
  const words = (await world.files.readText(outputFile).catch(messageOf))?.trim().slice(-WORDS_CHARS_MAX) ?? "";
  await world.files.remove(outputFile);
  throw new Error(words ? `${refusal} Its last words: ${words}` : refusal);
}

/** Null when it drives the run. */
async function refusalOf({ clock }: World, child: ChildProcess): Promise<string | null> {
  const told = new Promise<string | null>((resolve) => {
    child.onMessage((message) => {
      if (isSupervisorMessage(message)) resolve(message.type === "driving" ? null : message.message);
    });
  });
  const gone = child.exited.then(({ code, signal }) => `It ended before it began (${signal ?? `exit code ${code}`}).`);
  const said = await within(clock, LAUNCH_MS_MAX, Promise.race([told, gone]));
  return said === undefined ? `It did not begin within ${LAUNCH_MS_MAX / 1000} s.` : said;
}

/** Undefined when it took longer. */
async function within<T>(clock: Clock, ms: number, what: Promise<T>): Promise<T | undefined> {
  const waited = new AbortController();
  try {
    return await Promise.race([what, clock.sleep(ms, waited.signal).then(() => undefined)]);
  } finally {
    waited.abort();
  }
}
