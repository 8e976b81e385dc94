import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { createWebhook, webhookAddress } from "../../src/export/webhook.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { waitUntil } from "../support/processes.ts";

const { clock } = nodeWorld({ warn: () => undefined, error: () => undefined });

interface Asked {
  method: string;
  path: string;
  type: string;
  body: string;
}

/** A server on this machine that keeps what it is asked and answers as told; `null` never answers. */
async function listener(answer: { status: number; headers?: Record<string, string>; body?: string } | null) {
  const asked: Asked[] = [];
  const server: Server = createServer(async (request: IncomingMessage, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const { method = "", url: path = "", headers } = request;
    asked.push({ method, path, type: headers["content-type"] ?? "", body });
    if (answer) response.writeHead(answer.status, answer.headers).end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const connections = () => new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count)));
  return { asked, connections, base: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe("a webhook", () => {
  it("gets the payload as JSON, whatever text is in it, and the connection does not stay", async () => {
    const { asked, base, connections } = await listener({ status: 204 });
    const payload = { text: "[error] a\nb \u2028 \u{1f600} \ud800", n: 1, nothing: null };
    await createWebhook({ url: `${base}/hook/abc?x=1`, clock }).post(payload);
    expect(asked).toMatchObject([{ method: "POST", path: "/hook/abc?x=1", type: "application/json" }]);
    expect(JSON.parse(asked[0]?.body ?? "")).toEqual(payload);
    await waitUntil(async () => (await connections()) === 0);
  });

  it.each([301, 307, 400, 404, 500])("that answers %i is a failure, and a redirect is not followed", async (status) => {
    const other = await listener({ status: 200 });
    const { asked, base } = await listener({ status, headers: { location: other.base }, body: "x".repeat(1_000_000) });
    const sent = createWebhook({ url: `${base}/secret-token`, clock }).post({});
    await expect(sent).rejects.toThrow(new RegExp(`^127\\.0\\.0\\.1:\\d+ answered ${status}$`));
    expect([asked.length, other.asked.length]).toEqual([1, 0]);
  });

  it("that never answers is given up after 5 s, and its connection with it", async () => {
    const { base, asked, connections } = await listener(null);
    const fake = new FakeClock();
    const sent = createWebhook({ url: `${base}/secret-token`, clock: fake }).post({});
    let ended = "";
    sent.catch((error: Error) => {
      ended = error.message;
    });
    await waitUntil(() => asked.length === 1);
    await fake.advance(4999);
    expect(ended).toBe("");
    await fake.advance(1);
    await waitUntil(() => ended !== "");
    expect(ended).toMatch(/^127\.0\.0\.1:\d+ can't be reached: no answer within 5 s$/);
    await waitUntil(async () => (await connections()) === 0);
    expect(fake.pending).toBe(0);
  });

  it("that nobody listens at is a failure which names the host and not the path", async () => {
    const sent = createWebhook({ url: "http://127.0.0.1:9/secret-token", clock }).post({});
    await expect(sent).rejects.toThrow("127.0.0.1:9 can't be reached");
    await expect(sent).rejects.not.toThrow("secret-token");
  });

  it("takes no payload of any size", async () => {
    const { base, asked } = await listener({ status: 200 });
    await expect(createWebhook({ url: base, clock }).post({ text: "x".repeat(70_000) })).rejects.toThrow("65536");
    expect(asked).toEqual([]);
  });
});

describe("the address of a webhook", () => {
  it.each([
    "https://hooks.example.com/services/T0/B0/x",
    "https://10.0.0.7:8443/",
    "http://localhost:9000/a",
    "http://127.0.0.1",
    "http://127.8.9.10:1/",
    "http://[::1]:9000/",
    "HTTP://LOCALHOST/",
  ])("may be %s", (text) => {
    expect(webhookAddress(text)?.href.length).toBeGreaterThan(0);
  });

  it.each([
    "",
    "hooks.example.com",
    "http://example.com/",
    "http://localhost.example.com/",
    "http://localhost@example.com/",
    "http://127.0.0.1.example.com/",
    "http://10.0.0.7/",
    "http://0.0.0.0/",
    "http://[::ffff:10.0.0.7]/",
    "ftp://localhost/",
    "file:///etc/passwd",
    "javascript:alert(1)",
  ])("may not be %j", (text) => {
    expect(webhookAddress(text)).toBeNull();
    expect(() => createWebhook({ url: text, clock })).toThrow("notifications.webhookUrl");
  });
});
