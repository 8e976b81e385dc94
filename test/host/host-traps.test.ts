/** Traps of the host that shape this package's design; each is a fact of the real host. */
import { expect, test } from "vitest";
import { tagVariable } from "../support/agent-folder.ts";
import { currentHost, hostAtLeast } from "../support/host-paths.ts";
import { inTurn } from "../support/model-reply.ts";
import { jsonEvents, startPrintHost } from "../support/print-host.ts";
import {
  expectGone,
  processesInGroup,
  processesVisible,
  processesWithEnvironment,
  waitUntil,
} from "../support/processes.ts";
import { fixture, makeRig, probeLog } from "../support/rig.ts";

const host = currentHost();
const probe = { extensions: [fixture("probe-extension.ts")], args: ["--no-session"] };
const quiet = () => ({ text: "fine" });
const oneTool = inTurn({ tools: [{ name: "probe_tool", args: { text: "hi" } }] }, { text: "end" });

test(`session_start arrives twice for one session after rpc new_session (${host.name})`, async () => {
  const { agentFolder, rpc } = await makeRig(quiet);
  const pi = await rpc(probe);
  expect(await pi.send({ type: "new_session" })).toMatchObject({ success: true });
  const starts = await probeLog(agentFolder, "session_start");
  expect(starts.map((line) => line["reason"])).toEqual(["startup", "new", "new"]);
  expect(starts[1]!["sessionId"]).toBe(starts[2]!["sessionId"]);
  expect(starts[1]!["instance"]).toBe(starts[2]!["instance"]);
  expect(starts[0]!["sessionId"]).not.toBe(starts[1]!["sessionId"]);
});

test("the ctx and pi of a replaced session throw on use", async () => {
  const { agentFolder, rpc } = await makeRig(quiet);
  await (await rpc(probe)).command("/probe-new");
  const [after] = await probeLog(agentFolder, "after_new");
  expect(after!["ctx"]).toContain("stale");
  expect(after!["pi"]).toContain("stale");
});

test("reload keeps the old pi.events listeners before 0.84, drops them since", async () => {
  const { agentFolder, rpc } = await makeRig(quiet);
  const pi = await rpc(probe);
  await pi.command("/probe-reload");
  const [after] = await probeLog(agentFolder, "after_reload");
  const before = (await probeLog(agentFolder, "ping")).length;
  await pi.command("/probe-ping new");
  const heard = (await probeLog(agentFolder, "ping")).slice(before).map((line) => line["instance"]);
  if (hostAtLeast(host, "0.84")) {
    expect(after!["ctx"]).toContain("stale");
    expect(after!["emit"]).toContain("stale");
    expect(heard).toHaveLength(1);
  } else {
    expect(after).toMatchObject({ ctx: "ok", emit: "ok" });
    expect(heard).toEqual([1, 2]);
  }
});

test("slow handlers see session_shutdown before the run's last events, with a stale ctx, before 0.87", async () => {
  const { agentFolder, print } = await makeRig(oneTool);
  await print("go", { ...probe, env: { PROBE_SLOW_MS: "60" } });
  const lines = await probeLog(agentFolder);
  const shutdown = lines.findIndex((line) => line.k === "session_shutdown");
  const late = lines.slice(shutdown + 1);
  if (hostAtLeast(host, "0.87")) {
    expect(late).toEqual([]);
    expect(lines.filter((line) => line["stale"])).toEqual([]);
  } else {
    expect(late.map((line) => line.k)).toContain("agent_end");
    expect(late.some((line) => line["stale"] === true)).toBe(true);
  }
});

test("json mode exits 0 though the model failed, text mode 1", async () => {
  const { print } = await makeRig(() => ({ status: 500, error: "no luck" }));
  const json = await print("go", { ...probe, mode: "json" });
  expect(json.code).toBe(0);
  const ends = jsonEvents(json.stdout).filter((event) => event.type === "message_end");
  const last = ends.map((event) => event["message"]).findLast((message) => message.role === "assistant");
  expect(last).toMatchObject({ stopReason: "error", errorMessage: expect.stringContaining("no luck") });
  expect((await print("go", probe)).code).toBe(1);
});

test("message_update repeats the whole message before 0.84: a flood that grows with the square", async () => {
  const { rpc } = await makeRig((request) => ({ text: "x".repeat(Number(request.lastUserText)), chunkChars: 16 }));
  const pi = await rpc(probe);
  const bytesFor = async (characters: number) => {
    const before = pi.updateBytes;
    await pi.prompt(String(characters));
    return pi.updateBytes - before;
  };
  await bytesFor(16); // the first one carries what later ones do not
  const [small, large] = [await bytesFor(2000), await bytesFor(8000)];
  const factor = large / small;
  if (hostAtLeast(host, "0.84")) expect(factor).toBeLessThan(5);
  else expect(factor).toBeGreaterThan(8);
  expect(pi.updates).toBeGreaterThan((2000 + 8000) / 16);
  const begin = hostAtLeast(host, "0.84") ? 0.1 : 2;
  expect(large / 1e6).toBeGreaterThan(begin);
});

test("a factory that throws stops the host from starting", async () => {
  const { print } = await makeRig(quiet);
  const result = await print("go", { extensions: [fixture("throwing-extension.ts")] });
  expect(result).toMatchObject({ code: 1, stdout: "" });
  expect(result.stderr).toContain("thrown in the factory");
});

test("two extensions with one tool name stop the host from starting", async () => {
  const { agentFolder, print, server } = await makeRig(quiet);
  const result = await print("go", { extensions: [...probe.extensions, fixture("clashing-extension.ts")] });
  expect(result).toMatchObject({ code: 1, stdout: "" });
  expect(result.stderr).toMatch(/Tool "probe_tool" conflicts/);
  expect(await probeLog(agentFolder, "session_start")).toEqual([]);
  expect(server.requests).toEqual([]);
});

test("a command that throws is reported and leaves the host running", async () => {
  const { rpc } = await makeRig(quiet);
  const pi = await rpc(probe);
  const output = await pi.command("/probe-throw");
  expect(output.errors).toMatchObject([{ extensionPath: "command:probe-throw", error: "thrown in a command" }]);
  expect((await pi.prompt("go")).type).toBe("agent_end");
});

test("SIGTERM delivers session_shutdown in print mode (143)", async () => {
  const { agentFolder, server } = await makeRig(() => ({ stall: true }));
  const pi = startPrintHost({ agentFolder, prompt: "go", ...probe });
  await server.waitForRequest(() => true);
  pi.kill("SIGTERM");
  expect(await pi.done).toMatchObject({ code: 143, signal: null });
  expect(await probeLog(agentFolder, "session_shutdown")).toMatchObject([{ reason: "quit" }]);
});

test.runIf(processesVisible)("SIGTERM ends the bash tool's processes, SIGKILL leaves them running", async () => {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    const { agentFolder } = await makeRig(
      inTurn({ tools: [{ name: "bash", args: { command: "sleep 61 & sleep 62" } }] }),
    );
    const tagged = () => processesWithEnvironment(tagVariable, agentFolder.tag);
    const sleeps = () => tagged().filter(({ command }) => command.startsWith("sleep"));
    const pi = startPrintHost({ agentFolder, prompt: "go", ...probe });
    await waitUntil(() => sleeps().length === 2);
    expect(processesInGroup(pi.pid).map(({ pid }) => pid)).toEqual([pi.pid]); // the tool has a group of its own
    pi.kill(signal);
    await pi.done;
    if (signal === "SIGTERM") await expectGone(tagged);
    else expect(sleeps()).toHaveLength(2);
  }
});

test("SIGINT by kill delivers no session_shutdown in print mode", async () => {
  const { agentFolder, server } = await makeRig(() => ({ stall: true }));
  const pi = startPrintHost({ agentFolder, prompt: "go", ...probe });
  await server.waitForRequest(() => true);
  pi.kill("SIGINT");
  expect(await pi.done).toMatchObject({ code: null, signal: "SIGINT" });
  expect(await probeLog(agentFolder, "session_shutdown")).toEqual([]);
});

test("SIGTERM delivers session_shutdown in rpc mode (143)", async () => {
  const { agentFolder, rpc } = await makeRig(quiet);
  const pi = await rpc(probe);
  pi.kill("SIGTERM");
  expect(await pi.exit).toEqual({ code: 143, signal: null });
  expect(await probeLog(agentFolder, "session_shutdown")).toMatchObject([{ reason: "quit" }]);
});

test("the end of stdin delivers session_shutdown in rpc mode (0), also in mid-answer", async () => {
  const { agentFolder, rpc, server } = await makeRig(() => ({ text: "on and on", stall: true }));
  const pi = await rpc(probe);
  await pi.send({ type: "prompt", message: "go" });
  await server.waitForRequest(() => true);
  expect(await pi.close()).toEqual({ code: 0, signal: null });
  expect(await probeLog(agentFolder, "session_shutdown")).toMatchObject([{ reason: "quit" }]);
});

test("an interval that is not unref'd keeps -p alive; an unref'd one does not", async () => {
  const { agentFolder, print } = await makeRig(quiet);
  expect(await print("/probe-interval unref", probe)).toMatchObject({ code: 0, timedOut: false });
  const kept = await print("/probe-interval", { ...probe, timeoutMs: 4000 });
  expect(kept).toMatchObject({ signal: "SIGKILL", timedOut: true });
  expect(await probeLog(agentFolder, "session_shutdown")).toHaveLength(2);
});
