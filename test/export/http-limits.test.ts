import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { waitUntil } from "../support/processes.ts";
import { ask, rawConnection, started } from "./http-asking.ts";

const REPO = join(import.meta.dirname, "../..");

describe("a slow client", () => {
  it("has five seconds to send its request", async () => {
    const { port, clock } = await started();
    const connection = rawConnection(port, "GET /healthz HTTP/1.1\r\nHost: loc");
    await waitUntil(() => clock.pending === 1);
    await clock.advance(4999);
    connection.socket.write("alhost\r\n");
    expect(connection.ended).toBe(false);
    await clock.advance(1);
    await waitUntil(() => connection.ended);
    expect(connection.received).toMatch(/^HTTP\/1.1 408 Request Timeout\r\n[\s\S]*\r\n\r\nThe request did not come/);
  });

  it.each([
    [400, "nonsense\r\n\r\n", "That is no HTTP request."],
    [431, `GET /${"x".repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, "Request line and headers have at most"],
  ])("is told why its request is none, with %d", async (status, bytes, sentence) => {
    const { port } = await started();
    const connection = rawConnection(port, bytes);
    await waitUntil(() => connection.ended);
    expect(connection.received).toMatch(new RegExp(`^HTTP/1.1 ${status} [^]*\r\n\r\n${sentence}`));
  });

  it.each(["/never", "/large"])("has thirty for the answer to %s", async (path) => {
    const { port, clock, asked } = await started();
    const connection = rawConnection(port, `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    connection.socket.pause();
    await waitUntil(() => asked.length === 1);
    await clock.advance(29_999);
    expect(connection.socket.readyState).toBe("open");
    // still served: it takes one more place
    await ask(port, "/healthz");
    await waitUntil(() => clock.pending === 1);
    await clock.advance(1);
    connection.socket.resume();
    await waitUntil(() => connection.ended);
    expect(connection.received.length).toBeLessThan(50_000_000);
    expect(clock.pending).toBe(0);
  });

  it("gives way to others when there are many, who are answered all the while", async () => {
    const { port, clock } = await started({ host: "127.0.0.1" });
    const connections = Array.from({ length: 300 }, () => rawConnection(port, "GET"));
    await waitUntil(() => connections.filter(({ ended }) => ended).length >= 300 - 64);
    expect((await ask(port, "/healthz")).status).toBe(200);
    await waitUntil(() => clock.pending <= 64);
    expect(connections.filter(({ ended }) => !ended).length).toBeGreaterThan(0);
    await clock.advance(5000);
    await waitUntil(() => connections.every(({ ended }) => ended));
    expect((await ask(port, "/healthz")).status).toBe(200);
  });
});

describe("the server", () => {
  it.each([{}, { host: "localhost" }, { host: "" }])(
    "listens for this machine alone, by IPv4 and IPv6: %j",
    async (options) => {
      const { server, port } = await started(options);
      expect(server.url).toBe(`http://localhost:${port}/`);
      expect((await ask(port, "/healthz", { host: "127.0.0.1" })).status).toBe(200);
      await expect(ask(port, "/healthz", { host: "127.0.0.2" })).rejects.toThrow("ECONNREFUSED");
      const other = await ask(port, "/healthz", { host: "::1" }).catch((error: Error) => error.message);
      // a machine may have no IPv6
      expect([200, `connect EADDRNOTAVAIL ::1:${port}`]).toContain(
        typeof other === "string" ? other.split(" -")[0] : other.status,
      );
    },
  );

  it("listens where it is told, and is known by that address", async () => {
    const { port, server } = await started({ host: "127.0.0.2" });
    expect(server.url).toBe(`http://127.0.0.2:${port}/`);
    expect((await ask(port, "/healthz", { host: "127.0.0.2" })).status).toBe(200);
    const everywhere = await started({ host: "0.0.0.0" });
    expect((await ask(everywhere.port, "/healthz", { host: "127.0.0.3" })).status).toBe(200);
    const headers = { host: "evil.example" };
    expect((await ask(everywhere.port, "/healthz", { host: "127.0.0.3", headers })).status).toBe(403);
  });

  it("says which port is taken, whichever family has it", async () => {
    const { port } = await started();
    await expect(started({ port })).rejects.toThrow(
      `Port ${port} of 127.0.0.1 is in use, maybe by another session: choose another port, or 0 for any free one.`,
    );
    const six = createServer();
    const bound = await new Promise<boolean>((resolve) => {
      six.once("error", () => resolve(false));
      six.listen(0, "::1", () => resolve(true));
    });
    onTestFinished(() => void six.close());
    if (!bound) return;
    const { port: taken } = six.address() as { port: number };
    await expect(started({ port: taken })).rejects.toThrow(`Port ${taken} of ::1 is in use`);
    // and the one of the other family is free again
    await started({ port: taken, host: "127.0.0.1" });
  });

  it.each([-1, 65_536, 1.5, Number.NaN])("has no port %d", async (port) => {
    await expect(started({ port })).rejects.toThrow(`${port} is no port`);
  });

  it("says when an address is not of this machine", async () => {
    await expect(started({ host: "192.0.2.1" })).rejects.toThrow("192.0.2.1 is no address of this machine");
  });

  it("closes at once whatever is open, twice too, and its port is free", async () => {
    const { port, server, clock } = await started();
    const idle = rawConnection(port, "");
    const waiting = rawConnection(port, "GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const reading = rawConnection(port, "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await waitUntil(() => clock.pending === 3 && reading.received !== "");
    await Promise.all([server.close(), server.close()]);
    await waitUntil(() => idle.ended && waiting.ended && reading.ended);
    await waitUntil(() => clock.pending === 0);
    await started({ port });
  });

  it.each([
    [false, "ended"],
    [true, "running"],
  ])("with keepAlive %s leaves a process with nothing else to do %s", async (keepAlive, state) => {
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", guest(keepAlive)], {
      cwd: REPO,
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    let out = "";
    child.stdout.on("data", (chunk) => {
      out += chunk;
    });
    child.stderr.on("data", (chunk) => {
      out += chunk;
    });
    if (state === "running") {
      await waitUntil(
        () => /asked \d+\n/.test(out),
        30_000,
        () => out,
      );
      const port = Number(/asked (\d+)/.exec(out)?.[1]);
      expect((await ask(port, "/other")).status).toBe(404);
      expect(out).not.toContain("nothing to do");
    } else {
      const code = await new Promise((resolve) => child.once("exit", resolve));
      expect(out).toMatch(/^asked \d+\nnothing to do\n$/);
      expect(code).toBe(0);
    }
  });
});

/** It asks itself, so that there is an open connection too, and then has nothing else to do. */
function guest(keepAlive: boolean): string {
  return `
    import { connect } from "node:net";
    import { startHttpServer } from "./src/export/http-server.ts";
    const clock = { after: () => ({ [Symbol.dispose]: () => undefined }) };
    const never = () => {
      client.unref();
      console.log("asked", port);
      return new Promise(() => undefined);
    };
    const { port } = await startHttpServer({ port: 0, routes: { "/": never }, clock, log: console, keepAlive: ${keepAlive} });
    const client = connect(port, "127.0.0.1");
    client.write("GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n");
    process.on("beforeExit", () => console.log("nothing to do"));
  `;
}
