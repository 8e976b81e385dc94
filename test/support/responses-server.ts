import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One answer of the model: words, a command for the tool of that name, an HTTP error, or silence. */
export type ResponsesReply =
  | { text: string }
  | { tool: string; args: Record<string, unknown> }
  | { status: number; error: string }
  | { stall: true };

export interface ResponsesServer extends AsyncDisposable {
  /** `http://127.0.0.1:<port>/v1` */
  readonly url: string;
  /** Bodies, in order of arrival. */
  readonly requests: Record<string, unknown>[];
}

export const responseUsage = { input: 100, cached: 40, output: 7 };

/** A loopback server that speaks OpenAI's Responses as server-sent events: replies in turn, the last one for ever. */
export async function startResponsesServer(...replies: ResponsesReply[]): Promise<ResponsesServer> {
  const requests: Record<string, unknown>[] = [];
  const server = createServer(async (message, response) => {
    let body = "";
    for await (const part of message) body += String(part);
    if (!message.url?.endsWith("/responses")) return void response.writeHead(404).end("{}");
    requests.push(JSON.parse(body) as Record<string, unknown>);
    const reply = replies[Math.min(requests.length, replies.length) - 1];
    if (reply) answer(response, reply, requests.length);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(response: ServerResponse, reply: ResponsesReply, number: number): void {
  if ("status" in reply) {
    const error = { message: reply.error, type: "invalid_request_error" };
    response.writeHead(reply.status, { "content-type": "application/json" }).end(JSON.stringify({ error }));
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  const send = (type: string, fields: object) =>
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`);
  const id = `resp_${number}`;
  send("response.created", { response: { id } });
  if ("stall" in reply) return;
  const item =
    "text" in reply
      ? { type: "message", role: "assistant", id: `m${number}`, content: [{ type: "output_text", text: reply.text }] }
      : {
          type: "function_call",
          id: `f${number}`,
          call_id: `c${number}`,
          name: reply.tool,
          arguments: JSON.stringify(reply.args),
        };
  send("response.output_item.done", { output_index: 0, item });
  const { input, cached, output } = responseUsage;
  const usage = {
    input_tokens: input,
    input_tokens_details: { cached_tokens: cached },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: input + output,
  };
  send("response.completed", { response: { id, usage } });
  response.end();
}
