import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { AttemptOutcome, NewEvent, RunOwner } from "../../src/events/crew-event.ts";
import { createLocalBus } from "../../src/events/local-bus.ts";
import type { RunManifest } from "../../src/runs/manifest.ts";
import { DeadLetters } from "../../src/store/dead-letters.ts";
import { RunStore } from "../../src/store/run-store.ts";
import type { TaskRecord } from "../../src/store/task-record.ts";
import type { Files, World } from "../../src/system/world.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { linesOf } from "../store/sample-tasks.ts";
import type { FakeClock } from "../support/fake-clock.ts";

/** Runs of a project as the real store writes them, without the work. */

interface Attempt {
  outcome: AttemptOutcome | "running";
  ms: number;
  error?: string;
  model?: string;
}

export interface KeptRun extends Partial<RunManifest> {
  runId: string;
  owner?: RunOwner;
  /** Per task; a task without attempts has not begun. Its last attempt's outcome is the task's. */
  attempts: Record<string, Attempt[]>;
  end?: "completed" | "failed" | "cancelled";
}

const TOKENS = { input: 1000, output: 200, cacheRead: 8000, cacheWrite: 0 };
const OWNER = { hostId: "host", bootId: "boot", pidNs: "ns", pid: 1, processStart: "1", nonce: "nonce" };

export async function keepRun(world: World & { clock: FakeClock }, crewRoot: string, kept: KeptRun): Promise<void> {
  const { runId, attempts, end, owner = OWNER, ...asked } = kept;
  const specs = Object.keys(attempts).map((taskId, at, all) =>
    taskSpec(taskId, { kind: "pi", role: `${taskId}er`, dependsOn: at === 0 ? [] : [all[at - 1] ?? ""] }),
  );
  const createdAt = new Date(world.clock.now()).toISOString();
  const manifest = manifestOf(specs, { runId, createdAt, ...asked });
  const bus = createLocalBus((error) => {
    throw error;
  });
  const run = await new RunStore({ ...world, files: withoutSync(world.files) }, crewRoot).create(manifest, bus);
  const { team, workflow } = manifest;
  const publish = (event: NewEvent) => run.publisher.publish(event);
  await run.claim(owner);
  await publish({ type: "crew.run.started", team, workflow });
  for (const { taskId, role } of specs) {
    for (const event of taskEvents(taskId, role, attempts[taskId] ?? [], { team, workflow })) {
      if (typeof event === "number") await world.clock.advance(event);
      else await publish(event);
      if (typeof event === "object" && event.type === "crew.task.deadletter")
        await new DeadLetters(world, crewRoot).add({ runId, taskId, ...event });
    }
  }
  const sums = { taskCount: specs.length, durationMs: 1, tokens: 1, costUsd: 1 };
  if (end === "completed") await publish({ type: "crew.run.completed", status: end, team, workflow, ...sums });
  if (end === "failed") await publish({ type: "crew.run.failed", status: end, team, workflow, ...sums });
  if (end === "cancelled") await publish({ type: "crew.run.cancelled", status: end, team, workflow, ...sums });
  await run.saveSnapshot();
  run.close();
}

/** Many are made quickly when nothing waits for the disk. */
function withoutSync(files: Files): Files {
  const openAppend: Files["openAppend"] = (path) => {
    const handle = files.openAppend(path);
    return { write: (data) => handle.write(data), sync: async () => undefined, close: () => handle.close() };
  };
  return { ...files, openAppend };
}

/** With the milliseconds that pass between them. */
function taskEvents(
  taskId: string,
  role: string,
  attempts: readonly Attempt[],
  { team }: { team: string; workflow: string },
): (NewEvent | number)[] {
  const events: (NewEvent | number)[] = [];
  if (attempts.length === 0) return events;
  const place = { team, role, stepName: taskId, workerKind: "pi" as const };
  events.push({ type: "crew.task.started", taskId, ...place });
  let durationMs = 0;
  attempts.forEach(({ outcome, ms, error, model = "acme/large" }, at) => {
    const attempt = at + 1;
    const which = { taskId, attempt };
    events.push({ type: "crew.task.attempt_started", ...which, workerId: `w-${taskId}`, workerKind: "pi" }, ms);
    durationMs += ms;
    if (outcome === "running") return;
    const failure = error === undefined ? undefined : { kind: "error", message: error };
    const failed = failure ? { error: failure, failureKind: "transient" as const } : {};
    const artifacts = failure
      ? []
      : [{ name: "notes.md", path: "notes.md", bytes: 1234, artifact_hash: "ab".repeat(32) }];
    const spent = { model, tokens: TOKENS, costUsd: 0.0123, artifacts };
    events.push({ type: "crew.task.attempt_finished", ...which, outcome, durationMs: ms, ...spent, ...failed });
    if (at < attempts.length - 1) {
      events.push({
        type: "crew.task.retry_attempt",
        ...which,
        nextAttempt: attempt + 1,
        delayMs: 500,
        failureKind: "transient",
      });
      events.push(500);
      return;
    }
    const facts = {
      team,
      role,
      taskType: role,
      durationMs,
      attempts: attempt,
      model,
      tokens: 9200,
      costUsd: 0.0123,
      artifacts,
    };
    if (outcome === "completed") events.push({ type: "crew.task.completed", taskId, status: "completed", ...facts });
    else {
      const lastError = failure ? { lastError: failure } : {};
      events.push({ type: "crew.task.deadletter", taskId, reason: "max-retries", attempts: attempt, ...lastError });
      events.push({
        type: "crew.task.failed",
        taskId,
        status: "failed",
        ...facts,
        ...(failure ? { error: failure } : {}),
      });
    }
  });
  return events;
}

/** Tasks that ended, as the file of their day has them. */
export async function keepTasks(crewRoot: string, records: readonly TaskRecord[]): Promise<void> {
  const folder = join(crewRoot, "metrics/tasks");
  await mkdir(folder, { recursive: true });
  const days = new Set(records.map((record) => record.created_at.slice(0, 10)));
  for (const day of days) {
    const ofDay = records.filter((record) => record.created_at.startsWith(day));
    await writeFile(join(folder, `${day}.jsonl`), linesOf(ofDay));
  }
}
