import { innerSpanId } from "../events/correlation.ts";
import type { CrewEvent, EventEnvelope, EventOf } from "../events/crew-event.ts";
import type { MetricTable } from "../metrics/metric-table.ts";
import { agentAttributes, isAgent, usageAttributes } from "./gen-ai-attributes.ts";
import { type Attributes, doubleValue, intValue, textValue } from "./otlp-json.ts";
import type { Span } from "./otlp-spans.ts";

type RunEnd = EventOf<"crew.run.completed" | "crew.run.failed" | "crew.run.cancelled">;
type TaskEnd = EventOf<"crew.task.completed" | "crew.task.failed" | "crew.task.cancelled" | "crew.task.skipped">;
type AttemptEnd = EventOf<"crew.task.attempt_finished">;

/** The role of a task of a run under way; empty when it is not known. */
export type RoleOfTask = (runId: string, taskId: string) => string;

/** Begun work that is remembered: what no longer fits costs its span the exact start. */
const OPEN_MAX = 4096;

/** What is known of work under way, by its span id. */
interface Open {
  readonly runId: string;
  /** Milliseconds since 1970; null when it began under a former owner. */
  readonly startMs: number | null;
  readonly role: string;
  readonly workerKind: string;
  /** The latest end of a span in it. */
  childEndMs: number;
}

const NOTHING_KNOWN = { startMs: null, role: "", workerKind: "" };

/**
 * Makes spans of a run's events: the run, in it its tasks, in these their attempts, in these the tool calls that were
 * told. Ids are those of the events, so that the owners of a run, one after the other, tell one tree; each span is
 * told once, when its work has ended, by whoever owns the run then: it ends where its work did, and not before a span in
 * it does. What began under a former owner starts its measured duration before its end.
 *
 * Nothing of prompts, goals, replies and tool arguments is taken; an error's message is, as the event has it.
 *
 * Of many short tool calls in a row not each is told, and has a span: see `ProgressQueue`.
 */
export class RunSpans {
  readonly table: Partial<MetricTable>;
  readonly #emit: (span: Span) => void;
  readonly #roleOfTask: RoleOfTask;
  readonly #open = new Map<string, Open>();

  constructor(emit: (span: Span) => void, roleOfTask: RoleOfTask) {
    this.#emit = emit;
    this.#roleOfTask = roleOfTask;
    const runEnded = (event: RunEnd) => this.#endRun(event);
    const taskEnded = (event: TaskEnd) => this.#endTask(event);
    const letGo = (event: CrewEvent) => this.#forgetRun(event.runId);
    this.table = {
      "crew.run.started": (event) => this.#remember(event, { startMs: event.ts, role: "", workerKind: "" }),
      "crew.run.completed": runEnded,
      "crew.run.failed": runEnded,
      "crew.run.cancelled": runEnded,
      "crew.run.released": letGo,
      "crew.run.interrupted": letGo,
      "crew.task.started": (event) =>
        this.#remember(event, { startMs: event.ts, role: event.role, workerKind: event.workerKind }),
      "crew.task.completed": taskEnded,
      "crew.task.failed": taskEnded,
      "crew.task.cancelled": taskEnded,
      "crew.task.skipped": taskEnded,
      "crew.task.attempt_started": (event) =>
        this.#remember(event, { startMs: event.ts, role: this.#roleOf(event), workerKind: event.workerKind }),
      "crew.subagent.adopted": (event) => {
        if (!this.#open.has(event.spanId))
          this.#remember(event, { startMs: null, role: this.#roleOf(event), workerKind: event.workerKind });
      },
      "crew.task.attempt_finished": (event) => this.#endAttempt(event),
      "crew.task.progress": (event) => this.#endTool(event),
    };
  }

  #remember(
    { spanId, runId }: Pick<EventEnvelope, "spanId" | "runId">,
    facts: Omit<Open, "runId" | "childEndMs">,
  ): Open {
    const open = { runId, ...facts, childEndMs: 0 };
    this.#open.set(spanId, open);
    const [oldest = ""] = this.#open.keys();
    if (this.#open.size > OPEN_MAX) this.#open.delete(oldest);
    return open;
  }

  #forgetRun(runId: string): void {
    for (const [spanId, open] of this.#open) if (open.runId === runId) this.#open.delete(spanId);
  }

  /** Of the task an attempt belongs to, also when it began under a former owner. */
  #roleOf({ parentSpanId = "", runId, taskId = "" }: EventEnvelope): string {
    return this.#open.get(parentSpanId)?.role || this.#roleOfTask(runId, taskId);
  }

  #endRun(event: RunEnd): void {
    const open = this.#open.get(event.spanId);
    this.#forgetRun(event.runId);
    const isFailed = event.status === "failed";
    this.#tell(event, open, {
      name: `invoke_workflow ${event.workflow}`,
      durationMs: event.durationMs,
      attributes: {
        "gen_ai.operation.name": textValue("invoke_workflow"),
        "gen_ai.workflow.name": textValue(event.workflow),
        "crew.team": textValue(event.team),
        "crew.run.status": textValue(event.status),
        "crew.run.task_count": intValue(event.taskCount),
        "crew.run.tokens": intValue(event.tokens),
        "crew.run.cost_usd": doubleValue(event.costUsd),
        ...(isFailed ? { "error.type": textValue("failed") } : {}),
      },
      error: isFailed ? (event.reason ?? "the run failed") : null,
    });
  }

  #endTask(event: TaskEnd): void {
    const open = this.#open.get(event.spanId);
    this.#open.delete(event.spanId);
    const isFailed = event.status === "failed";
    const errorType = event.error === undefined ? {} : { "error.type": textValue(event.error.kind) };
    this.#tell(event, open, {
      name: `task ${event.taskId ?? ""}`,
      durationMs: event.durationMs,
      finishedAt: event.finishedAt,
      attributes: {
        "crew.team": textValue(event.team),
        "crew.role": textValue(event.role),
        "crew.task.type": textValue(event.taskType),
        "crew.task.status": textValue(event.status),
        "crew.task.attempts": intValue(event.attempts),
        "crew.task.tokens": intValue(event.tokens),
        "crew.task.cost_usd": doubleValue(event.costUsd),
        ...(isFailed ? errorType : {}),
      },
      error: isFailed ? (event.error?.message ?? "the task failed") : null,
    });
  }

  #endAttempt(event: AttemptEnd): void {
    const open = this.#open.get(event.spanId);
    this.#open.delete(event.spanId);
    const { outcome, error, failureKind, exitCode } = event;
    const isFailed = outcome !== "completed" && outcome !== "cancelled";
    const agent = isAgent(open?.workerKind ?? "", event.model);
    const role = open?.role || this.#roleOf(event);
    this.#tell(event, open, {
      name: agent ? `invoke_agent ${role}`.trimEnd() : `attempt ${event.attempt ?? ""}`,
      durationMs: event.durationMs,
      finishedAt: event.finishedAt,
      attributes: {
        ...(agent ? { ...agentAttributes(role, event.model), ...usageAttributes(event.tokens) } : {}),
        "crew.attempt": intValue(event.attempt ?? 1),
        "crew.attempt.outcome": textValue(outcome),
        "crew.attempt.cost_usd": doubleValue(event.costUsd),
        ...(open?.workerKind ? { "crew.worker.kind": textValue(open.workerKind) } : {}),
        ...(failureKind === undefined ? {} : { "crew.attempt.failure_kind": textValue(failureKind) }),
        ...(exitCode === undefined ? {} : { "process.exit.code": intValue(exitCode) }),
        ...(isFailed ? { "error.type": textValue(error?.kind ?? outcome) } : {}),
      },
      error: isFailed ? (error?.message ?? outcome) : null,
    });
  }

  /** A call that was told only when it began has no end, and no span. */
  #endTool(event: EventOf<"crew.task.progress">): void {
    const { tool, toolStatus, toolDurationMs } = event;
    if (tool === undefined || toolDurationMs === undefined || toolStatus === "running") return;
    const isFailed = toolStatus === "error";
    const role = this.#open.get(event.spanId)?.role || this.#roleOf(event);
    const spanId = innerSpanId(event.spanId, event.seq);
    this.#tell({ ...event, spanId, parentSpanId: event.spanId }, undefined, {
      name: `execute_tool ${tool}`,
      durationMs: toolDurationMs,
      attributes: {
        "gen_ai.operation.name": textValue("execute_tool"),
        "gen_ai.tool.name": textValue(tool),
        ...(role === "" ? {} : { "gen_ai.agent.name": textValue(role) }),
        ...(isFailed ? { "error.type": textValue("tool_error") } : {}),
      },
      error: isFailed ? `${tool} ended with an error` : null,
    });
  }

  #tell(
    event: EventEnvelope,
    open: Open | undefined,
    span: {
      name: string;
      durationMs: number;
      finishedAt?: number | undefined;
      attributes: Attributes;
      error: string | null;
    },
  ): void {
    const { traceId, spanId, parentSpanId = null, runId, taskId, attempt, ts } = event;
    // a tool call is told a moment after its end, and then ends that much later than its attempt's work
    const endMs = Math.min(ts, Math.max(span.finishedAt ?? ts, open?.childEndMs ?? 0));
    // a run ends as that is told, after all that is in it
    if (parentSpanId !== null && attempt !== undefined) {
      const parent = this.#open.get(parentSpanId) ?? this.#remember({ spanId: parentSpanId, runId }, NOTHING_KNOWN);
      parent.childEndMs = Math.max(parent.childEndMs, endMs);
    }
    // the wall clock may have been set back in between
    const startMs = Math.min(endMs, open?.startMs ?? endMs - span.durationMs);
    const place = {
      "crew.run.id": textValue(runId),
      ...(taskId === undefined ? {} : { "crew.task.id": textValue(taskId) }),
    };
    const { name, attributes, error } = span;
    this.#emit({ traceId, spanId, parentSpanId, name, startMs, endMs, attributes: { ...place, ...attributes }, error });
  }
}
