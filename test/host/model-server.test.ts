import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { type AgentFolder, type AgentFolderOptions, makeAgentFolder } from "../support/agent-folder.ts";
import { currentHost } from "../support/host-paths.ts";
import { costOf, inTurn } from "../support/model-reply.ts";
import { type ModelServer, type ReplyFunction, startModelServer } from "../support/model-server.ts";
import { jsonEvents, runPrint, startPrintHost } from "../support/print-host.ts";
import { listeningPorts, openFds, processesVisible, waitUntil } from "../support/processes.ts";
import type { HostEvent } from "../support/rpc-host.ts";

const releases: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const release of releases.splice(0).reverse()) await release();
});

async function rig(
  reply: ReplyFunction,
  options: AgentFolderOptions = {},
): Promise<{ server: ModelServer; agentFolder: AgentFolder }> {
  const server = await startModelServer({ reply });
  const agentFolder = await makeAgentFolder({ serverUrl: server.url, ...options });
  releases.push(
    () => server.close(),
    () => agentFolder.dispose(),
  );
  return { server, agentFolder };
}

function assistantMessages(events: HostEvent[]): HostEvent[] {
  return events
    .filter((event) => event.type === "message_end" && event["message"].role === "assistant")
    .map((event) => event["message"] as HostEvent);
}

test(`a print-mode Pi answers through the server (${currentHost().name})`, async () => {
  const { server, agentFolder } = await rig((request) => ({ text: `you said: ${request.lastUserText}` }));
  const result = await runPrint({ agentFolder, prompt: "Grüße, 世界 🙂\u2028end", args: ["--no-session"] });
  expect(result).toMatchObject({ code: 0, signal: null, stdout: "you said: Grüße, 世界 🙂\u2028end\n" });
  expect(server.requests).toHaveLength(1);
  const request = server.requests[0]!.request;
  expect(request).toMatchObject({ number: 1, model: "mock-1", assistantTurns: 0, traceparent: null });
  expect(request.tools).toEqual(expect.arrayContaining(["read", "bash", "edit", "write"]));
  expect(request.system).toContain(agentFolder.project);
  expect(request.firstUserText).toBe(request.lastUserText);
});

test("a tool call makes the round trip through the real bash tool", async () => {
  const { server, agentFolder } = await rig(
    inTurn(
      {
        text: "Let me look.",
        tools: [{ name: "bash", args: { command: "echo made > made.txt; echo tool-$((40+2))" } }],
      },
      { text: "seen" },
    ),
  );
  const result = await runPrint({ agentFolder, prompt: "go", args: ["--no-session"] });
  expect(result).toMatchObject({ code: 0, stdout: "seen\n" });
  expect(server.requests.map(({ request }) => request.assistantTurns)).toEqual([0, 1]);
  expect(server.requests[1]?.request.lastToolText).toContain("tool-42");
  expect(existsSync(join(agentFolder.project, "made.txt"))).toBe(true);
});

test("the usage and cost that Pi counts are what the server sent", async () => {
  const { server, agentFolder } = await rig(
    inTurn(
      { tools: [{ name: "bash", args: { command: "true" } }], usage: { input: 1234, output: 56, cacheRead: 700 } },
      { text: "end", usage: { input: 11, output: 2, cacheWrite: 33 } },
    ),
  );
  const args = ["--no-session", "--model", "mock/mock-2"];
  const result = await runPrint({ agentFolder, mode: "json", prompt: "go", args });
  const usages = assistantMessages(jsonEvents(result.stdout)).map((message) => message["usage"]);
  const sum = (kind: string) => usages.reduce((total, usage) => total + usage[kind], 0);
  const counted = {
    input: sum("input"),
    output: sum("output"),
    cacheRead: sum("cacheRead"),
    cacheWrite: sum("cacheWrite"),
  };
  expect(counted).toEqual({ input: 1245, output: 58, cacheRead: 700, cacheWrite: 33 });
  expect(server.usageTotals()).toEqual({ ...counted, requests: 2 });
  expect(server.usageTotals("mock-1").requests).toBe(0);
  const cost = usages.reduce((total, usage) => total + usage.cost.total, 0);
  expect(server.costUsd()).toBeCloseTo(cost, 12);
  expect(server.costUsd("mock-2")).toBeCloseTo(costOf("mock-2", counted), 12);
});

test("thinking, several tools in one message and slow chunks arrive whole", async () => {
  const { server, agentFolder } = await rig(
    inTurn(
      {
        thinking: "hm",
        tools: [
          { name: "bash", args: { command: "echo one" } },
          { name: "bash", args: { command: "echo two" } },
        ],
      },
      { text: "a text in pieces of three", chunkChars: 3, chunkMs: 5, delayMs: 20 },
    ),
  );
  const result = await runPrint({ agentFolder, mode: "json", prompt: "go", args: ["--no-session"] });
  const [first, second] = assistantMessages(jsonEvents(result.stdout));
  expect(first!["content"].map((part: HostEvent) => part.type)).toEqual(["thinking", "toolCall", "toolCall"]);
  expect(second!["content"]).toMatchObject([{ type: "text", text: "a text in pieces of three" }]);
  expect(server.requests[1]!.endedAt! - server.requests[1]!.startedAt).toBeGreaterThan(20 + 5 * 8);
});

test("a 429 without retry fails the prompt once, with its message", async () => {
  const reply = { status: 429, headers: { "retry-after": "7" }, error: "slow down" };
  const { server, agentFolder } = await rig(() => reply);
  const result = await runPrint({ agentFolder, prompt: "go", args: ["--no-session"] });
  expect(result.code).toBe(1);
  expect(result.stderr).toContain("slow down");
  expect(server.requests.map(({ end, usage }) => [end, usage])).toEqual([["status", null]]);
  expect(server.usageTotals().requests).toBe(0);
});

test("a 503 is tried again when the host's retry is on", async () => {
  const { server, agentFolder } = await rig((request) => (request.number < 3 ? { status: 503 } : { text: "at last" }), {
    retry: { enabled: true, maxRetries: 3, baseDelayMs: 10, provider: { maxRetries: 0 } },
  });
  const result = await runPrint({ agentFolder, prompt: "go", args: ["--no-session"] });
  expect(result).toMatchObject({ code: 0, stdout: "at last\n" });
  expect(server.requests.map(({ end }) => end)).toEqual(["status", "status", "answered"]);
});

test("a stalled stream stays open until the host is ended", async () => {
  const { server, agentFolder } = await rig(() => ({ text: "thinking about", stall: true }));
  const host = startPrintHost({ agentFolder, prompt: "go", args: ["--no-session"] });
  const stalled = await server.waitForRequest(({ end }) => end === "open");
  host.kill("SIGTERM");
  expect(await host.done).toMatchObject({ code: 143, timedOut: false });
  await server.waitForRequest(({ end }) => end === "gone");
  expect(stalled).toMatchObject({ end: "gone", usage: null });
});

test("a stream cut in the middle is an error and no usage", async () => {
  const { server, agentFolder } = await rig(() => ({ text: "half of this text is never seen", cut: true }));
  const result = await runPrint({ agentFolder, mode: "json", prompt: "go", args: ["--no-session"] });
  const [message] = assistantMessages(jsonEvents(result.stdout));
  expect(message).toMatchObject({ stopReason: "error", usage: { input: 0, output: 0 } });
  expect(message!["errorMessage"]).not.toBe("");
  expect(server.requests.map(({ end }) => end)).toEqual(["cut"]);
});

test("closing the server ends a stalled host's request", async () => {
  const { server, agentFolder } = await rig(() => ({ stall: true }));
  const host = startPrintHost({ agentFolder, prompt: "go", args: ["--no-session"] });
  await server.waitForRequest(({ end }) => end === "open");
  await server.close();
  expect((await host.done).code).toBe(1);
  expect(server.requests[0]?.end).toBe("closed");
});

test("what the reply function throws is kept and answered with a 500", async () => {
  const { server, agentFolder } = await rig(() => {
    throw new Error("broken test");
  });
  const result = await runPrint({ agentFolder, prompt: "go", args: ["--no-session"] });
  expect(result.code).toBe(1);
  expect(server.errors.map(String)).toEqual(["Error: broken test"]);
});

test.runIf(processesVisible)("a closed server leaves no listener and no socket", async () => {
  const before = openFds().size;
  const server = await startModelServer({ reply: () => ({ stall: true }) });
  expect(listeningPorts(process.pid)).toContain(server.port);
  const body = JSON.stringify({ model: "mock-1", messages: [{ role: "user", content: "go" }] });
  const answer = await fetch(`${server.url}/chat/completions`, { method: "POST", body });
  await server.close();
  await expect(answer.text()).rejects.toThrow();
  expect(listeningPorts(process.pid)).not.toContain(server.port);
  await waitUntil(() => openFds().size <= before);
});
