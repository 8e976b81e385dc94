import { describe, expect, it } from "vitest";
import { waitUntil } from "../support/processes.ts";
import { ask, rawConnection, started } from "./http-asking.ts";

describe("an answer", () => {
  it("comes from the table, with the query and the wanted type", async () => {
    const { port } = await started();
    const { body, headers } = await ask(port, "/echo?a=1&b=%20x&a=2", { headers: { accept: "text/plain;q=0.5" } });
    const query = [["a", "1"], ["b", " x"], ["a", "2"]]; // biome-ignore format: pairs
    expect(JSON.parse(body)).toEqual({ path: "/echo", query, accept: "text/plain;q=0.5" });
    expect(headers).toMatchObject({ "content-type": "application/json", "x-content-type-options": "nosniff" });
    expect(headers).not.toHaveProperty("access-control-allow-origin");
    expect(headers["content-security-policy"]).toContain("default-src 'none'");
    expect((await ask(port, "/page")).headers["content-security-policy"]).toBe("mine");
  });

  it("to HEAD is that to GET without its body", async () => {
    const { port } = await started();
    const reply = await ask(port, "/healthz", { method: "HEAD" });
    expect(reply).toMatchObject({ status: 200, body: "", headers: { "content-length": "3" } });
  });

  it("to a path with a name in it has that name, decoded", async () => {
    const { port } = await started();
    expect((await ask(port, "/api/runs/a%2Fb%20%C3%A9")).body).toBe("a/b é");
    for (const path of ["/api/runs/", "/api/runs/%ff", "/api/runs/a/b", "/api/runs"])
      expect((await ask(port, path)).status, path).toBe(404);
  });

  it("to a path that is none names those that are", async () => {
    const { port } = await started();
    expect(await ask(port, "/metrics")).toMatchObject({
      status: 404,
      body: expect.stringContaining("there is /healthz, /echo"),
    });
    for (const path of ["/", "//healthz", "/healthz/", "/toString", "/constructor"])
      expect((await ask(port, path)).status, path).toBe(404);
  });

  it.each(["/fails", "/fails-late"])("to %s is 500 without the reason, which is in the log", async (path) => {
    const { port, logged } = await started();
    const reply = await ask(port, `${path}?key=value`);
    expect(reply.status).toBe(500);
    expect(JSON.stringify(reply)).not.toContain("secret");
    expect(logged).toEqual([["a request could not be answered", { path, error: "the secret reason" }]]);
    expect((await ask(port, "/healthz")).status).toBe(200);
  });
});

describe("a stranger", () => {
  it.each([
    ["another name", { host: "evil.example" }],
    ["another name with our port", { host: "evil.example:9091" }],
    ["a name that begins as ours", { host: "localhost.evil.example" }],
    ["user and host", { host: "localhost@evil.example" }],
    ["another address", { host: "192.0.2.1" }],
    ["an origin elsewhere", { origin: "https://evil.example" }],
    ["an origin on this machine, but another server", { origin: "http://localhost:3000" }],
    ["no origin to speak of", { origin: "null" }],
  ])("with %s gets 403", async (_what, headers) => {
    const { port } = await started();
    expect(await ask(port, "/healthz", { headers })).toMatchObject({ status: 403 });
  });

  it("is told from us by any of our names", async () => {
    const { port } = await started();
    for (const host of ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"])
      for (const name of [host, `${host}:${port}`])
        expect((await ask(port, "/healthz", { headers: { host: name } })).status, name).toBe(200);
    const headers = { host: `localhost:${port}`, origin: `http://localhost:${port}` };
    expect((await ask(port, "/healthz", { headers })).status).toBe(200);
  });

  it.each(["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])("can't %s", async (method) => {
    const { port } = await started();
    const reply = await ask(port, "/healthz", { method, headers: { "content-type": "text/plain" } });
    expect(reply).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
  });

  it("can't send a body, an address as a proxy takes it, or a head without end", async () => {
    const { port } = await started();
    expect((await ask(port, "/healthz", { headers: { "content-length": 1 }, body: "x" })).status).toBe(400);
    const ended = async (bytes: string) => {
      const connection = rawConnection(port, bytes);
      await waitUntil(() => connection.ended);
      return connection.received.split("\r\n", 1)[0];
    };
    const host = "Host: localhost\r\n\r\n";
    expect(await ended(`GET http://evil.example/healthz HTTP/1.1\r\n${host}`)).toBe("HTTP/1.1 400 Bad Request");
    expect(await ended("GET /healthz HTTP/1.1\r\n\r\n")).toBe("HTTP/1.1 400 Bad Request");
    expect(await ended("GET /healthz HTTP/1.0\r\n\r\n")).toBe("HTTP/1.1 403 Forbidden");
    expect(await ended(`GET /${"x".repeat(9000)} HTTP/1.1\r\n${host}`)).toMatch(/ 431 /);
    expect(await ended(`GET / HTTP/1.1\r\nX: ${"x".repeat(9000)}\r\n${host}`)).toMatch(/ 431 /);
    expect(await ended("\x16\x03\x01 no HTTP at all\r\n\r\n")).toBe("HTTP/1.1 400 Bad Request");
  });
});
