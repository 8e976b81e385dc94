import { request as requestHttp } from "node:http";
import { connect } from "node:net";
import { onTestFinished } from "vitest";
import type { HttpRequest, Routes } from "../../src/export/http-routes.ts";
import { type HttpServerOptions, startHttpServer } from "../../src/export/http-server.ts";
import { FakeClock } from "../support/fake-clock.ts";

const ROUTES: Routes = {
  "/healthz": () => ({ status: 200, type: "text/plain", body: "ok\n" }),
  "/echo": ({ path, query, accept }) => ({
    status: 200,
    type: "application/json",
    body: JSON.stringify({ path, query: [...query], accept }),
  }),
  "/api/runs/:id": ({ params }) => ({ status: 200, type: "text/plain", body: params["id"] ?? "" }),
  "/page": () => ({ status: 200, type: "text/html", body: "", headers: { "content-security-policy": "mine" } }),
  "/fails": () => {
    throw new Error("the secret reason");
  },
  "/fails-late": () => Promise.reject(new Error("the secret reason")),
  "/never": () => new Promise(() => undefined),
  "/large": () => ({ status: 200, type: "text/plain", body: "x".repeat(50_000_000) }),
};

/** A server of ours on a free port, closed when the test ends. */
export async function started(options: Partial<HttpServerOptions> = {}) {
  const asked: string[] = [];
  const routes = Object.fromEntries(
    Object.entries(ROUTES).map(([path, handler]) => [
      path,
      (request: HttpRequest) => {
        asked.push(path);
        return handler(request);
      },
    ]),
  );
  const clock = new FakeClock();
  const logged: unknown[] = [];
  const log = { error: (...facts: unknown[]) => logged.push(facts) };
  const server = await startHttpServer({ port: 0, routes, clock, log, ...options });
  onTestFinished(() => server.close());
  return { server, clock, logged, asked, port: server.port };
}

interface Reply {
  status: number;
  headers: Record<string, unknown>;
  body: string;
}

/** Asks as told, by 127.0.0.1 unless told otherwise. */
export function ask(
  port: number,
  path: string,
  more: { method?: string; headers?: object; host?: string; body?: string } = {},
) {
  return new Promise<Reply>((resolve, reject) => {
    const { method = "GET", headers = {}, host = "127.0.0.1", body } = more;
    const request = requestHttp(
      { host, port, path, method, agent: false, headers: { ...headers } },
      async (response) => {
        let text = "";
        for await (const chunk of response) text += chunk;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text });
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

/** Sends bytes as they are; what came back when the connection ended, and whether it did. */
export function rawConnection(port: number, bytes: string) {
  const socket = connect(port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  const state = { received: "", ended: false, socket };
  socket.on("data", (chunk) => {
    state.received += chunk;
  });
  socket.on("error", () => undefined);
  socket.on("close", () => {
    state.ended = true;
  });
  socket.write(bytes);
  return state;
}
