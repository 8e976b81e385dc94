import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createCorrelation } from "../../src/events/correlation.ts";
import { createLocalBus } from "../../src/events/local-bus.ts";
import { RunService } from "../../src/host/run-service.ts";
import { Slots } from "../../src/runs/slots.ts";
import { DeadLetters } from "../../src/store/dead-letters.ts";
import { RunStore } from "../../src/store/run-store.ts";
import { type EngineBench, openBench } from "../engines/engine-bench.ts";
import { startPrintHost } from "../support/print-host.ts";
import { processesWithEnvironment, waitUntil } from "../support/processes.ts";
import { row, spread } from "./timing.ts";

const ROUNDS = 9;
const WARM_IDLE_MS = 4000;
/** No model answers at once: the first of eight would end while the last begins. */
const ANSWER_MS = 300;

/**
 * From `crew.task.ready` to the worker's first request at a loopback model server: whole runs, logs synced. Beside it,
 * in turn, what a process for each attempt costs: from the start of `pi --mode json` to the same request.
 */
export async function benchWorkers(): Promise<void> {
  for (const atOnce of [1, 8]) {
    await using bench = await openBench(() => ({ text: "ok", delayMs: ANSWER_MS }), { idleMax: 8 });
    const drive = driver(bench);
    await drive("warming", atOnce);
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      // between two steps of a run a worker has time to get the services of its next session ready
      await sleep(500);
      ours.push(...(await drive(`ours-${round}`, atOnce)));
      theirs.push(...(await freshProcesses(bench, `theirs-${round}`, atOnce)));
    }
    const rival = spread(theirs);
    row(`ready to first request, ${atOnce} at once, warm worker`, spread(ours), "ms", 50, rival);
    row(`  a fresh pi process per attempt, ${atOnce} at once`, rival, "ms");
  }
}

/** Starts a run of so many tasks and gives the milliseconds of each, by the moment its task was ready. */
function driver(bench: EngineBench): (name: string, tasks: number) => Promise<number[]> {
  const { world, engine, folder } = bench;
  const bus = createLocalBus((error) => {
    throw error;
  });
  const readyAt = new Map<string, number>();
  bus.on("crew.task.ready", (event) => readyAt.set((event as { taskId: string }).taskId, performance.now()));
  const crewRoot = join(folder.project, ".crew");
  const runs = new RunService({
    world,
    bus,
    store: new RunStore(world, crewRoot),
    engine,
    slots: new Slots(8),
    sessionId: "bench",
    redact: (text) => text,
    afterFailure: () => () => ({ giveUp: true, deadLetter: null }),
    correlation: createCorrelation(),
    deadLetters: new DeadLetters(world, crewRoot),
    deadLetterAlert: async () => undefined,
    notify: () => undefined,
  });
  return async (name, tasks) => {
    const { manifest, task } = bench.order();
    const specs = Array.from({ length: tasks }, (_, at) => ({
      ...task,
      taskId: `${name}-${at}`,
      task: `I am ${name}-${at}.`,
    }));
    const active = await runs.start({
      ...manifest,
      runId: `${manifest.runId}-${name}`,
      tasks: specs,
      maxConcurrency: 8,
    });
    const end = await active.done;
    if (end.kind !== "completed") throw new Error(`the run ended as ${JSON.stringify(end)}`);
    return specs.map(({ taskId }) => askedAt(bench, taskId) - (readyAt.get(taskId) ?? Number.NaN));
  };
}

function askedAt({ server }: EngineBench, name: string): number {
  const found = server.requests.find(({ request }) => JSON.stringify(request.messages).includes(`I am ${name}.`));
  return found?.startedAt ?? Number.NaN;
}

async function freshProcesses(bench: EngineBench, name: string, atOnce: number): Promise<number[]> {
  const startedAt = performance.now();
  const names = Array.from({ length: atOnce }, (_, at) => `${name}-${at}`);
  const hosts = names.map((one) =>
    startPrintHost({ agentFolder: bench.folder, prompt: `I am ${one}.`, mode: "json", args: ["--no-session"] }),
  );
  await Promise.all(hosts.map(({ done }) => done));
  return names.map((one) => askedAt(bench, one) - startedAt);
}

/** Resident memory of the workers that wait, and whether it is given back. */
export async function benchPool(): Promise<void> {
  console.log(`Memory of idle workers; at most 2 are kept, for ${WARM_IDLE_MS / 1000} s here`);
  await using bench = await openBench(() => ({ text: "ok" }), { idleMax: 2, warmIdleMs: WARM_IDLE_MS });
  const workers = () => processesWithEnvironment("FOREMAN_TEST_TAG", bench.folder.tag);
  const show = (when: string) => {
    const each = workers().map(({ pid }) => proportionalMiB(pid));
    const sum = each.reduce((total, one) => total + one, 0);
    console.log(
      `  ${when.padEnd(34)}${each.length} workers, ${sum.toFixed(0)} MiB (${each.map((one) => one.toFixed(0)).join(" ")})`,
    );
  };
  show("before the first run");
  await driver(bench)("eight", 8);
  await waitUntil(() => workers().length <= 2);
  show("after 8 attempts at once");
  for (let more = 0; more < 20; more++) await driver(bench)(`more-${more}`, 2);
  await waitUntil(() => workers().length <= 2);
  show("after 40 more attempts");
  const idleSince = performance.now();
  await waitUntil(() => workers().length === 0, 30_000);
  show(`idle for ${((performance.now() - idleSince) / 1000).toFixed(1)} s`);
}

/** Pages shared with others are counted in parts (PSS). */
function proportionalMiB(pid: number): number {
  const kib = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
  return Number(kib) / 1024;
}
