import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import type { RunOwner } from "../../src/events/crew-event.ts";
import { createLocalBus } from "../../src/events/local-bus.ts";
import { attemptFolder, runPaths } from "../../src/store/layout.ts";
import { type OpenRun, RunStore } from "../../src/store/run-store.ts";
import type { Files, World } from "../../src/system/world.ts";
import { attemptPaths } from "../../src/workers/attempt-folder.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";

/** Runs with a long history, written by the real store; made fast because nothing waits for the disk. */

export interface PlantedRun {
  runId: string;
  /** Progress events after the first few. */
  events: number;
  /** Of these, written after `state.json` was saved last. */
  tail?: number;
  owner: RunOwner;
  ended?: boolean;
  /** Every one of them has an attempt under way. */
  tasks?: number;
}

const PROGRESS = "Reading the modules that the change touches, then the tests that hold them in their place. ".repeat(
  2,
);
const END = { team: "t", workflow: "w", taskCount: 1, durationMs: 1, tokens: 1, costUsd: 0 };

export async function plantRun(world: World, crewRoot: string, planted: PlantedRun): Promise<OpenRun> {
  const { runId, events, tail = 0, owner, ended = false } = planted;
  const bus = createLocalBus((error) => {
    throw error;
  });
  const statePath = runPaths(crewRoot, runId).state;
  const names = Array.from({ length: planted.tasks ?? 1 }, (_, at) => `task-${at}`);
  const manifest = manifestOf(
    names.map((name) => taskSpec(name)),
    { runId },
  );
  const run = await new RunStore({ ...world, files: withoutSync(world.files) }, crewRoot).create(manifest, bus);
  await run.claim(owner);
  const { publish } = run.publisher;
  await publish({ type: "crew.run.started", team: "t", workflow: "w" });
  for (const taskId of names) {
    const place = { team: "t", role: "r", stepName: taskId, workerKind: "shell" as const };
    await publish({ type: "crew.task.started", taskId, ...place });
    await publish({
      type: "crew.task.attempt_started",
      taskId,
      attempt: 1,
      workerId: `w-${taskId}`,
      workerKind: "shell",
    });
    await publish({
      type: "crew.subagent.spawned",
      taskId,
      attempt: 1,
      pid: owner.pid,
      workerId: `w-${taskId}`,
      workerKind: "shell",
    });
    plantAttempt(world, crewRoot, runId, taskId);
  }
  let then: Buffer | null = null;
  for (let at = 0; at < events; at++) {
    if (at === events - tail) {
      await run.saveSnapshot();
      then = readFileSync(statePath);
    }
    await publish({ type: "crew.task.progress", taskId: names[at % names.length] ?? "", attempt: 1, text: PROGRESS });
  }
  if (ended) await publish({ type: "crew.run.completed", status: "completed", ...END });
  await run.saveSnapshot();
  if (then) writeFileSync(statePath, then);
  run.close();
  return run;
}

/** A worker at work, as its wrapper shows it; its process is this one. */
function plantAttempt({ processes }: World, crewRoot: string, runId: string, taskId: string): void {
  const folder = attemptFolder(crewRoot, runId, taskId, 1);
  mkdirSync(folder, { recursive: true });
  const state = { status: "running", workerId: `w-${taskId}`, ...processes.self(), startedAt: "x", lastEventSeq: 0 };
  writeFileSync(attemptPaths(folder).state, JSON.stringify(state));
  beat(folder, 1);
}

/** As a worker does it, but for the sync. */
export function beat(folder: string, counter: number): void {
  const { heartbeat } = attemptPaths(folder);
  const lastSeenAt = new Date(1_700_000_000_000 + counter).toISOString();
  const sign = { workerId: "w", lastSeenAt, alive: true, pid: process.pid, processStart: "1", counter };
  writeFileSync(`${heartbeat}.tmp`, JSON.stringify(sign));
  renameSync(`${heartbeat}.tmp`, heartbeat);
}

function withoutSync(files: Files): Files {
  return {
    ...files,
    openAppend: (path) => {
      const handle = files.openAppend(path);
      return { write: (data) => handle.write(data), sync: async () => undefined, close: () => handle.close() };
    },
  };
}
