/** The preflight: what we use of the host is there, in the real host. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { currentHost, hostAtLeast } from "../support/host-paths.ts";
import { inTurn } from "../support/model-reply.ts";
import { fixture, makeRig, probeLog } from "../support/rig.ts";
import type { HostEvent } from "../support/rpc-host.ts";

const run = promisify(execFile);
const host = currentHost();
const probe = { extensions: [fixture("probe-extension.ts")], args: ["--no-session"] };
const quiet = () => ({ text: "fine" });

test(`an extension importing @mariozechner/* and typebox loads in ${host.name}`, async () => {
  const { agentFolder, rpc } = await makeRig(quiet);
  await rpc(probe);
  const [factory] = await probeLog(agentFolder, "factory");
  expect(factory).toMatchObject({ instance: 1, version: host.version, width: 2 });
});

test("pi, ctx and ctx.ui have the keys we rely on", async () => {
  const { agentFolder, rpc } = await makeRig(quiet);
  await (await rpc(probe)).command("/probe-surface");
  const [surface] = await probeLog(agentFolder, "surface");
  const pi = ["on", "registerTool", "registerCommand", "sendMessage", "sendUserMessage", "events", "appendEntry"];
  expect(surface!["pi"]).toEqual(expect.arrayContaining(pi));
  const ctx = ["cwd", "hasUI", "isIdle", "modelRegistry", "sessionManager", "signal", "ui"];
  expect(surface!["ctx"]).toEqual(expect.arrayContaining(ctx));
  const ui = ["notify", "confirm", "select", "input", "setStatus", "setWidget", "custom", "theme"];
  expect(surface!["ui"]).toEqual(expect.arrayContaining(ui));
  expect((await probeLog(agentFolder, "theme"))[0]!["fg"]).toContain("x");
});

test("pi.events.on returns an unsubscribe function, and there is no off", async () => {
  const { agentFolder, rpc } = await makeRig(quiet);
  const pi = await rpc(probe);
  await pi.command("/probe-surface");
  const [surface] = await probeLog(agentFolder, "surface");
  expect(surface!["off"]).toBe("function");
  expect(surface!["bus"]).toEqual(expect.arrayContaining(["emit", "on"]));
  expect(surface!["bus"]).not.toContain("off");
  await pi.command("/probe-ping heard");
  await pi.command("/probe-off");
  await pi.command("/probe-ping unheard");
  expect((await probeLog(agentFolder, "ping")).map((line) => line["data"])).toEqual(["heard"]);
});

test("pi.on returns nothing before 0.86, an unsubscribe function since", async () => {
  const { agentFolder, rpc } = await makeRig(quiet);
  await (await rpc(probe)).command("/probe-surface");
  const [surface] = await probeLog(agentFolder, "surface");
  expect(surface!["onReturned"]).toBe(hostAtLeast(host, "0.86") ? "function" : "undefined");
});

test("getAllTools and getCommands name the file of an extension given by -e", async () => {
  const { agentFolder, rpc } = await makeRig(quiet);
  await (await rpc(probe)).command("/probe-surface");
  const [sources] = await probeLog(agentFolder, "sources");
  const expected = { path: fixture("probe-extension.ts"), source: "cli", scope: "temporary" };
  expect(sources).toMatchObject({ tool: expected, command: expected });
});

test("print, json and rpc can be told apart by argv and hasUI; ctx.mode exists since 0.78", async () => {
  const { agentFolder, rpc, print } = await makeRig(quiet);
  await print("go", probe);
  await print("go", { ...probe, mode: "json" });
  await rpc(probe);
  const starts = await probeLog(agentFolder, "session_start");
  expect(starts.map((line) => [line["hasUI"], line["themes"]])).toEqual([
    [false, 0],
    [false, 0],
    [true, 0],
  ]);
  const modes = hostAtLeast(host, "0.78") ? ["print", "json", "rpc"] : [null, null, null];
  expect(starts.map((line) => line["mode"])).toEqual(modes);
  const argv = (await probeLog(agentFolder, "factory")).map((line) => line["argv"] as string[]);
  expect(argv.map(([first, second]) => [first, second])).toEqual([
    ["-p", "-e"],
    ["--mode", "json"],
    ["--mode", "rpc"],
  ]);
});

test("a command's text reaches stdout of -p by writeSync(1) or the prototype's write; console.log goes to stderr", async () => {
  const { print, server } = await makeRig(quiet);
  const everything = "/probe-output notify console write prototype message entry status widget";
  const result = await print(everything, probe);
  expect(result).toMatchObject({ code: 0, stdout: "by-write\nby-prototype\n", stderr: "by-console\n" });
  expect(server.requests).toHaveLength(0);
});

test("in json mode a command's custom message is a message_end line, and notify is nothing", async () => {
  const { print } = await makeRig(quiet);
  const result = await print("/probe-output notify console message", { ...probe, mode: "json" });
  const events = result.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as HostEvent);
  expect(result.stdout).not.toContain("by-notify");
  expect(result.stderr).toBe("by-console\n");
  const messages = events.filter((event) => event.type === "message_end").map((event) => event["message"]);
  expect(messages).toMatchObject([{ role: "custom", customType: "probe", content: "by-message", details: { a: 1 } }]);
});

test("in rpc mode notify, status and widget are lines, dialogs are answered, custom is undefined", async () => {
  const { agentFolder, rpc } = await makeRig(quiet);
  const pi = await rpc({
    ...probe,
    answerDialog: ({ method }) => (method === "confirm" ? { confirmed: true } : { value: `the ${method}` }),
  });
  const output = await pi.command("/probe-output notify status widget message");
  expect(output.notices).toEqual(["by-notify"]);
  expect(output.requests.map((request) => request["method"])).toEqual(["notify", "setStatus", "setWidget"]);
  expect(output.messages).toMatchObject([{ customType: "probe", content: "by-message" }]);
  const dialogs = await pi.command("/probe-dialogs");
  expect(dialogs.response["success"]).toBe(true);
  const answers = { confirm: true, select: "the select", input: "the input", custom: null };
  expect((await probeLog(agentFolder, "dialogs"))[0]).toMatchObject(answers);
});

test("dialogs resolve at once to false and undefined in print mode", async () => {
  const { agentFolder, print } = await makeRig(quiet);
  expect(await print("/probe-dialogs", probe)).toMatchObject({ code: 0, stdout: "" });
  const answers = { confirm: false, select: null, input: null, custom: null };
  expect((await probeLog(agentFolder, "dialogs"))[0]).toMatchObject(answers);
});

test("the model calls an extension's tool", async () => {
  const reply = inTurn({ tools: [{ name: "probe_tool", args: { text: "hi" } }] }, { text: "end" });
  const { server, rpc } = await makeRig(reply);
  await (await rpc(probe)).prompt("go");
  expect(server.requests[0]?.request.tools).toContain("probe_tool");
  expect(server.requests[1]?.request.lastToolText).toBe("ECHO(hi)");
});

async function sdk(what: "prompt" | "abort", reply: Parameters<typeof makeRig>[0]) {
  const { agentFolder, server } = await makeRig(reply);
  const args = [fixture("sdk-probe.mjs"), host.packageFolder, agentFolder.project, fixture("probe-extension.ts"), what];
  const { stdout } = await run(host.node, args, { cwd: agentFolder.project, env: agentFolder.env });
  return { agentFolder, server, seen: JSON.parse(stdout.trim()) as Record<string, unknown> };
}

test("the SDK a worker needs is exported, and runs a prompt with an extension's tool", async () => {
  const usage = { input: 321, output: 12 };
  const reply = inTurn({ tools: [{ name: "probe_tool", args: { text: "sdk" } }] }, { text: "worked", usage });
  const { agentFolder, server, seen } = await sdk("prompt", reply);
  expect(seen["exports"]).toEqual({
    createAgentSessionServices: "function",
    createAgentSessionFromServices: "function",
    getAgentDir: "function",
  });
  expect(seen).toMatchObject({ inMemory: "function", diagnostics: [], text: "worked", stopReason: "stop", usage });
  expect(seen["methods"]).toEqual(["prompt", "steer", "followUp", "abort", "subscribe", "dispose", "bindExtensions"]);
  expect(seen["left"]).toEqual([true, ["too late for the last turn"], false]);
  expect(seen["events"]).toEqual(expect.arrayContaining(["agent_start", "tool_execution_end", "agent_end"]));
  expect(server.requests.map(({ request }) => request.model)).toEqual(["mock-2", "mock-2"]);
  expect(server.requests[0]?.request.tools.sort()).toEqual(["bash", "probe_tool"]);
  expect(await probeLog(agentFolder, "session_start")).toHaveLength(1);
});

test("dispose of an SDK session sends no session_shutdown", async () => {
  const { agentFolder } = await sdk("prompt", quiet);
  expect(await probeLog(agentFolder, "agent_end")).toHaveLength(1);
  expect(await probeLog(agentFolder, "session_shutdown")).toHaveLength(0);
});

test("abort ends an SDK session's prompt and its request", async () => {
  const { server, seen } = await sdk("abort", () => ({ text: "never ends", stall: true }));
  expect(seen).toMatchObject({ stopReason: "aborted" });
  await server.waitForRequest(({ end }) => end === "gone");
});
