import type { TokenCounts } from "../events/crew-event.ts";
import type { AttemptProgress, ModelUsage } from "../runs/execute.ts";
import { isObject, parseObject } from "../system/json.ts";

/**
 * What the host's event lines say about an attempt: usage, words, errors. Usage stands on every assistant
 * `message_end`, failed tries included; `turn_end` and `agent_end` repeat the same messages and are not counted.
 */

/** Whoever shows it masks secrets first and cuts then: what is cut before may be half a secret. */
const progressCharsMax = 16_000;

export interface ModelUse {
  tokens: TokenCounts;
  costUsd: number;
  /** Model replies, failed ones included. */
  replies: number;
}

export interface PiTally {
  tokens: TokenCounts;
  /** US dollars. */
  costUsd: number;
  /** By `provider/id`. */
  byModel: Readonly<Record<string, ModelUse>>;
  /** Of the last assistant message that had any text. */
  lastText: string;
  /** Whether the last assistant message had any text; `lastText` is then its own. */
  answered: boolean;
  /** `provider/id` of the last reply; null when there was none. */
  lastModel: string | null;
  stopReason: string | null;
  errorMessage: string | null;
  /** Model replies that were no errors. */
  turns: number;
  /** Tries of a model request beyond the first, by the host itself. */
  hostRetries: number;
}

/** A line of the host's JSON mode, as far as it was understood. */
export type PiEvent = Readonly<Record<string, unknown>> & { readonly type: string };

const noTokens: TokenCounts = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };

export const emptyTally: PiTally = {
  tokens: noTokens,
  costUsd: 0,
  byModel: {},
  lastText: "",
  answered: false,
  lastModel: null,
  stopReason: null,
  errorMessage: null,
  turns: 0,
  hostRetries: 0,
};

/** The lines that say something here; the others, which may be long, are not parsed. */
const TELLING = /^\{"type":"(message_end|tool_execution_start|tool_execution_end|auto_retry_start)"/;

/** Null for whatever is no event line, and for events of which nothing is taken. */
export function parsePiLine(line: string): PiEvent | null {
  if (!TELLING.test(line)) return null;
  const value = parseObject(line);
  return typeof value?.["type"] === "string" ? (value as PiEvent) : null;
}

export function foldPiEvent(tally: PiTally, event: PiEvent): PiTally {
  if (event.type === "auto_retry_start") return { ...tally, hostRetries: tally.hostRetries + 1 };
  const message = assistantMessageOf(event);
  if (!message) return tally;
  const usage = usageOf(message);
  const model = modelOf(message);
  const text = textOf(message);
  const stopReason = typeof message["stopReason"] === "string" ? message["stopReason"] : null;
  const before = tally.byModel[model] ?? { tokens: noTokens, costUsd: 0, replies: 0 };
  const use = {
    tokens: add(before.tokens, usage.tokens),
    costUsd: before.costUsd + usage.costUsd,
    replies: before.replies + 1,
  };
  return {
    ...tally,
    tokens: add(tally.tokens, usage.tokens),
    costUsd: tally.costUsd + usage.costUsd,
    byModel: { ...tally.byModel, [model]: use },
    lastText: text || tally.lastText,
    answered: text !== "",
    lastModel: model,
    stopReason,
    errorMessage: typeof message["errorMessage"] === "string" ? message["errorMessage"] : null,
    turns: tally.turns + (stopReason === "error" ? 0 : 1),
  };
}

/** By model, in the order of first use. */
export function usageByModel(tally: PiTally): ModelUsage[] {
  return Object.entries(tally.byModel).map(([model, { tokens, costUsd }]) => ({ model, tokens, costUsd }));
}

/** What there is to show of an event. `toolCallId` pairs a tool's start with its end, which carry no time. */
export function progressOf(event: PiEvent): { progress: AttemptProgress; toolCallId: string | null } | null {
  const toolCallId = typeof event["toolCallId"] === "string" ? event["toolCallId"] : null;
  const tool = typeof event["toolName"] === "string" ? event["toolName"] : "tool";
  if (event.type === "tool_execution_start") return { progress: { tool, toolStatus: "running" }, toolCallId };
  if (event.type === "tool_execution_end")
    return { progress: { tool, toolStatus: event["isError"] === true ? "error" : "ok" }, toolCallId };
  const message = assistantMessageOf(event);
  const text = message ? textOf(message) : "";
  return text ? { progress: { text: text.slice(0, progressCharsMax) }, toolCallId: null } : null;
}

/** Of the events that are logged, what is: a key that others repeat in full is left out. */
const loggedKeys: Readonly<Record<string, readonly string[]>> = {
  message_end: ["message"],
  tool_execution_start: ["toolCallId", "toolName"],
  tool_execution_end: ["toolCallId", "toolName", "isError"],
  agent_start: [],
  agent_end: [],
  turn_end: [],
  auto_retry_start: ["attempt", "maxAttempts", "delayMs", "errorMessage"],
  auto_retry_end: ["success", "attempt", "finalError"],
  compaction_start: ["reason"],
  compaction_end: ["reason", "aborted", "willRetry", "errorMessage"],
};

/** The line of `stdout.log` for an event, its type in front; null for what is not logged, such as partial output. */
export function logLineOf(event: PiEvent): string | null {
  const keys = Object.hasOwn(loggedKeys, event.type) ? loggedKeys[event.type] : undefined;
  if (!keys) return null;
  const kept = keys.flatMap((key) => (key in event ? [[key, event[key]] as const] : []));
  return JSON.stringify({ type: event.type, ...Object.fromEntries(kept) });
}

function assistantMessageOf(event: PiEvent): Record<string, unknown> | null {
  const message = event["message"];
  if (event.type !== "message_end" || !isObject(message) || message["role"] !== "assistant") return null;
  return message;
}

function modelOf(message: Record<string, unknown>): string {
  return `${String(message["provider"] ?? "unknown")}/${String(message["model"] ?? "unknown")}`;
}

function textOf(message: Record<string, unknown>): string {
  const content = message["content"];
  if (typeof content === "string") return content.trim();
  if (!Array.isArray(content)) return "";
  const parts: unknown[] = content;
  return parts
    .map((part) => (isObject(part) && part["type"] === "text" && typeof part["text"] === "string" ? part["text"] : ""))
    .join("")
    .trim();
}

function usageOf(message: Record<string, unknown>): { tokens: TokenCounts; costUsd: number } {
  const usage = isObject(message["usage"]) ? message["usage"] : {};
  const cost = isObject(usage["cost"]) ? usage["cost"] : {};
  return {
    tokens: {
      input: amount(usage["input"]),
      output: amount(usage["output"]),
      cacheRead: amount(usage["cacheRead"]),
      cacheWrite: amount(usage["cacheWrite"]),
    },
    costUsd: amount(cost["total"]),
  };
}

function amount(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;
}

function add(a: TokenCounts, b: TokenCounts): TokenCounts {
  return {
    input: a.input + b.input,
    output: a.output + b.output,
    cacheRead: a.cacheRead + b.cacheRead,
    cacheWrite: a.cacheWrite + b.cacheWrite,
  };
}
