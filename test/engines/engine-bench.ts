import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createLocalEngine, type LocalEngineOptions } from "../../src/engines/local.ts";
import { DEFAULT_CONFIG } from "../../src/host/config.ts";
import { runConfigOf } from "../../src/host/run-config.ts";
import type { AttemptHooks, AttemptOrder, AttemptProgress, TaskEngine } from "../../src/runs/execute.ts";
import type { TaskAgent, TaskSpec } from "../../src/runs/manifest.ts";
import { nodeWorld } from "../../src/system/node.ts";
import type { World } from "../../src/system/world.ts";
import { type AgentFolder, type AgentFolderOptions, makeAgentFolder } from "../support/agent-folder.ts";
import { currentHost } from "../support/host-paths.ts";
import { type ModelServer, type ReplyFunction, startModelServer } from "../support/model-server.ts";
import { expectGone, killAll, processesWithEnvironment } from "../support/processes.ts";

/** A local engine with real wrappers of the current host, a model server, and orders to give. */
export interface EngineBench extends AsyncDisposable {
  readonly folder: AgentFolder;
  readonly server: ModelServer;
  readonly engine: TaskEngine;
  readonly world: World;
  readonly options: LocalEngineOptions;
  order(fields?: {
    prompt?: string;
    values?: Record<string, string>;
    attempt?: number;
    taskId?: string;
    task?: Partial<TaskSpec>;
    agent?: Partial<TaskAgent>;
    cwd?: string;
  }): AttemptOrder;
}

export const quietWorld = () => nodeWorld({ warn: () => undefined, error: () => undefined });

export async function openBench(
  reply: ReplyFunction,
  change: Partial<LocalEngineOptions> & { folder?: AgentFolderOptions } = {},
): Promise<EngineBench> {
  const server = await startModelServer({ reply });
  const folder = await makeAgentFolder({ serverUrl: server.url, ...change.folder });
  const world = quietWorld();
  const host = currentHost();
  const options: LocalEngineOptions = {
    world,
    hostEntry: join(host.packageFolder, "dist/index.js"),
    execPath: host.node,
    agentDir: folder.agent,
    cwd: folder.project,
    extensionPaths: [],
    noExtensions: false,
    env: { ...folder.env, PI_FOREMAN_DEPTH: "1" },
    warmIdleMs: 60_000,
    idleMax: 2,
    ...change,
  };
  const engine = createLocalEngine(options);
  const runId = `run-${randomBytes(4).toString("hex")}`;
  const tagged = () => processesWithEnvironment("FOREMAN_TEST_TAG", folder.tag);
  return {
    folder,
    server,
    engine,
    world,
    options,
    order: (fields = {}) => {
      const taskId = fields.taskId ?? "build";
      const attempt = fields.attempt ?? 1;
      return orderOf(folder, { runId, taskId, attempt, ...fields });
    },
    [Symbol.asyncDispose]: async () => {
      await engine.dispose();
      try {
        await expectGone(tagged, 2000);
      } finally {
        killAll(tagged());
        await server.close();
        await folder.dispose();
      }
    },
  };
}

function orderOf(
  folder: AgentFolder,
  fields: {
    runId: string;
    taskId: string;
    attempt: number;
    prompt?: string;
    values?: Record<string, string>;
    task?: Partial<TaskSpec>;
    agent?: Partial<TaskAgent>;
    cwd?: string;
  },
): AttemptOrder {
  const agent: TaskAgent = {
    name: "executor",
    prompt: "You are the executor of this test.",
    models: [],
    thinking: null,
    tools: null,
    disallowedTools: [],
    skills: null,
    maxTurns: null,
    ...fields.agent,
  };
  const task: TaskSpec = {
    taskId: fields.taskId,
    role: "executor",
    taskType: "executor",
    kind: "pi",
    task: "{goal}",
    command: "",
    dependsOn: [],
    optional: false,
    timeoutSec: null,
    retry: null,
    reads: [],
    output: [],
    verify: "",
    agent,
    ...fields.task,
  };
  const name = `a${String(fields.attempt).padStart(4, "0")}`;
  return {
    manifest: {
      schemaVersion: 1,
      runId: fields.runId,
      createdAt: "2026-01-01T00:00:00.000Z",
      goal: "test",
      team: "default",
      workflow: "default",
      background: false,
      sessionId: "s",
      resumedFrom: null,
      cwd: fields.cwd ?? folder.project,
      maxConcurrency: 2,
      config: runConfigOf(DEFAULT_CONFIG),
      tasks: [task],
      worktrees: null,
      kept: {},
      definitionHashes: {},
    },
    task,
    attempt: fields.attempt,
    prompt: fields.prompt ?? "Do it.",
    values: fields.values ?? {},
    folder: join(folder.project, ".crew/state/runs", fields.runId, "tasks", fields.taskId, name),
    workFolder: fields.cwd ?? folder.project,
    commits: [],
    files: [],
    resumeFromSeq: null,
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  };
}

export interface RecordedHooks extends AttemptHooks {
  readonly workers: { workerId: string; pid: number; adopted: boolean }[];
  readonly told: AttemptProgress[];
}

export function recordHooks(): RecordedHooks {
  const workers: RecordedHooks["workers"] = [];
  const told: AttemptProgress[] = [];
  return {
    workers,
    told,
    spawned: (worker) => workers.push(worker),
    progress: (progress) => told.push(progress),
    used: () => undefined,
    checkpoint: () => undefined,
  };
}

export const never = new AbortController().signal;

export async function makeFolder(path: string): Promise<string> {
  await mkdir(path, { recursive: true });
  return path;
}
