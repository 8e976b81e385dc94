import { DEFAULT_CONFIG } from "../../src/host/config.ts";
import { runConfigOf } from "../../src/host/run-config.ts";
import type { RunManifest, TaskSpec } from "../../src/runs/manifest.ts";

export function taskSpec(taskId: string, changes: Partial<TaskSpec> = {}): TaskSpec {
  return {
    taskId,
    role: "hand",
    taskType: "work",
    kind: "shell",
    task: `do ${taskId}`,
    command: "true",
    dependsOn: [],
    optional: false,
    timeoutSec: null,
    retry: null,
    reads: [],
    output: [],
    verify: "",
    agent: null,
    ...changes,
  };
}

export function manifestOf(tasks: readonly TaskSpec[], changes: Partial<RunManifest> = {}): RunManifest {
  return {
    schemaVersion: 1,
    runId: "run-1",
    createdAt: "2024-01-01T00:00:00.000Z",
    goal: "the goal",
    team: "team",
    workflow: "flow",
    background: false,
    sessionId: "session",
    resumedFrom: null,
    cwd: "/nowhere",
    maxConcurrency: 4,
    config: runConfigOf(DEFAULT_CONFIG),
    tasks,
    worktrees: null,
    kept: {},
    definitionHashes: {},
    ...changes,
  };
}
