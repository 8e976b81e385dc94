import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { costOf, defaultUsage, type ModelRequest, type ModelUsage, parseRequest, type Reply } from "./model-reply.ts";

export type ReplyFunction = (request: ModelRequest) => Reply | Promise<Reply>;

/** How a request ended; `open` while it has not. `gone`: the client closed first. */
export type RequestEnd = "open" | "answered" | "status" | "cut" | "gone" | "closed";

export interface RecordedRequest {
  request: ModelRequest;
  /** performance.now() of this process. */
  startedAt: number;
  endedAt: number | null;
  end: RequestEnd;
  reply: Reply | null;
  /** What was sent in full; null when no usage reached the client. */
  usage: ModelUsage | null;
}

export interface ModelServer extends AsyncDisposable {
  /** `http://127.0.0.1:<port>/v1` */
  readonly url: string;
  readonly port: number;
  /** In order of arrival. */
  readonly requests: RecordedRequest[];
  /** What `reply` threw; the client got a 500. Assert that it is empty. */
  readonly errors: unknown[];
  /** Replaces the reply function. */
  setReply(reply: ReplyFunction): void;
  /** Sums what was sent in full, of one model or all. */
  usageTotals(model?: string): ModelUsage & { requests: number };
  costUsd(model?: string): number;
  /** Resolves with the first recorded request that fits, now or later; it is looked at on arrival and at its end. */
  waitForRequest(fits: (recorded: RecordedRequest) => boolean, timeoutMs?: number): Promise<RecordedRequest>;
  /** Ends all sockets, pending delays and stalls. */
  close(): Promise<void>;
}

/** A loopback server that speaks OpenAI's chat completions as a stream of server-sent events. */
export async function startModelServer(options: { reply: ReplyFunction }): Promise<ModelServer> {
  let reply = options.reply;
  let close: Promise<void> | null = null;
  const stopped = new AbortController();
  const requests: RecordedRequest[] = [];
  const errors: unknown[] = [];
  const watchers = new Set<() => void>();
  const changed = () => {
    for (const look of [...watchers]) look();
  };

  const handle = async (message: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await readBody(message);
    if (!message.url?.endsWith("/chat/completions")) {
      response.writeHead(404, { "content-type": "application/json" }).end("{}");
      return;
    }
    const recorded: RecordedRequest = {
      request: parseRequest(requests.length + 1, body, flatHeaders(message)),
      startedAt: performance.now(),
      endedAt: null,
      end: "open",
      reply: null,
      usage: null,
    };
    requests.push(recorded);
    const gone = new AbortController();
    const finish = (end: RequestEnd) => {
      if (recorded.end !== "open") return;
      recorded.end = end;
      recorded.endedAt = performance.now();
      changed();
    };
    response.on("close", () => {
      gone.abort();
      finish(stopped.signal.aborted ? "closed" : "gone");
    });
    changed();
    try {
      recorded.reply = await reply(recorded.request);
    } catch (error) {
      errors.push(error);
      recorded.reply = { status: 500, error: `the test's reply threw: ${String(error)}` };
    }
    try {
      await send(response, recorded, AbortSignal.any([gone.signal, stopped.signal]), finish);
    } catch (error) {
      if (!gone.signal.aborted && !stopped.signal.aborted) throw error;
    }
  };

  const server = createServer((message, response) => {
    handle(message, response).catch((error: unknown) => {
      errors.push(error);
      response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const port = (server.address() as AddressInfo).port;

  const counted = (model: string | undefined) =>
    requests.filter((recorded) => recorded.usage && (!model || recorded.request.model === model));
  const end = () => {
    close ??= new Promise<void>((resolve) => {
      stopped.abort();
      server.close(() => resolve());
      server.closeAllConnections();
    });
    return close;
  };
  return {
    url: `http://127.0.0.1:${port}/v1`,
    port,
    requests,
    errors,
    setReply: (next) => {
      reply = next;
    },
    usageTotals: (model) => {
      const totals = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, requests: 0 };
      for (const { usage } of counted(model)) {
        if (!usage) continue;
        totals.requests += 1;
        for (const kind of ["input", "output", "cacheRead", "cacheWrite"] as const) totals[kind] += usage[kind];
      }
      return totals;
    },
    costUsd: (model) =>
      counted(model).reduce((sum, recorded) => sum + costOf(recorded.request.model, recorded.usage ?? defaultUsage), 0),
    waitForRequest: (fits, timeoutMs = 20_000) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = requests.find(fits);
          if (!found) return;
          watchers.delete(look);
          clearTimeout(timer);
          resolve(found);
        };
        const timer = setTimeout(() => {
          watchers.delete(look);
          reject(new Error(`no such model request within ${timeoutMs} ms; seen:\n${describe(requests)}`));
        }, timeoutMs);
        watchers.add(look);
        look();
      }),
    close: end,
    [Symbol.asyncDispose]: end,
  };
}

async function send(
  response: ServerResponse,
  recorded: RecordedRequest,
  signal: AbortSignal,
  finish: (end: RequestEnd) => void,
): Promise<void> {
  const { request } = recorded;
  const reply = recorded.reply ?? {};
  if (reply.delayMs) await sleep(reply.delayMs, undefined, { signal });
  if (signal.aborted) return;
  if (reply.status && reply.status >= 400) {
    finish("status");
    response.writeHead(reply.status, { "content-type": "application/json", ...reply.headers });
    response.end(JSON.stringify({ error: { message: reply.error ?? `mock ${reply.status}`, type: "mock_error" } }));
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache", ...reply.headers });
  const chunk = {
    id: `chatcmpl-${request.number}`,
    object: "chat.completion.chunk",
    created: Math.floor(Date.now() / 1000),
    model: request.model,
  };
  const event = (fields: Record<string, unknown>) =>
    response.write(`data: ${JSON.stringify({ ...chunk, ...fields })}\n\n`);
  const delta = (fields: Record<string, unknown>, finishReason: string | null = null) =>
    event({ choices: [{ index: 0, delta: fields, finish_reason: finishReason }] });

  delta({ role: "assistant", content: "" });
  if (reply.thinking) delta({ reasoning_content: reply.thinking });
  const text = Array.from(reply.text ?? "");
  const size = reply.chunkChars ?? 16;
  const until = reply.cut ? Math.ceil(text.length / 2) : text.length;
  for (let start = 0; start < until; start += size) {
    delta({ content: text.slice(start, Math.min(start + size, until)).join("") });
    if (reply.chunkMs) await sleep(reply.chunkMs, undefined, { signal });
  }
  if (reply.stall) return;
  if (reply.cut) {
    finish("cut");
    response.write(": cut\n\n", () => response.destroy());
    return;
  }
  for (const [index, tool] of (reply.tools ?? []).entries()) {
    const args = JSON.stringify(tool.args);
    const half = Math.ceil(args.length / 2);
    const id = `call_${request.number}_${index}`;
    delta({ tool_calls: [{ index, id, type: "function", function: { name: tool.name, arguments: "" } }] });
    delta({ tool_calls: [{ index, function: { arguments: args.slice(0, half) } }] });
    delta({ tool_calls: [{ index, function: { arguments: args.slice(half) } }] });
  }
  delta({}, reply.tools?.length ? "tool_calls" : "stop");
  const usage = { ...defaultUsage, ...reply.usage };
  event({ choices: [], usage: wireUsage(usage) });
  recorded.usage = usage;
  finish("answered");
  response.end("data: [DONE]\n\n");
}

/** OpenAI counts cached tokens into the prompt. Hosts disagree on what `cached_tokens` holds beside a write. */
function wireUsage({ input, output, cacheRead, cacheWrite }: ModelUsage): Record<string, unknown> {
  if (cacheRead > 0 && cacheWrite > 0) throw new Error("A reply's usage may hold cacheRead or cacheWrite, not both.");
  const prompt = input + cacheRead + cacheWrite;
  return {
    prompt_tokens: prompt,
    completion_tokens: output,
    total_tokens: prompt + output,
    prompt_tokens_details: { cached_tokens: cacheRead, cache_write_tokens: cacheWrite },
  };
}

async function readBody(message: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of message) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("utf8");
}

function flatHeaders(message: IncomingMessage): Record<string, string> {
  return Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, String(value)]));
}

function describe(requests: RecordedRequest[]): string {
  return requests
    .map(({ request, end }) => `  ${request.number} ${request.model} ${end}: ${request.lastUserText.slice(0, 80)}`)
    .join("\n");
}
