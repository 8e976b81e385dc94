/** What the model server hands to a test's `reply`, and what the test hands back. */

export interface ModelUsage {
  input: number;
  output: number;
  cacheRead: number;
  cacheWrite: number;
}

/** USD per million tokens; `agent-folder.ts` writes the same numbers into models.json. */
export const modelPrices = {
  "mock-1": { input: 3, output: 15, cacheRead: 0.3, cacheWrite: 3.75 },
  "mock-2": { input: 0.5, output: 2.5, cacheRead: 0.05, cacheWrite: 0.625 },
} as const satisfies Record<string, ModelUsage>;

/** Sent when a reply names no usage. */
export const defaultUsage: ModelUsage = { input: 100, output: 10, cacheRead: 0, cacheWrite: 0 };

export interface ToolRequest {
  name: string;
  args: Record<string, unknown>;
}

export interface Reply {
  text?: string;
  thinking?: string;
  tools?: ToolRequest[];
  /** `defaultUsage` where a field is absent; cacheRead and cacheWrite exclude each other. */
  usage?: Partial<ModelUsage>;
  /** An HTTP error instead of a stream: 429, 500, 503, … */
  status?: number;
  /** Of the HTTP answer, such as `retry-after`. */
  headers?: Record<string, string>;
  /** Of the HTTP error. */
  error?: string;
  /** Before anything is sent, headers included. */
  delayMs?: number;
  /** Headers and `text` are sent, then silence until one side closes. */
  stall?: boolean;
  /** The connection is destroyed after half of the text, before any finish or usage. */
  cut?: boolean;
  /** Between the pieces of the text. */
  chunkMs?: number;
  /** Characters in a piece of the text; 16 unless told. */
  chunkChars?: number;
}

export interface WireMessage {
  role: string;
  content?: unknown;
  tool_calls?: { id: string; function: { name: string; arguments: string } }[];
  tool_call_id?: string;
}

export interface ModelRequest {
  /** From 1, in order of arrival at this server. */
  number: number;
  model: string;
  messages: WireMessage[];
  /** Names of the tools offered. */
  tools: string[];
  /** System and developer messages, joined. */
  system: string;
  firstUserText: string;
  lastUserText: string;
  /** Assistant messages since the last user message: the index of the step to play. */
  assistantTurns: number;
  /** Of the last tool result since the last user message; empty when there is none. */
  lastToolText: string;
  headers: Record<string, string>;
  traceparent: string | null;
  /** The whole request as sent. */
  body: Record<string, unknown>;
}

/** Plays `steps` one per assistant turn, the last one again and again, for each user message anew. */
export function inTurn(...steps: Reply[]): (request: ModelRequest) => Reply {
  return (request) => steps[Math.min(request.assistantTurns, steps.length - 1)] ?? { text: "done" };
}

/** USD, as the host computes it from models.json. Zero for a model without a price. */
export function costOf(model: string, usage: ModelUsage): number {
  const price = (modelPrices as Record<string, ModelUsage>)[model];
  if (!price) return 0;
  const { input, output, cacheRead, cacheWrite } = usage;
  return (
    (input * price.input + output * price.output + cacheRead * price.cacheRead + cacheWrite * price.cacheWrite) / 1e6
  );
}

export function parseRequest(number: number, body: string, headers: Record<string, string>): ModelRequest {
  const parsed = JSON.parse(body) as Record<string, unknown> & {
    messages: WireMessage[];
    tools?: { function: { name: string } }[];
  };
  const messages = parsed.messages;
  const users = messages.filter((message) => message.role === "user");
  const after = messages.slice(messages.findLastIndex((message) => message.role === "user") + 1);
  return {
    number,
    model: String(parsed["model"]),
    messages,
    tools: (parsed.tools ?? []).map((tool) => tool.function.name),
    system: messages
      .filter((message) => message.role === "system" || message.role === "developer")
      .map((message) => textOf(message.content))
      .join("\n"),
    firstUserText: textOf(users.at(0)?.content),
    lastUserText: textOf(users.at(-1)?.content),
    assistantTurns: after.filter((message) => message.role === "assistant").length,
    lastToolText: textOf(after.findLast((message) => message.role === "tool")?.content),
    headers,
    traceparent: headers["traceparent"] ?? null,
    body: parsed,
  };
}

function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content
    .map((part: { type?: string; text?: string }) => (part.type === "text" ? (part.text ?? "") : ""))
    .join("");
}
