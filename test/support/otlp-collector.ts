import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { onTestFinished } from "vitest";

/** What a collector is asked. */
export interface Asked {
  path: string;
  headers: IncomingHttpHeaders;
  /** Unzipped. */
  body: string;
}

export interface Answer {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}

/** A stand-in for an OTLP collector: a real server on this machine, whose answers a test decides. */
export interface Collector {
  readonly url: string;
  readonly asked: Asked[];
  /** Requests under way, and the most there ever were at once to one path. */
  readonly atOnce: { now: Map<string, number>; most: number };
  /** For all requests from now on; `hang` never answers. */
  answer: (asked: Asked) => Answer | "hang";
  connections(): Promise<number>;
}

export async function startCollector(): Promise<Collector> {
  const server = createServer(async (request, response) => {
    const path = request.url ?? "";
    const { now } = collector.atOnce;
    now.set(path, (now.get(path) ?? 0) + 1);
    collector.atOnce.most = Math.max(collector.atOnce.most, now.get(path) ?? 0);
    response.on("close", () => now.set(path, (now.get(path) ?? 0) - 1));
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks);
    const body = (request.headers["content-encoding"] === "gzip" ? gunzipSync(raw) : raw).toString("utf8");
    const one = { path, headers: request.headers, body };
    collector.asked.push(one);
    reply(response, collector.answer(one));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const collector: Collector = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [],
    atOnce: { now: new Map(), most: 0 },
    answer: () => ({ status: 200, body: "{}" }),
    connections: () => new Promise((resolve) => server.getConnections((_error, count) => resolve(count))),
  };
  return collector;
}

function reply(response: ServerResponse, answer: Answer | "hang"): void {
  if (answer !== "hang") response.writeHead(answer.status, answer.headers).end(answer.body);
}
