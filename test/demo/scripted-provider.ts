/**
 * A Pi extension: the provider "scripted", whose one model plays `script.ts`. No AI, no key, no network; loads in every
 * host. FOREMAN_DEMO_PACE_MS makes it "think" and write so many milliseconds a piece, FOREMAN_DEMO_WITHOUT_FIX leaves
 * the fix out.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { type AssistantMessage, createAssistantMessageEventStream } from "@mariozechner/pi-ai";
import type { ExtensionAPI, ProviderConfig } from "@mariozechner/pi-coding-agent";
import { type HostContext, type Move, readConversation } from "./conversation.ts";
import { play } from "./script.ts";

type StreamSimple = NonNullable<ProviderConfig["streamSimple"]>;
type Stream = ReturnType<typeof createAssistantMessageEventStream>;
type Usage = AssistantMessage["usage"];
type Prices = Record<"input" | "output" | "cacheRead" | "cacheWrite", number>;

const paceMs = Number(process.env["FOREMAN_DEMO_PACE_MS"] ?? 0);
const options = { withoutFix: process.env["FOREMAN_DEMO_WITHOUT_FIX"] === "1" };

/** Pieces' worth of pause before the first one. */
const thinkingPieces = 20;
const pieceChars = 24;
const charsPerToken = 4;
/** Tool definitions that the context does not show, in tokens. */
const overheadTokens = 900;

export default function scripted(pi: ExtensionAPI): void {
  pi.registerProvider("scripted", {
    baseUrl: "http://127.0.0.1:9",
    apiKey: "not-a-key",
    api: "foreman-scripted",
    streamSimple,
    models: [
      {
        id: "scripted-model",
        name: "Scripted model (demo, no AI)",
        reasoning: false,
        input: ["text"],
        // made up, USD per million tokens: so that there is something to count
        cost: { input: 3, output: 15, cacheRead: 0.3, cacheWrite: 3.75 },
        contextWindow: 128_000,
        maxTokens: 8192,
      },
    ],
  });
}

const streamSimple: StreamSimple = (model, context, { signal } = {}) => {
  const stream = createAssistantMessageEventStream();
  const conversation = readConversation(context as unknown as HostContext);
  const move = play(conversation, options);
  const message: AssistantMessage = {
    role: "assistant",
    content: [],
    api: model.api,
    provider: model.provider,
    model: model.id,
    usage: usageOf(conversation.chars, conversation.turn, move, model.cost),
    stopReason: move.calls.length > 0 ? "toolUse" : "stop",
    timestamp: Date.now(),
  };
  write(stream, message, move, signal).catch((error: unknown) => {
    const reason = signal?.aborted ? "aborted" : "error";
    const errorMessage = error instanceof Error ? error.message : String(error);
    stream.push({ type: "error", reason, error: { ...message, stopReason: reason, errorMessage } });
    stream.end();
  });
  return stream;
};

async function write(stream: Stream, partial: AssistantMessage, move: Move, signal?: AbortSignal): Promise<void> {
  const wait = async (pieces: number) => {
    if (paceMs > 0) await pause(paceMs * pieces, undefined, { ...(signal ? { signal } : {}) });
    signal?.throwIfAborted();
  };
  stream.push({ type: "start", partial });
  await wait(thinkingPieces);
  const part = { type: "text" as const, text: "" };
  partial.content.push(part);
  stream.push({ type: "text_start", contentIndex: 0, partial });
  for (let at = 0; at < move.text.length; at += pieceChars) {
    const delta = move.text.slice(at, at + pieceChars);
    part.text += delta;
    stream.push({ type: "text_delta", contentIndex: 0, delta, partial });
    await wait(1);
  }
  stream.push({ type: "text_end", contentIndex: 0, content: move.text, partial });
  for (const { tool, args } of move.calls) {
    const toolCall = { type: "toolCall" as const, id: `scripted_${randomUUID()}`, name: tool, arguments: args };
    const contentIndex = partial.content.push(toolCall) - 1;
    stream.push({ type: "toolcall_start", contentIndex, partial });
    stream.push({ type: "toolcall_delta", contentIndex, delta: JSON.stringify(args), partial });
    stream.push({ type: "toolcall_end", contentIndex, toolCall, partial });
  }
  stream.push({ type: "done", reason: partial.stopReason === "toolUse" ? "toolUse" : "stop", message: partial });
  stream.end();
}

/** As a provider with a prompt cache might count: most of what was sent before is read from the cache. */
function usageOf(contextChars: number, turn: number, move: Move, prices: Prices): Usage {
  const sent = overheadTokens + Math.ceil(contextChars / charsPerToken);
  const cacheRead = turn === 0 ? 0 : Math.floor(sent * 0.8);
  const written = move.text.length + JSON.stringify(move.calls).length;
  const tokens = { input: sent - cacheRead, output: Math.ceil(written / charsPerToken), cacheRead, cacheWrite: 0 };
  const usd = (kind: keyof Prices) => (tokens[kind] * prices[kind]) / 1e6;
  const cost = { input: usd("input"), output: usd("output"), cacheRead: usd("cacheRead"), cacheWrite: 0 };
  return {
    ...tokens,
    totalTokens: sent + tokens.output,
    cost: { ...cost, total: cost.input + cost.output + cost.cacheRead },
  };
}
