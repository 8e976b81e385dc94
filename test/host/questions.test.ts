import { resolve } from "node:path";
import { expect, it } from "vitest";
import type { CrewEventType } from "../../src/events/crew-event.ts";
import { diamondFiles, inTurnFiles, stepOf, teamReplies } from "../support/diamond-team.ts";
import type { ModelRequest } from "../support/model-reply.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import type { HostEvent } from "../support/rpc-host.ts";
import { eventsOf, ofType, runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";
import { tmuxMissing } from "../support/tmux-host.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const QUESTION = "RESULT: blocked\nWhich of the two files shall I change?";
const CALL = { action: "run", team: "diamond", goal: "go" };

/** Step b can't go on before somebody says `blue`. */
function asksFirst(request: ModelRequest) {
  return request.firstUserText.includes("blue") ? { text: "b took the blue one" } : { text: QUESTION };
}

const bRequests = (rig: Rig) => rig.server.requests.filter(({ request }) => stepOf(request) === "b");

it("a worker's question is asked in a dialog, and its task goes on with the answer", async () => {
  const dialogs: string[] = [];
  const rig = await makeRig(teamReplies(CALL, { b: asksFirst }), { files: inTurnFiles });
  const host = await rig.rpc({
    extensions: [PACKAGE],
    answerDialog: (request) => {
      dialogs.push(`${request["method"]}: ${request["title"]}`);
      return { value: "the blue one" };
    },
  });
  await host.prompt("let the team do it");
  const runId = (await runIds(rig.agentFolder.project)).at(-1) as string;
  const events = await eventsOf(rig.agentFolder.project, runId);
  expect(events.at(-1)?.type).toBe("crew.run.completed");
  expect(dialogs).toEqual(["input: Your answer to b (Esc: later)"]);
  const [first, second, ...more] = bRequests(rig);
  expect(more).toEqual([]);
  expect(first?.request.firstUserText).not.toContain("Which of the two files");
  expect(second?.request.firstUserText).toContain("Which of the two files shall I change?");
  expect(second?.request.firstUserText).toContain("the blue one");
  expect(ofType(events, "crew.mailbox.message").map(({ direction, from, to }) => [direction, from, to])).toEqual([
    ["from-worker", "b", "user"],
    ["to-worker", expect.any(String), "b"],
  ]);
  expect(ofType(events, "crew.task.completed").find(({ taskId }) => taskId === "b")?.attempts).toBe(2);
  expect(ofType(events, "crew.task.deadletter")).toEqual([]);
});

it("a question waits: for a message from another Pi, also after Pi was killed", async () => {
  const rig = await makeRig(teamReplies(CALL, { b: asksFirst }), {
    files: { ...inTurnFiles, ".crew/config.json": '{"reliability":{"autoRecover":true}}' },
  });
  const first = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => null });
  first.write({ type: "prompt", message: "let the team do it" });
  await first.waitFor((event) => event["method"] === "input", 30_000);
  first.kill("SIGKILL");
  await first.exit;
  const dialogs: string[] = [];
  const second = await rig.rpc({
    extensions: [PACKAGE],
    answerDialog: (request) => {
      dialogs.push(String(request["method"]));
      // yes to going on; the question itself stays open
      return request["method"] === "confirm" ? { confirmed: true } : { cancelled: true };
    },
  });
  await second.waitFor((event) => event["method"] === "input", 30_000);
  expect(dialogs).toEqual(["confirm", "input"]);
  const runId = (await runIds(rig.agentFolder.project)).at(-1) as string;
  expect(await say(second, `/team-status ${runId}`)).toMatch(/b +running .*waits for your answer: Which/);
  expect(bRequests(rig)).toHaveLength(1);
  const other = await rig.rpc({ extensions: [PACKAGE] });
  const ended = second.waitFor((event) => event.type === "message_end" && event["message"].details?.runId === runId);
  expect(await say(other, `/team-message ${runId} b the blue one`)).toMatch(/Sent to|Kept for/);
  await ended;
  const events = await eventsOf(rig.agentFolder.project, runId);
  expect(events.at(-1)?.type).toBe("crew.run.completed");
  expect(bRequests(rig)).toHaveLength(2);
});

it("a command that was typed into the dialog is no answer", async () => {
  const rig = await makeRig(teamReplies(CALL, { b: asksFirst }), { files: inTurnFiles });
  const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ value: "/team-settings" }) });
  host.write({ type: "prompt", message: "let the team do it" });
  const said = (event: HostEvent) =>
    event["method"] === "notify" && String(event["message"]).includes("nothing was sent");
  await host.waitFor(said, 30_000);
  expect(bRequests(rig)).toHaveLength(1);
});

it("a run that waits for an answer can be cancelled; where nobody can be asked its task fails with the question", async () => {
  const rig = await makeRig(teamReplies(CALL, { b: asksFirst }), { files: inTurnFiles });
  const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => null });
  host.write({ type: "prompt", message: "let the team do it" });
  await host.waitFor((event) => event["method"] === "input", 30_000);
  const cancelled = (await runIds(rig.agentFolder.project)).at(-1) as string;
  expect(await say(host, `/team-cancel ${cancelled}`)).toContain("is cancelled");
  const { stdout } = await rig.print("let the team do it", { extensions: [PACKAGE] });
  const failed = (await runIds(rig.agentFolder.project)).at(-1) as string;
  expect(failed).not.toBe(cancelled);
  expect((await eventsOf(rig.agentFolder.project, failed)).at(-1)?.type).toBe("crew.run.failed");
  expect(stdout).toContain("Which of the two files shall I change?");
});

it("of two questions one is asked after the other: no key meant for the first goes to the second", async () => {
  const both = { b: asksFirst, c: asksFirst };
  const rig = await makeRig(teamReplies(CALL, both), { files: diamondFiles });
  const open: HostEvent[] = [];
  const host = await rig.rpc({
    extensions: [PACKAGE],
    answerDialog: (request) => {
      open.push(request);
      return null;
    },
  });
  host.write({ type: "prompt", message: "let the team do it" });
  const told = (task: string) => (event: HostEvent) =>
    event["method"] === "notify" && String(event["message"]).startsWith(`Task ${task} of run `);
  await host.waitFor(told("b"), 30_000);
  await host.waitFor(told("c"), 30_000);
  await host.waitFor((event) => event["method"] === "input", 30_000);
  expect(open).toHaveLength(1);
  host.answer(open[0]?.["id"], { value: "the blue one" });
  await host.waitFor((event) => event["method"] === "input" && event["id"] !== open[0]?.["id"], 30_000);
  host.answer(open[1]?.["id"], { value: "the blue one" });
  await host.waitFor((event) => event.type === "agent_end", 30_000);
  expect(open.map(({ title }) => title).sort()).toEqual([
    "Your answer to b (Esc: later)",
    "Your answer to c (Esc: later)",
  ]);
  const runId = (await runIds(rig.agentFolder.project)).at(-1) as string;
  expect((await eventsOf(rig.agentFolder.project, runId)).at(-1)?.type).toBe("crew.run.completed");
}, 60_000);

it("a task that waits for its user's answer lets others work in its place, and waits for one again", async () => {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const c = async () => {
    await opened;
    return { text: "c is done" };
  };
  const rig = await makeRig(teamReplies(CALL, { b: asksFirst, c }), {
    files: { ...diamondFiles, ".crew/config.json": '{"limits":{"maxParallelAttempts":1}}' },
  });
  const { project } = rig.agentFolder;
  const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => null });
  host.write({ type: "prompt", message: "let the team do it" });
  const asked = await host.waitFor((event) => event["method"] === "input", 30_000);
  const [runId = ""] = await runIds(project);
  const at = async (type: CrewEventType, taskId: string, attempt: number) =>
    (await eventsOf(project, runId)).findIndex(
      (event) => event.type === type && event.taskId === taskId && event.attempt === attempt,
    );
  await waitUntil(() => rig.server.requests.some(({ request }) => stepOf(request) === "c"), 30_000);
  host.answer(asked["id"], { value: "the blue one" });
  await waitUntil(async () => ofType(await eventsOf(project, runId), "crew.mailbox.message").length === 2, 30_000);
  expect(bRequests(rig)).toHaveLength(1);
  open();
  await host.waitFor((event) => event.type === "agent_end", 30_000);
  expect((await eventsOf(project, runId)).at(-1)?.type).toBe("crew.run.completed");
  const places = [
    await at("crew.task.attempt_finished", "b", 1),
    await at("crew.task.attempt_started", "c", 1),
    await at("crew.task.attempt_finished", "c", 1),
    await at("crew.task.attempt_started", "b", 2),
  ];
  expect(places).toEqual([...places].sort((one, other) => one - other));
  expect(places).not.toContain(-1);
}, 90_000);

it.skipIf(tmuxMissing !== null)(
  "a run that ends takes its dialog away",
  async () => {
    const rig = await makeRig(teamReplies(CALL, { b: asksFirst }), { files: inTurnFiles });
    const pi = await (await rig.tmux({ extensions: [PACKAGE], columns: 100, rows: 32 })).ready();
    await pi.submit('/team-run diamond "go"');
    await pi.waitForText("Your answer to b", 30_000);
    const other = await rig.rpc({ extensions: [PACKAGE] });
    await say(other, `/team-cancel ${(await runIds(rig.agentFolder.project)).at(-1)}`);
    await pi.waitFor((screen) => !screen.includes("Your answer to b"), { what: "no dialog" });
  },
  60_000,
);
