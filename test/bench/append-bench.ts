import { appendFileSync, closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NewEvent } from "../../src/events/crew-event.ts";
import { createLocalBus } from "../../src/events/local-bus.ts";
import { type OpenRun, RunStore } from "../../src/store/run-store.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { row, type Spread, spread } from "./timing.ts";

const EVENTS = 4000;
const DURABLE = 200;
const PROGRESS: NewEvent = {
  type: "crew.task.progress",
  taskId: "a",
  attempt: 1,
  text: "Reading the tests. ".repeat(5),
};
/** Changes nothing and is waited for until it is on the disk. */
const ACTED_UPON: NewEvent = { type: "crew.task.heartbeat_dead", taskId: "a", attempt: 1, stalenessMs: 1 };

/** Publishing one event, until the bus has heard it; the run's state is saved meanwhile, as in a session. */
export async function benchAppend(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "foreman-bench-"));
  const world = nodeWorld({ warn: console.warn, error: console.error });
  const bus = createLocalBus((error) => {
    throw error;
  });
  console.log(`One event, published until the bus has heard it; a log of ${EVENTS * 2} in the end`);
  try {
    const store = new RunStore(world, folder);
    const run = await store.create(manifestOf([taskSpec("a")]), bus);
    await run.claim({ ...world.processes.self(), nonce: "n" });
    const path = join(folder, "peer.jsonl");
    const peer = JSON.stringify({ ...PROGRESS, seq: 1, ts: 1, runId: "run-1", traceId: "0".repeat(32) });
    const reopened = await each(EVENTS, () => appendFileSync(path, `${peer}\n`));
    const synced = await each(DURABLE, () => appendSynced(path, `${peer}\n`));
    const survivesTheProcess = "survives this process, not a power cut";
    row(
      `progress: ${survivesTheProcess}`,
      await each(EVENTS, () => run.publisher.publish(PROGRESS)),
      "µs",
      60,
      reopened,
    );
    row("  the same, the next 4,000", await each(EVENTS, () => run.publisher.publish(PROGRESS)), "µs", 60, reopened);
    row("  appendFileSync per event, the same level", reopened, "µs");
    row(
      "acted upon: survives a power cut (fdatasync)",
      await each(DURABLE, () => durable(run, 1)),
      "µs",
      undefined,
      synced,
    );
    row("  8 at once, all of them", await each(DURABLE / 8, () => durable(run, 8)), "µs", undefined, synced);
    row("  open, append, fsync, close per event, the same level", synced, "µs");
    await run.saveSnapshot();
    run.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function durable({ publisher }: OpenRun, atOnce: number): Promise<unknown> {
  return Promise.all(Array.from({ length: atOnce }, () => publisher.publish(ACTED_UPON)));
}

async function each(times: number, work: () => unknown): Promise<Spread> {
  const samples: number[] = [];
  for (let at = 0; at < times; at++) {
    const started = performance.now();
    await work();
    samples.push(performance.now() - started);
    // what waits for the disk gets its turn, as between the events of a session
    if (at % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return spread(samples.slice(times / 4));
}

function appendSynced(path: string, line: string): void {
  const file = openSync(path, "a");
  writeSync(file, line);
  fsyncSync(file);
  closeSync(file);
}
