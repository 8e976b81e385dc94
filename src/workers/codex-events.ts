import type { AttemptProgress } from "../runs/execute.ts";
import { isObject, parseObject } from "../system/json.ts";
import type { PiEvent, PiTally } from "./pi-events.ts";

/** What the lines of `codex exec --json` say of an attempt: words, tools, usage, errors. Money is not among them. */

const TELLING = /^\{"type":"(item\.started|item\.completed|turn\.completed|turn\.failed|error)"/;
const progressCharsMax = 16_000;
/** Items that are no tools. */
const wordless = new Set(["agent_message", "reasoning", "error", "todo_list", ""]);

/** Null for whatever is no event line, and for events of which nothing is taken. */
export function parseCodexLine(line: string): PiEvent | null {
  if (!TELLING.test(line)) return null;
  const value = parseObject(line);
  return typeof value?.["type"] === "string" ? (value as PiEvent) : null;
}

/** `model` names what answered, in our records. */
export function foldCodexEvent(tally: PiTally, event: PiEvent): PiTally {
  const item = isObject(event["item"]) ? event["item"] : {};
  switch (event.type) {
    case "item.completed":
      if (item["type"] !== "agent_message" || typeof item["text"] !== "string") return tally;
      return { ...tally, lastText: item["text"].trim(), answered: item["text"].trim() !== "" };
    case "turn.completed":
      return withUsage(tally, event);
    // `error` comes also where codex tries again by itself; the turn's end decides
    case "error":
      return { ...tally, errorMessage: sentenceOf(event["message"]) };
    case "turn.failed": {
      const error = isObject(event["error"]) ? event["error"]["message"] : null;
      return { ...tally, stopReason: "error", errorMessage: sentenceOf(error) };
    }
    default:
      return tally;
  }
}

function withUsage(tally: PiTally, event: PiEvent): PiTally {
  const usage = isObject(event["usage"]) ? event["usage"] : {};
  const amount = (name: string) => {
    const value = usage[name];
    return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;
  };
  const cacheRead = amount("cached_input_tokens");
  const tokens = {
    // what was read from the cache is counted among the input
    input: tally.tokens.input + Math.max(0, amount("input_tokens") - cacheRead),
    output: tally.tokens.output + amount("output_tokens"),
    cacheRead: tally.tokens.cacheRead + cacheRead,
    cacheWrite: tally.tokens.cacheWrite + amount("cache_write_input_tokens"),
  };
  return { ...tally, tokens, stopReason: "stop", errorMessage: null, turns: tally.turns + 1 };
}

/** What there is to show of an event. `toolCallId` pairs a tool's start with its end. */
export function codexProgressOf(event: PiEvent): { progress: AttemptProgress; toolCallId: string | null } | null {
  const item = isObject(event["item"]) ? event["item"] : {};
  const kind = String(item["type"] ?? "");
  if (kind === "agent_message" && event.type === "item.completed" && typeof item["text"] === "string")
    return { progress: { text: item["text"].slice(0, progressCharsMax) }, toolCallId: null };
  if (wordless.has(kind)) return null;
  const toolCallId = String(item["id"] ?? kind);
  if (event.type === "item.started") return { progress: { tool: kind, toolStatus: "running" }, toolCallId };
  if (event.type !== "item.completed") return null;
  return { progress: { tool: kind, toolStatus: item["status"] === "failed" ? "error" : "ok" }, toolCallId };
}

/** Codex hands on a provider's answer as it came, often JSON. */
function sentenceOf(message: unknown): string {
  if (typeof message !== "string") return "unknown error";
  const error = parseObject(message)?.["error"];
  return isObject(error) && typeof error["message"] === "string" ? error["message"] : message;
}
