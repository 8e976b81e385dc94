import { encodeTaskRecord, roomForLine } from "../../src/store/task-line.ts";
import type { TaskRecord } from "../../src/store/task-record.ts";

/** A record as the writer makes them, with what a test wants to be otherwise. */
export function taskRecord(own: Partial<TaskRecord> = {}): TaskRecord {
  return {
    v: 1,
    created_at: "2026-11-20T10:00:00.000Z",
    status: "completed",
    duration_seconds: 12.5,
    tokens: 1000,
    cost_usd: 0.25,
    wasted_cost_usd: 0,
    task_type: "executor",
    model: "acme/large",
    project: "shop",
    role: "executor",
    team: "implementation",
    workflow: "default",
    run_id: "run-1",
    task_id: "build",
    node: "host-a",
    exit_code: 0,
    attempts: 1,
    worker_kind: "pi",
    loc_added: null,
    loc_removed: null,
    files_changed: null,
    artifact_hash: null,
    error: null,
    retryable: false,
    ...own,
  };
}

/** Numbers from 0 to 1, the same each time. */
export function dice(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** The `i`-th of many records, at `at`, with durations as agents' tasks have them. */
export function variedRecord(i: number, at: number, random: () => number): TaskRecord {
  const failed = random() < 0.2;
  return taskRecord({
    created_at: new Date(at).toISOString(),
    status: failed ? "failed" : "completed",
    duration_seconds: Math.round(Math.exp(2 + 4 * random()) * 1000) / 1000,
    tokens: Math.floor(random() * 50_000),
    cost_usd: Math.round(random() * 10_000) / 10_000,
    wasted_cost_usd: failed ? 0.01 : 0,
    task_type: `type-${i % 6}`,
    model: `acme/model-${i % 8}`,
    run_id: `run-${Math.floor(i / 8)}`,
    task_id: `task-${i % 8}`,
    error: failed ? 'it said "no"\nand left' : null,
  });
}

export function linesOf(records: readonly TaskRecord[]): string {
  const room = roomForLine();
  return records.map((record) => String(encodeTaskRecord(record, room))).join("");
}
