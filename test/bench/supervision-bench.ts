import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CrewEvent, RunOwner } from "../../src/events/crew-event.ts";
import type { RunService } from "../../src/host/run-service.ts";
import type { ActiveRun } from "../../src/host/shown-run.ts";
import { watchWorkers } from "../../src/host/watch-workers.ts";
import { applyEvent } from "../../src/runs/apply-event.ts";
import { initialRunState, type RunState } from "../../src/runs/run-state.ts";
import { attemptFolder, runPaths } from "../../src/store/layout.ts";
import { type OpenRun, RunStore } from "../../src/store/run-store.ts";
import { HEARTBEAT_THRESHOLDS } from "../../src/supervision/heartbeat.ts";
import { detectInterruptedRuns, type RunFacts } from "../../src/supervision/recovery-plan.ts";
import { nodeWorld } from "../../src/system/node.ts";
import type { World } from "../../src/system/world.ts";
import { readAttemptFacts } from "../../src/workers/attempt-facts.ts";
import { attemptPaths } from "../../src/workers/attempt-folder.ts";
import { beat, type PlantedRun, plantRun } from "./planted-runs.ts";
import { row, type Spread, sample } from "./timing.ts";

const world = nodeWorld({ warn: console.warn, error: console.error });
const LENGTHS = [200, 2000];
/** The owner saves its state every 200 events: half of that is what its successor has to fold, typically. */
const TAIL = 100;
const ROUNDS = 61;

const living: RunOwner = { ...world.processes.self(), nonce: "n" };
const gone: RunOwner = { ...living, processStart: "1" };
const isAlive = (owner: RunOwner) => world.processes.alive(owner) === "alive";

type Planted = Omit<PlantedRun, "runId"> & { count: number; name: string };

/** Runs in a folder that is gone afterwards. */
async function withRuns(planted: Planted[], work: (crewRoot: string, runs: OpenRun[]) => Promise<void>): Promise<void> {
  const crewRoot = mkdtempSync(join(tmpdir(), "foreman-bench-"));
  try {
    const runs: OpenRun[] = [];
    for (const { count, name, ...one } of planted)
      for (let at = 0; at < count; at++) runs.push(await plantRun(world, crewRoot, { ...one, runId: `${name}-${at}` }));
    await work(crewRoot, runs);
  } finally {
    rmSync(crewRoot, { recursive: true, force: true });
  }
}

/** One look of the real watcher at the workers of the runs this process drives. */
export async function benchTick(): Promise<void> {
  console.log("A look at the heartbeats");
  for (const events of LENGTHS)
    await withRuns([{ count: 50, name: "run", events, owner: living }], async (crewRoot, runs) => {
      const rival = await reread(runs, events > 1000 ? 3 : 21);
      row(`50 runs of ${events} events, all heartbeats new`, await tick(crewRoot, runs, "new"), "ms", 0.8, rival.all);
      row("  none new, for the first time", await tick(crewRoot, runs, "once"), "ms", 0.8, rival.all);
      row("  all silent: every process is asked for", await tick(crewRoot, runs, "silent"), "ms", undefined, rival.all);
      row("  full re-read per tick: manifest, log, heartbeat", rival.all, "ms");
      row("  re-read per tick: manifest, state, heartbeat", rival.withoutLog, "ms");
    });
  await withRuns([{ count: 1000, name: "run", events: 20, owner: living }], async (crewRoot, runs) => {
    const { all } = await reread(runs, 5);
    row("1,000 runs of 20 events, all heartbeats new", await tick(crewRoot, runs, "new"), "ms", 16, all);
  });
}

async function tick(crewRoot: string, runs: readonly OpenRun[], beats: "new" | "once" | "silent"): Promise<Spread> {
  let look: () => void = () => undefined;
  const clock: World["clock"] = {
    ...world.clock,
    every: (_ms, fire) => {
      look = fire;
      return { [Symbol.dispose]: () => undefined };
    },
  };
  const service = { active: runs.map((run) => ({ run }) as ActiveRun), store: { crewRoot } } as unknown as RunService;
  const watcher = watchWorkers({ ...world, clock }, service, 5000, () => undefined);
  const looked = async () => {
    look();
    // a look is a chain of promises that waits for nothing
    await new Promise((resolve) => setImmediate(resolve));
  };
  let counter = 1;
  const before = async () => {
    if (beats === "silent") return;
    counter++;
    for (const { manifest } of runs) beat(attemptFolder(crewRoot, manifest.runId, "task-0", 1), counter);
    if (beats === "once") await looked();
  };
  const spread = await sample(ROUNDS, looked, before);
  await watcher.dispose();
  return spread;
}

/** What a watcher does that keeps nothing between two looks. */
async function reread(runs: readonly OpenRun[], rounds: number): Promise<{ all: Spread; withoutLog: Spread }> {
  const json = (path: string) => JSON.parse(readFileSync(path, "utf8"));
  const small = ({ manifest, folder }: OpenRun) => {
    const paths = runPaths(join(folder, "../../.."), manifest.runId);
    const attempt = attemptPaths(join(folder, "tasks/task-0/a0001"));
    json(paths.manifest);
    json(attempt.heartbeat);
    world.processes.alive(json(attempt.state));
    return paths;
  };
  const all = () => {
    for (const run of runs) foldText(readFileSync(small(run).events, "utf8"), run);
  };
  const withoutLog = () => {
    for (const run of runs) json(small(run).state);
  };
  return { all: await sample(rounds, all), withoutLog: await sample(21, withoutLog) };
}

function foldText(text: string, { manifest }: OpenRun): RunState {
  const events = text.split("\n").filter(Boolean);
  return events.map((line) => JSON.parse(line) as CrewEvent).reduce(applyEvent, initialRunState(manifest));
}

/** Which runs need somebody, and what their plan is. */
export async function benchDetection(): Promise<void> {
  console.log(`Detection of interrupted runs, ${TAIL} events after state.json was saved`);
  for (const events of LENGTHS)
    for (const [owner, expected] of [[living, 0] as const, [gone, 50] as const]) {
      const planted = { count: 50, name: "run", events, tail: TAIL, owner };
      await withRuns([planted], async (crewRoot, runs) => {
        const rival = await rescan(runs);
        const name = `50 runs of ${events} events, owner ${expected ? "gone" : "alive"}`;
        row(name, await sample(ROUNDS, () => unended(new RunStore(world, crewRoot), expected)), "ms", 2, rival);
        if (expected)
          row("  and the plan for all 50", await sample(11, () => planAll(crewRoot, 50)), "ms", undefined, rival);
        row("  full re-read of each run", rival, "ms");
      });
    }
  const ended = { count: 950, name: "ended", events: 100, owner: living, ended: true };
  const driven = { count: 50, name: "run", events: 200, tail: TAIL, owner: living };
  await withRuns([ended, driven], async (crewRoot, runs) => {
    const rival = await rescan(runs);
    const first = await sample(ROUNDS, () => unended(new RunStore(world, crewRoot), 0));
    const store = new RunStore(world, crewRoot);
    row("1,000 runs, 950 of them ended: a session's first look", first, "ms", undefined, rival);
    row("  every later look", await sample(ROUNDS, () => unended(store, 0)), "ms", undefined, rival);
    row("  full re-read of each run", rival, "ms");
  });
}

async function unended(store: RunStore, expected: number): Promise<void> {
  const found = await store.unended(isAlive);
  if (found.length !== expected) throw new Error(`${found.length} runs were found, not ${expected}`);
}

async function planAll(crewRoot: string, expected: number): Promise<void> {
  const store = new RunStore(world, crewRoot);
  const facts = (await store.unended(isAlive)).map(async (id): Promise<RunFacts> => {
    const { state, seq, writtenAt } = await store.view(id);
    const worker = await readAttemptFacts(world, attemptFolder(crewRoot, id, "task-0", 1));
    const workers = [{ taskId: "task-0", attempt: 1, ...worker }];
    const owner = state.owner === null ? "unknown" : world.processes.alive(state.owner);
    return { state, lastEventSeq: seq, lastEventAt: writtenAt, owner, workers, deadMs: HEARTBEAT_THRESHOLDS.deadMs };
  });
  const plans = detectInterruptedRuns(await Promise.all(facts), world.clock.now());
  if (plans.length !== expected) throw new Error(`${plans.length} runs were interrupted, not ${expected}`);
}

/** What is done where nothing but the files is known: each manifest, and each log from its begin. */
function rescan(runs: readonly OpenRun[]): Promise<Spread> {
  return sample(3, () => {
    for (const run of runs) {
      JSON.parse(readFileSync(join(run.folder, "manifest.json"), "utf8"));
      const { owner } = foldText(readFileSync(join(run.folder, "events.jsonl"), "utf8"), run);
      if (owner) world.processes.alive(owner);
    }
  });
}
