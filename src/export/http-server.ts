import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { codeOf, messageOf, UserError } from "../system/errors.ts";
import type { Clock, Log } from "../system/world.ts";
import { refusalOf } from "./http-guard.ts";
import { findRoute, type HttpReply, type Routes } from "./http-routes.ts";

/** Request line and headers together. */
const HEADER_BYTES_MAX = 8 * 1024;
/** At a time, per address listened on; beyond, who has waited longest without asking anything gives way. */
const CONNECTIONS_MAX = 64;
/** For a client to send its request, and then for all of the answer. */
const REQUEST_MS_MAX = 5000;
const ANSWER_MS_MAX = 30_000;
/** To find a port that is free in both address families. */
const FREE_PORT_TRIES = 10;

const LOOPBACK = ["127.0.0.1", "::1"] as const;

const HEADERS = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "x-content-type-options": "nosniff",
};

export interface HttpServerOptions {
  /** 0 takes a free one. */
  port: number;
  /** The name or address to listen on. Default `localhost`: 127.0.0.1 and ::1, for this machine only. */
  host?: string;
  routes: Routes;
  clock: Pick<Clock, "after">;
  log: Pick<Log, "error">;
  /** Whether the server keeps its process running. Default false: it is a guest. */
  keepAlive?: boolean;
}

export interface HttpServer {
  readonly port: number;
  /** Where a browser finds it. */
  readonly url: string;
  /** Stops listening and ends open connections at once. Idempotent. */
  close(): Promise<void>;
}

/**
 * Serves the routes over HTTP/1.1, one request per connection, GET and HEAD only. Throws a UserError when the port or
 * the host can't be used.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { port } = options;
  // to Node an empty name is every address of the machine
  const host = options.host || "localhost";
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new UserError("http-port", `${port} is no port: give a whole number from 0 (any free one) to 65535.`);
  const servers = await listenOn(host, port, options);
  const bound = portOf(servers[0]);
  const shown = host.includes(":") ? `[${host}]` : host;
  return {
    port: bound,
    url: `http://${shown}:${bound}/`,
    close: async () => {
      await Promise.all(servers.map(closeServer));
    },
  };
}

async function listenOn(host: string, port: number, options: HttpServerOptions): Promise<[Server, ...Server[]]> {
  if (host !== "localhost") return [await listen(host, port, options)];
  for (let tries = 1; ; tries++) {
    const first = await listen(LOOPBACK[0], port, options);
    try {
      return [first, await listen(LOOPBACK[1], portOf(first), options)];
    } catch (error) {
      const cause = codeOf(error instanceof UserError ? error.cause : error);
      if (cause === "EADDRNOTAVAIL" || cause === "EAFNOSUPPORT") return [first];
      await closeServer(first);
      if (port !== 0 || cause !== "EADDRINUSE" || tries === FREE_PORT_TRIES) throw error;
    }
  }
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

async function listen(host: string, port: number, options: HttpServerOptions): Promise<Server> {
  const server = createServer({ maxHeaderSize: HEADER_BYTES_MAX }, (request, response) => {
    void answer(request, response, host, options);
  });
  // those that give way are told so, which takes a moment
  server.maxConnections = 2 * CONNECTIONS_MAX;
  limitConnections(server, options.clock);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(listenError(error, host, port)));
    server.listen({ host, port }, resolve);
  });
  // without a listener, running out of file descriptors would end the process
  server.on("error", (error) => options.log.error(`the HTTP server on ${host} failed: ${messageOf(error)}`));
  if (options.keepAlive !== true) server.unref();
  return server;
}

function listenError(error: Error, host: string, port: number): Error {
  const problem = (sentence: string) => new UserError("http-listen", sentence, { cause: error });
  switch (codeOf(error)) {
    case "EADDRINUSE":
      return problem(
        `Port ${port} of ${host} is in use, maybe by another session: choose another port, or 0 for any free one.`,
      );
    case "EACCES":
      return problem(`You may not listen on port ${port} of ${host}: choose a port from 1024 to 65535.`);
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return problem(`${host} is no address of this machine: give one that is, or localhost (http.host, --host).`);
    default:
      return error;
  }
}

/** A client that sends or reads too slowly, or never, loses its connection. */
function limitConnections(server: Server, clock: Pick<Clock, "after">): void {
  const limits = new Map<Socket, Disposable>();
  // oldest first; without those whose request has come
  const asking = new Set<Socket>();
  const allow = (socket: Socket, ms: number, end: () => void) => {
    limits.get(socket)?.[Symbol.dispose]();
    limits.set(socket, clock.after(ms, end));
  };
  const forget = (socket: Socket) => {
    asking.delete(socket);
    limits.get(socket)?.[Symbol.dispose]();
    limits.delete(socket);
  };
  const refuse = (socket: Socket, status: number, sentence: string) => {
    forget(socket);
    turnAway(socket, status, sentence);
  };
  server.on("connection", (socket) => {
    socket.unref();
    asking.add(socket);
    allow(socket, REQUEST_MS_MAX, () => refuse(socket, 408, "The request did not come within 5 seconds."));
    socket.once("close", () => forget(socket));
    const [oldest] = asking;
    if (limits.size > CONNECTIONS_MAX && oldest) refuse(oldest, 408, "Others are waiting: ask again, at once.");
  });
  server.on("request", ({ socket }) => {
    asking.delete(socket);
    allow(socket, ANSWER_MS_MAX, () => socket.destroy());
  });
  server.on("clientError", (error, socket) => {
    // an answer has begun, or nobody is there any more
    if (!asking.has(socket as Socket)) socket.destroy();
    else if (codeOf(error) === "HPE_HEADER_OVERFLOW")
      refuse(socket as Socket, 431, `Request line and headers have at most ${HEADER_BYTES_MAX} bytes here.`);
    else refuse(socket as Socket, 400, "That is no HTTP request.");
  });
}

/** Says why without a request that could be answered, and ends the connection. */
function turnAway(socket: Socket, status: number, sentence: string): void {
  const { type, body } = textReply(status, sentence);
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}`;
  socket.end(`${head}\r\nconnection: close\r\n\r\n${String(body)}`, () => socket.destroy());
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** Never rejects. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  host: string,
  { routes, log }: HttpServerOptions,
): Promise<void> {
  const refusal = refusalOf(request, host);
  try {
    send(response, refusal === null ? await replyOf(request, routes) : textReply(refusal.status, refusal.reason));
  } catch (error) {
    log.error("a request could not be answered", { path: pathOf(request.url), error: messageOf(error) });
    send(response, textReply(500, "This could not be answered; the log says why."));
  }
}

async function replyOf(request: IncomingMessage, routes: Routes): Promise<HttpReply> {
  const path = pathOf(request.url);
  const route = findRoute(routes, path);
  if (route === null)
    return textReply(404, `There is nothing at this path; there is ${Object.keys(routes).join(", ")}.`);
  const query = new URLSearchParams(request.url?.slice(path.length + 1));
  return route.handler({ path, params: route.params, query, accept: request.headers.accept ?? "" });
}

function pathOf(url = ""): string {
  return url.split("?", 1)[0] ?? "";
}

function textReply(status: number, sentence: string): HttpReply {
  return { status, type: "text/plain; charset=utf-8", body: `${sentence}\n` };
}

function send(response: ServerResponse, { status, type, body, headers }: HttpReply): void {
  const bytes = Buffer.from(body);
  const all = { ...HEADERS, ...headers, "content-type": type, "content-length": bytes.byteLength, connection: "close" };
  if (status === 405) response.setHeader("allow", "GET, HEAD");
  // the body of an answer to HEAD is left out by Node
  response.writeHead(status, all).end(bytes);
}
