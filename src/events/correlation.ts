import { AsyncLocalStorage } from "node:async_hooks";
import { createHash } from "node:crypto";

/**
 * Which run, task and attempt the current code works for. A run is one trace; the run, each task and each attempt are
 * spans. W3C ids are derived from the readable ones, so that every process that knows a run's id knows its trace:
 * nothing has to be handed over and nothing can be lost. The ids are those of https://www.w3.org/TR/trace-context/
 */

export interface CorrelationContext {
  runId: string;
  taskId?: string;
  /** Numbered from 1. */
  attempt?: number;
}

export interface SpanIds {
  /** 16 bytes, lowercase hex. */
  traceId: string;
  /** 8 bytes, lowercase hex. */
  spanId: string;
  /** The run's span has none. */
  parentSpanId?: string;
}

const TRACE_ID_HEX = 32;
const SPAN_ID_HEX = 16;

export interface Correlation {
  withCorrelation<T>(context: CorrelationContext, work: () => T): T;
  getCurrentContext(): CorrelationContext | undefined;
}

export function createCorrelation(): Correlation {
  const storage = new AsyncLocalStorage<CorrelationContext>();
  return {
    withCorrelation: (context, work) => storage.run(context, work),
    getCurrentContext: () => storage.getStore(),
  };
}

/**
 * The readable id of a span, `{runId}:{taskId|main}:{n}`: n is 0 for the run, 1 for a task, and one more than its number
 * for an attempt, so that a task called `main` has other ones than its run. The same for all owners of a run: nothing is
 * counted that a new process would count anew.
 */
export function newSpanId(runId: string, taskId?: string, attempt = 0): string {
  return taskId === undefined ? `${runId}:main:0` : `${runId}:${taskId}:${attempt + 1}`;
}

/** The W3C ids of a run, of one of its tasks, or of one of that task's attempts. */
export function spanIdsOf({ runId, taskId, attempt }: CorrelationContext): SpanIds {
  const traceId = w3cId(runId, TRACE_ID_HEX);
  const spanId = w3cId(newSpanId(runId, taskId, attempt), SPAN_ID_HEX);
  if (taskId === undefined) return { traceId, spanId };
  const parent = attempt === undefined ? newSpanId(runId) : newSpanId(runId, taskId);
  return { traceId, spanId, parentSpanId: w3cId(parent, SPAN_ID_HEX) };
}

/** Of what went on within another span and was told by one event, such as a tool call. */
export function innerSpanId(spanId: string, seq: number): string {
  return w3cId(`${spanId}:${seq}`, SPAN_ID_HEX);
}

/** The `TRACEPARENT` of a worker: version 00, sampled. */
export function traceparentOf(place: CorrelationContext): string {
  const ids = spanIdsOf(place);
  return `00-${ids.traceId}-${ids.spanId}-01`;
}

/** All zeroes is the one value W3C forbids; SHA-256 does not give it. */
function w3cId(readable: string, hexLength: number): string {
  return createHash("sha256").update(readable).digest("hex").slice(0, hexLength);
}
