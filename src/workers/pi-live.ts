import { isObject } from "../system/json.ts";
import type { LivePart } from "./live-reply.ts";
import type { PiEvent } from "./pi-events.ts";

type Value = Record<string, unknown>;

/** What a session has begun and not finished, by its events: the reply that streams, and the tools at work. */
export class PiLive {
  #message: Value | null = null;
  readonly #tools = new Map<string, { tool: string; result: unknown }>();

  /** Whether the event changed what is under way. */
  take({ type, message, toolCallId, toolName, partialResult }: PiEvent): boolean {
    const id = String(toolCallId);
    if (type === "message_update" && isObject(message) && message["role"] === "assistant") this.#message = message;
    else if (type === "message_end" && this.#message !== null) this.#message = null;
    else if (type === "tool_execution_update") this.#tools.set(id, { tool: String(toolName), result: partialResult });
    else return type === "tool_execution_end" && this.#tools.delete(id);
    return true;
  }

  parts(): LivePart[] {
    const said = itemsOf(this.#message).flatMap((item, at, all): LivePart[] => {
      if (item["type"] === "text") return [{ kind: "text", tool: "", text: wordOf(item["text"]) }];
      // what was thought before the words is over
      if (item["type"] === "thinking" && at === all.length - 1)
        return [{ kind: "thinking", tool: "", text: wordOf(item["thinking"]) }];
      const given = JSON.stringify(item["arguments"] ?? {});
      return item["type"] === "toolCall" ? [{ kind: "call", tool: wordOf(item["name"]), text: given }] : [];
    });
    const done = [...this.#tools.values()].map(({ tool, result }): LivePart => {
      const text = itemsOf(result).map((item) => wordOf(item["text"]));
      return { kind: "output", tool, text: text.join("") };
    });
    return [...said, ...done];
  }
}

function itemsOf(value: unknown): Value[] {
  const content = isObject(value) ? value["content"] : null;
  return Array.isArray(content) ? content.filter(isObject) : [];
}

function wordOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
