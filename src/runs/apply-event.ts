import type { CrewEvent, CrewEventType, EventOf } from "../events/crew-event.ts";
import {
  type AttemptRecord,
  attemptUnderWay,
  isTerminal,
  type RunState,
  type TaskState,
  type ToolCall,
  type WorkerLevel,
} from "./run-state.ts";
import { NOTHING_USED, totalTokens } from "./usage.ts";

const TOOL_CALLS_KEPT = 24;

type RunStep<T extends CrewEventType> = (state: RunState, event: EventOf<T>) => RunState;
type TaskStep<T extends CrewEventType> = (task: TaskState, event: EventOf<T>) => TaskState;
/** `note`: something told about a task that may come after its end and changes no status. */
type Decision<T extends CrewEventType> = { run: RunStep<T> } | { task: TaskStep<T> } | { note: TaskStep<T> } | null;

/** Every event and what it changes; `null` says: nothing that is kept, on purpose. */
const DECISIONS: { readonly [T in CrewEventType]: Decision<T> } = {
  // the manifest has it whole, secrets and all
  "crew.run.created": { run: (state, { goal }) => ({ ...state, goal }) },
  "crew.run.claimed": { run: (state, event) => ({ ...state, owner: event.owner, releasedBy: null }) },
  "crew.run.released": { run: (state) => ({ ...state, owner: null, releasedBy: state.owner, reason: null }) },
  "crew.run.started": { run: (state, event) => ({ ...state, status: "running", startedAt: event.ts }) },
  "crew.run.completed": { run: endRun },
  "crew.run.failed": { run: endRun },
  "crew.run.cancelled": { run: endRun },
  // told by the owner that comes next
  "crew.run.interrupted": { run: (state, event) => ({ ...state, reason: event.reason }) },
  "crew.run.resumed": { run: (state) => ({ ...state, reason: null, cancelAsked: null }) },
  "crew.run.budget_exceeded": null,
  "crew.run.cancel_asked": { run: (state, { reason }) => ({ ...state, cancelAsked: state.cancelAsked ?? reason }) },
  "crew.task.ready": { task: (task) => (task.status === "waiting" ? { ...task, status: "ready" } : task) },
  "crew.task.started": { task: startTask },
  "crew.task.attempt_started": { task: startAttempt },
  "crew.task.attempt_finished": { task: finishAttempt },
  "crew.task.retry_attempt": {
    task: (task, { nextAttempt, delayMs, ts }) =>
      task.status === "running" ? { ...task, retry: { nextAttempt, toldAt: ts, delayMs } } : task,
  },
  "crew.task.completed": { task: completeTask },
  "crew.task.failed": { task: endTask },
  "crew.task.cancelled": { task: endTask },
  "crew.task.skipped": { task: endTask },
  "crew.task.progress": { task: showActivity },
  "crew.task.heartbeat_level": {
    task: (task, { level, processAlive }) => withLevel(task, level === "dead" && processAlive ? "stuck" : level),
  },
  "crew.task.heartbeat_dead": null,
  "crew.task.deadletter": {
    note: (task, { reason }) => ({ ...task, deadLetters: [...new Set([...task.deadLetters, reason])] }),
  },
  "crew.task.redriven": {
    note: (task, { newRunId }) => ({ ...task, redrivenAs: [...new Set([...task.redrivenAs, newRunId])] }),
  },
  "crew.task.cancel_asked": { task: (task, { reason }) => ({ ...task, cancelAsked: task.cancelAsked ?? reason }) },
  "crew.task.checkpoint": {
    task: (task, { checkpointSeq }) => ({ ...task, checkpointSeq: Math.max(task.checkpointSeq, checkpointSeq) }),
  },
  "crew.subagent.spawned": { task: (task, event) => withPid(task, event.attempt, event.pid) },
  // who follows it now counts its silence from the beginning, and tells of changes only
  "crew.subagent.adopted": {
    task: (task, event) => withLevel(withPid(task, event.attempt, event.pid), "healthy"),
  },
  "crew.subagent.completed": null,
  "crew.mailbox.message": { run: keepMail },
  "crew.notification.sent": null,
};

/**
 * The state after an event. Pure; live state and replay use this same function. Terminal states are final: what comes
 * after is ignored.
 */
export function applyEvent(state: RunState, event: CrewEvent): RunState {
  // until its next owner comes, a run is nobody's, also when the one before could not say that it went
  const nobodys = state.startedAt === null || state.owner === null || event.type === "crew.run.claimed";
  const drivenMs = state.drivenMs + (nobodys ? 0 : Math.max(0, event.ts - state.lastEventAt));
  return { ...decided(state, event), drivenMs, lastEventAt: event.ts };
}

function decided(state: RunState, event: CrewEvent): RunState {
  // the table's key and the event's type are the same by construction; TypeScript can't follow that
  const decision = DECISIONS[event.type] as Decision<CrewEventType>;
  if (decision === null) return state;
  if ("run" in decision)
    return isTerminal(state.status) ? state : (decision.run as RunStep<never>)(state, event as never);
  const step = ("note" in decision ? decision.note : decision.task) as TaskStep<never>;
  const tasks = state.tasks.map((task) =>
    task.taskId === event.taskId && ("note" in decision || !isTerminal(task.status))
      ? step(task, event as never)
      : task,
  );
  return { ...state, tasks, tokens: sum(tasks, "tokens"), costUsd: sum(tasks, "costUsd") };
}

function sum(tasks: readonly TaskState[], field: "tokens" | "costUsd"): number {
  return tasks.reduce((total, task) => total + task[field], 0);
}

function endRun(
  state: RunState,
  event: EventOf<"crew.run.completed" | "crew.run.failed" | "crew.run.cancelled">,
): RunState {
  return { ...state, status: event.status, endedAt: event.ts, reason: event.reason ?? null, owner: null };
}

/** What a task's worker asks, and what it is told; to a task that waits for its user's answer it is that, and an attempt is due. */
function keepMail(state: RunState, event: EventOf<"crew.mailbox.message">): RunState {
  const { messageId, from, to, text, direction, ts } = event;
  const known = state.mail.some((message) => message.messageId === messageId);
  const taskId = direction === "to-worker" ? to : from;
  const mail = known ? state.mail : [...state.mail, { messageId, taskId, direction, at: ts, from, text }];
  if (direction === "from-worker") return { ...state, mail, tasks: state.tasks.map((task) => asking(task, event)) };
  if (known) return state;
  const tasks = state.tasks.map((task): TaskState => {
    if (task.taskId !== to || task.status !== "running" || task.question === null) return task;
    return { ...task, question: null, retry: { nextAttempt: task.attempts.length + 1, toldAt: ts, delayMs: 0 } };
  });
  return { ...state, tasks, mail };
}

function asking(task: TaskState, { taskId, attempt = 0, text, ts }: EventOf<"crew.mailbox.message">): TaskState {
  const last = task.attempts.at(-1);
  if (task.taskId !== taskId || task.status !== "running" || last?.status !== "ended") return task;
  return last.attempt === attempt ? { ...task, question: { attempt, text, askedAt: ts } } : task;
}

/** What holds whatever a task's status is. */
function commonOf(task: TaskState) {
  const { taskId, attempts, tokens, costUsd, toolCalls, deadLetters, redrivenAs, checkpointSeq, cancelAsked } = task;
  return { taskId, attempts, tokens, costUsd, toolCalls, deadLetters, redrivenAs, checkpointSeq, cancelAsked };
}

function startTask(task: TaskState, event: EventOf<"crew.task.started">): TaskState {
  return {
    ...commonOf(task),
    status: "running",
    startedAt: event.ts,
    activity: null,
    used: NOTHING_USED,
    level: "healthy",
    question: null,
    retry: null,
  };
}

function startAttempt(task: TaskState, event: EventOf<"crew.task.attempt_started">): TaskState {
  const { attempt = task.attempts.length + 1, workerId, workerKind, ts } = event;
  if (task.attempts.some((known) => known.attempt === attempt)) return task;
  const started: AttemptRecord = { status: "running", attempt, startedAt: ts, workerId, workerKind, pid: null };
  const attempts = [...task.attempts, started];
  return task.status === "running"
    ? { ...task, attempts, question: null, retry: null, level: "healthy" }
    : { ...task, attempts };
}

function finishAttempt(task: TaskState, event: EventOf<"crew.task.attempt_finished">): TaskState {
  const started = task.attempts.find((record) => record.attempt === event.attempt);
  if (started?.status !== "running") return task;
  const ended: AttemptRecord = {
    ...started,
    status: "ended",
    endedAt: event.finishedAt ?? event.ts,
    outcome: event.outcome,
    durationMs: event.durationMs,
    model: event.model ?? null,
    tokens: totalTokens(event.tokens),
    tokenCounts: event.tokens,
    costUsd: event.costUsd,
    failureKind: event.failureKind ?? null,
    error: event.error ?? null,
    summary: event.summary ?? "",
    artifacts: event.artifacts ?? [],
    changes: event.changes ?? null,
    commit: event.commit ?? null,
  };
  return {
    ...task,
    ...(task.status === "running" ? { used: NOTHING_USED } : {}),
    attempts: task.attempts.map((record) => (record === started ? ended : record)),
    tokens: task.tokens + ended.tokens,
    costUsd: task.costUsd + ended.costUsd,
  };
}

function completeTask(task: TaskState, event: EventOf<"crew.task.completed">): TaskState {
  const last = task.attempts.at(-1);
  return {
    ...ending(task, event),
    status: "completed",
    summary: last?.status === "ended" ? last.summary : "",
    artifacts: event.artifacts ?? [],
    commit: last?.status === "ended" ? last.commit : null,
  };
}

function endTask(
  task: TaskState,
  event: EventOf<"crew.task.failed" | "crew.task.cancelled" | "crew.task.skipped">,
): TaskState {
  return { ...ending(task, event), status: event.status };
}

function ending(
  task: TaskState,
  event: EventOf<"crew.task.completed" | "crew.task.failed" | "crew.task.cancelled" | "crew.task.skipped">,
) {
  return {
    ...commonOf(task),
    startedAt: task.status === "running" ? task.startedAt : null,
    endedAt: event.finishedAt ?? event.ts,
    durationMs: event.durationMs,
    error: event.error ?? null,
  };
}

function showActivity(task: TaskState, event: EventOf<"crew.task.progress">): TaskState {
  if (task.status !== "running") return task;
  const before = task.activity ?? { text: "", tool: "", at: 0 };
  const tool = event.tool === undefined ? before.tool : event.toolStatus === "running" ? event.tool : "";
  const activity = { text: event.text ?? before.text, tool, at: event.ts };
  const used = (attemptUnderWay(task)?.attempt === event.attempt && event.used) || task.used;
  return { ...task, activity, used, toolCalls: withCall(task, event) };
}

/** Of more than are kept the shortest goes: where the time went can still be seen. */
function withCall({ toolCalls, attempts }: TaskState, event: EventOf<"crew.task.progress">): readonly ToolCall[] {
  const { tool, toolStatus, toolDurationMs, ts, attempt = attempts.length } = event;
  if (tool === undefined || toolDurationMs === undefined || toolStatus === "running") return toolCalls;
  const all = [...toolCalls, { tool, attempt, from: ts - toolDurationMs, to: ts, ok: toolStatus !== "error" }];
  if (all.length <= TOOL_CALLS_KEPT) return all;
  const lengths = all.map(({ from, to }) => to - from);
  const shortest = lengths.indexOf(Math.min(...lengths));
  return all.filter((_, at) => at !== shortest);
}

function withLevel(task: TaskState, level: WorkerLevel): TaskState {
  return task.status === "running" ? { ...task, level } : task;
}

function withPid(task: TaskState, attempt: number | undefined, pid: number): TaskState {
  return {
    ...task,
    attempts: task.attempts.map((record) => (record.attempt === attempt ? { ...record, pid } : record)),
  };
}
