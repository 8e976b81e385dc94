import type { CrewEvent, NewEvent } from "../../src/events/crew-event.ts";
import { createLocalBus } from "../../src/events/local-bus.ts";
import { subscribeCrewMetrics } from "../../src/metrics/crew-metrics.ts";
import { MetricHistory, STEP_MS } from "../../src/metrics/history.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import { applyEvent } from "../../src/runs/apply-event.ts";
import type { RunManifest, TaskSpec } from "../../src/runs/manifest.ts";
import { initialRunState } from "../../src/runs/run-state.ts";
import type { DeadLetter } from "../../src/store/dead-letter-lines.ts";
import { HEALTHY_LOG } from "../../src/store/run-log-reader.ts";
import type { DashboardView } from "../../src/views/dashboard-view.ts";
import { PLAIN } from "../../src/views/paint.ts";
import type { RunPicture } from "../../src/views/run-summary.ts";
import { readTranscript } from "../../src/views/transcript.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";

/** A view with something in every pane, all of it folded from events, at a moment that stands still. */

export const NOW = Date.UTC(2024, 0, 1, 0, 2);
const BEGAN = NOW - 60_000;
const OWNER = { hostId: "h", bootId: "b", pidNs: "n", pid: 4242, processStart: "1", nonce: "x" };
const PLACE = { team: "team", role: "hand", stepName: "s", workerKind: "pi" } as const;
const TOKENS = { input: 1000, output: 200, cacheRead: 0, cacheWrite: 0 };

interface Step {
  after: number;
  event: NewEvent;
}

/** A task from its start to its end; it still runs when no outcome is given. */
export function taskSteps(taskId: string, from: number, ms: number, outcome: "completed" | "failed" | null): Step[] {
  const at = { taskId, attempt: 1 };
  const workerId = `w-${taskId}`;
  const error = outcome === "failed" ? { error: { kind: "model", message: "400 no such thing\nmore of it" } } : {};
  const end = {
    team: "team",
    role: "hand",
    taskType: "work",
    durationMs: ms,
    attempts: 1,
    tokens: 1200,
    costUsd: 0.012,
  };
  const begin: Step[] = [
    { after: from, event: { type: "crew.task.started", ...at, ...PLACE } },
    { after: from, event: { type: "crew.task.attempt_started", ...at, workerId, workerKind: "pi" } },
    { after: from, event: { type: "crew.subagent.spawned", ...at, workerId, workerKind: "pi", pid: 77 } },
    { after: from + 1, event: { type: "crew.task.progress", ...at, text: "reading 模型 🚀", tool: "bash" } },
  ];
  if (outcome === null) return begin;
  const finished = { outcome, durationMs: ms, model: "mock/m", tokens: TOKENS, costUsd: 0.012, summary: "all is done" };
  return [
    ...begin,
    { after: from + ms, event: { type: "crew.task.attempt_finished", ...at, ...finished, ...error } },
    {
      after: from + ms,
      event:
        outcome === "failed"
          ? { type: "crew.task.failed", status: outcome, ...at, ...end, ...error }
          : { type: "crew.task.completed", status: outcome, ...at, ...end },
    },
  ];
}

export function runOf(manifest: RunManifest, steps: readonly Step[]): RunPicture & { events: CrewEvent[] } {
  const all: Step[] = [
    { after: 0, event: { type: "crew.run.claimed", owner: OWNER } },
    { after: 0, event: { type: "crew.run.started", team: manifest.team, workflow: manifest.workflow } },
    ...steps,
  ];
  const { runId } = manifest;
  const envelope = { v: 1, epoch: 1, runId, traceId: "", spanId: "" };
  const events = all.map(
    ({ after, event }, at) => ({ ...envelope, seq: at + 1, ts: BEGAN + after, ...event }) as CrewEvent,
  );
  const state = events.reduce(applyEvent, initialRunState(manifest));
  return {
    manifest,
    state,
    events,
    health: HEALTHY_LOG,
    standstill: null,
    folder: `.crew/state/runs/${runId}`,
  };
}

const SPECS: readonly TaskSpec[] = [
  taskSpec("plan", { kind: "pi" }),
  taskSpec("build", { kind: "pi", dependsOn: ["plan"] }),
  taskSpec("检查-check", { kind: "pi", dependsOn: ["plan"] }),
  taskSpec("ship", { kind: "pi", dependsOn: ["build", "检查-check"] }),
];

const MESSAGE = { messageId: "m1", direction: "to-worker", from: "s", to: "build", text: "use pnpm\n模型 🚀" } as const;

export function sampleRuns(): [RunPicture, RunPicture, CrewEvent[]] {
  const failed = runOf(manifestOf(SPECS, { runId: "20240101-000000000-0000000a", goal: "模型 🚀 go" }), [
    ...taskSteps("plan", 1000, 9000, "completed"),
    ...taskSteps("build", 10_000, 30_000, null),
    ...taskSteps("检查-check", 10_000, 20_000, "failed"),
    { after: 45_000, event: { type: "crew.mailbox.message", taskId: "build", ...MESSAGE } },
    {
      after: 50_000,
      event: {
        type: "crew.task.heartbeat_level",
        taskId: "build",
        attempt: 1,
        level: "warn",
        previousLevel: "healthy",
        stalenessMs: 31_000,
      },
    },
  ]);
  const old = runOf(manifestOf(SPECS.slice(0, 1), { runId: "20231231-000000000-0000000b" }), [
    ...taskSteps("plan", 0, 5000, "completed"),
    {
      after: 5000,
      event: {
        type: "crew.run.completed",
        status: "completed",
        team: "team",
        workflow: "flow",
        taskCount: 1,
        durationMs: 5000,
        tokens: 1200,
        costUsd: 0.012,
      },
    },
  ]);
  return [failed, old, [...failed.events, ...old.events]];
}

const LETTERS: readonly DeadLetter[] = ["check", "平台-long-name-of-a-task"].map((taskId, at) => ({
  id: `dl-00000000000${at}`,
  runId: "20240101-000000000-0000000a",
  taskId,
  reason: "max-retries",
  attempts: 3,
  lastError: { kind: "model", message: "400 no such thing\nmore" },
  timestamp: new Date(NOW - 90_000 * (at + 1)).toISOString(),
  status: "open",
}));

const LOG = [
  { type: "session" },
  { type: "message_end", message: { role: "user", content: [{ type: "text", text: "STEP:build of it" }] } },
  {
    type: "message_end",
    message: {
      role: "assistant",
      content: [
        { type: "text", text: "I look.\n模型 🚀 and \u001b[31mred\u001b[0m" },
        { type: "toolCall", name: "bash", arguments: { command: "ls -la" } },
      ],
    },
  },
  { type: "tool_execution_start", toolCallId: "1", toolName: "bash" },
  {
    type: "message_end",
    message: { role: "toolResult", isError: false, content: [{ type: "text", text: `${"x".repeat(230)}\nsecond` }] },
  },
  { type: "message_end", message: { role: "assistant", content: [], stopReason: "error", errorMessage: "429 slow" } },
];

export function sampleView(changes: Partial<DashboardView> = {}): DashboardView {
  const [failed, old, events] = sampleRuns();
  const registry = createMetricRegistry();
  const bus = createLocalBus((error) => {
    throw error;
  });
  subscribeCrewMetrics(bus, registry);
  const history = new MetricHistory();
  history.sample(registry.snapshot(), 0);
  for (const event of events) bus.emit(event.type, event);
  history.sample(registry.snapshot(), STEP_MS);
  history.sample(registry.snapshot(), 2 * STEP_MS);
  return {
    pane: "agents",
    now: NOW,
    height: 24,
    paint: PLAIN,
    runs: [failed, old],
    run: 0,
    driver: "this Pi, pid 4242",
    task: 1,
    letters: LETTERS,
    letter: 1,
    silences: new Map([["build", 31_000]]),
    transcript: readTranscript(LOG.map((line) => JSON.stringify(line)).join("\n"), 100),
    scroll: 0,
    metrics: { snapshot: registry.snapshot(), history },
    filter: "",
    prompt: { kind: "none" },
    keys: [
      ["1-6", "pane"],
      ["q", "close"],
    ],
    ...changes,
  };
}
