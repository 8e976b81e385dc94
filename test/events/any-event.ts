import fc from "fast-check";
import { spanIdsOf } from "../../src/events/correlation.ts";
import type {
  ArtifactRecord,
  CrewEvent,
  CrewEventFields,
  CrewEventType,
  EventError,
  RunOwner,
  TokenCounts,
} from "../../src/events/crew-event.ts";

/** Any event at all, with the texts that have broken line formats before. */

const NASTY = ["\u2028", "\u2029", "\ud800", "\udfff", "\ufffd", "\n", "\r\n", "\0", '"', "\\", ',"crc":', '{"crc":1}'];

export const anyText = fc
  .array(fc.oneof(fc.string({ unit: "binary", maxLength: 8 }), fc.constantFrom(...NASTY)), { maxLength: 4 })
  .map((parts) => parts.join(""));

const count = fc.nat();
const wallMs = fc.integer({ min: 0, max: 4_000_000_000_000 });
const money = fc.integer({ min: 0, max: 64_000 }).map((sixtyFourths) => sixtyFourths / 64);
const flag = fc.boolean();
const workerKind = fc.constantFrom("pi" as const, "shell" as const, "git" as const, "codex" as const);
const failureKind = fc.constantFrom("transient" as const, "permanent" as const, "lost" as const, "cancelled" as const);
const outcome = fc.constantFrom(
  "completed" as const,
  "failed" as const,
  "blocked" as const,
  "lost" as const,
  "cancelled" as const,
);
const level = fc.constantFrom("healthy" as const, "warn" as const, "stale" as const, "dead" as const);

export const anyOwner: fc.Arbitrary<RunOwner> = fc.record({
  hostId: anyText,
  bootId: anyText,
  pidNs: anyText,
  pid: count,
  processStart: anyText,
  nonce: anyText,
});
const error: fc.Arbitrary<EventError> = fc.record({ kind: anyText, message: anyText });
const tokens: fc.Arbitrary<TokenCounts> = fc.record({
  input: count,
  output: count,
  cacheRead: count,
  cacheWrite: count,
});
const artifact: fc.Arbitrary<ArtifactRecord> = fc.record({
  name: anyText,
  path: anyText,
  bytes: count,
  artifact_hash: anyText,
});
const artifacts = fc.array(artifact, { maxLength: 2 });
const names = fc.array(anyText, { maxLength: 3 });

function runEnd<S extends string>(status: S) {
  return fc.record(
    {
      team: anyText,
      workflow: anyText,
      status: fc.constant(status),
      taskCount: count,
      durationMs: count,
      tokens: count,
      costUsd: money,
      reason: anyText,
    },
    { requiredKeys: ["team", "workflow", "status", "taskCount", "durationMs", "tokens", "costUsd"] },
  );
}

function taskEnd<S extends string>(status: S) {
  return fc.record(
    {
      team: anyText,
      role: anyText,
      taskType: anyText,
      status: fc.constant(status),
      durationMs: count,
      finishedAt: wallMs,
      attempts: count,
      tokens: count,
      costUsd: money,
      model: anyText,
      artifacts,
      error,
    },
    {
      requiredKeys: ["team", "role", "taskType", "status", "durationMs", "attempts", "tokens", "costUsd"],
    },
  );
}

const place = fc.record({ team: anyText, role: anyText, stepName: anyText, workerKind });
const subagent = fc.record({ workerId: anyText, pid: count, workerKind });

/** Does not compile when an event is missing. */
const FIELDS: { readonly [T in CrewEventType]: fc.Arbitrary<CrewEventFields[T]> } = {
  "crew.run.created": fc.record(
    {
      team: anyText,
      workflow: anyText,
      goal: anyText,
      taskCount: count,
      background: flag,
      sessionId: anyText,
      resumedFrom: anyText,
    },
    { requiredKeys: ["team", "workflow", "goal", "taskCount", "background", "sessionId"] },
  ),
  "crew.run.claimed": fc.record({ owner: anyOwner }),
  "crew.run.released": fc.record({ reason: anyText }),
  "crew.run.started": fc.record({ team: anyText, workflow: anyText }),
  "crew.run.completed": runEnd("completed"),
  "crew.run.failed": runEnd("failed"),
  "crew.run.cancelled": runEnd("cancelled"),
  "crew.run.interrupted": fc.record({ reason: anyText }),
  "crew.run.resumed": fc.record({ recoveredFromSeq: count, resumableTasks: names, adoptedTasks: names }),
  "crew.run.budget_exceeded": fc.record({ limit: anyText, value: count, max: count }),
  "crew.run.cancel_asked": fc.record({ reason: anyText }),
  "crew.task.ready": place,
  "crew.task.started": place,
  "crew.task.attempt_started": fc.record(
    { workerId: anyText, workerKind, model: anyText },
    { requiredKeys: ["workerId", "workerKind"] },
  ),
  "crew.task.attempt_finished": fc.record(
    {
      outcome,
      durationMs: count,
      finishedAt: wallMs,
      model: anyText,
      tokens,
      costUsd: money,
      exitCode: count,
      failureKind,
      error,
      summary: anyText,
      artifacts,
    },
    { requiredKeys: ["outcome", "durationMs", "tokens", "costUsd"] },
  ),
  "crew.task.retry_attempt": fc.record({ nextAttempt: count, delayMs: count, failureKind }),
  "crew.task.completed": taskEnd("completed"),
  "crew.task.failed": taskEnd("failed"),
  "crew.task.cancelled": taskEnd("cancelled"),
  "crew.task.skipped": taskEnd("skipped"),
  "crew.task.progress": fc.record(
    {
      text: anyText,
      tool: anyText,
      toolStatus: fc.constantFrom("running" as const, "ok" as const, "error" as const),
      toolDurationMs: count,
    },
    { requiredKeys: [] },
  ),
  "crew.task.heartbeat_level": fc.record(
    { level, previousLevel: level, stalenessMs: count, processAlive: fc.boolean() },
    { requiredKeys: ["level", "previousLevel", "stalenessMs"] },
  ),
  "crew.task.heartbeat_dead": fc.record({ stalenessMs: count }),
  "crew.task.deadletter": fc.record(
    {
      reason: fc.constantFrom("max-retries" as const, "heartbeat-dead" as const, "manual" as const),
      attempts: count,
      lastError: error,
    },
    { requiredKeys: ["reason", "attempts"] },
  ),
  "crew.task.redriven": fc.record({ newRunId: anyText }),
  "crew.task.cancel_asked": fc.record({ reason: anyText }),
  "crew.task.checkpoint": fc.record({ checkpointSeq: count, files: count, bytes: count }),
  "crew.subagent.spawned": subagent,
  "crew.subagent.adopted": subagent,
  "crew.subagent.completed": fc.record({ workerId: anyText, status: outcome, durationMs: count }),
  "crew.mailbox.message": fc.record({
    messageId: anyText,
    direction: fc.constantFrom("to-worker" as const, "from-worker" as const),
    from: anyText,
    to: anyText,
    text: anyText,
  }),
  "crew.notification.sent": fc.record({
    severity: fc.constantFrom("info" as const, "warning" as const, "error" as const),
    source: anyText,
    id: anyText,
  }),
};

/** An event of any type. Its task, if it has one, is of `taskIds`; its attempt is 1 to 3. */
export function anyEvent(taskIds: readonly string[]): fc.Arbitrary<CrewEvent> {
  const types = Object.keys(FIELDS) as CrewEventType[];
  return fc
    .constantFrom(...types)
    .chain((type) =>
      fc.record({
        type: fc.constant(type),
        fields: FIELDS[type] as fc.Arbitrary<object>,
        seq: fc.integer({ min: 1, max: 1_000_000 }),
        epoch: fc.nat({ max: 100 }),
        ts: wallMs,
        taskId: fc.constantFrom(...taskIds),
        attempt: fc.integer({ min: 1, max: 3 }),
      }),
    )
    .map(({ type, fields, seq, epoch, ts, taskId, attempt }) => {
      const ofTask = type.startsWith("crew.task.") || type.startsWith("crew.subagent.");
      const where = { runId: "run-1", ...(ofTask ? { taskId, attempt } : {}) };
      // the table pairs each type with its fields; TypeScript can't follow that through a union
      return { v: 1, seq, epoch, ts, type, ...where, ...spanIdsOf(where), ...fields } as CrewEvent;
    });
}
