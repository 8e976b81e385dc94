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
  /** A new readable span id, `{runId}:{taskId|main}:{n}`, n counted within this correlation. */
  newSpanId(runId: string, taskId?: string): string;
}

export function createCorrelation(): Correlation {
  const storage = new AsyncLocalStorage<CorrelationContext>();
  let spanCount = 0;
  return {
    withCorrelation: (context, work) => storage.run(context, work),
    getCurrentContext: () => storage.getStore(),
    newSpanId: (runId, taskId) => `${runId}:${taskId ?? "main"}:${++spanCount}`,
  };
}

/** The W3C ids of a run, of one of its tasks, or of one of that task's attempts. */
export function spanIdsOf(place: CorrelationContext): SpanIds {
  const traceId = w3cId(place.runId, TRACE_ID_HEX);
  const runSpan = w3cId(`${place.runId}:main`, SPAN_ID_HEX);
  if (place.taskId === undefined) return { traceId, spanId: runSpan };
  const taskSpan = w3cId(`${place.runId}:${place.taskId}`, SPAN_ID_HEX);
  if (place.attempt === undefined) return { traceId, spanId: taskSpan, parentSpanId: runSpan };
  const attemptSpan = w3cId(`${place.runId}:${place.taskId}:${place.attempt}`, SPAN_ID_HEX);
  return { traceId, spanId: attemptSpan, parentSpanId: taskSpan };
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
