import { readFile, rename, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { diamondFiles, type StepScript, stepOf, teamReplies } from "../support/diamond-team.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const MESSAGE = 'use "pnpm", don\'t use npm';

/** The bodies of a step's model requests, as text. */
const asked = (rig: Rig, step: string): string[] =>
  rig.server.requests
    .filter(({ request }) => stepOf(request) === step)
    .map(({ request }) => request.messages.map(({ content }) => JSON.stringify(content)).join("\n"));

const heard = (request: string | undefined): boolean => (request ?? "").includes(JSON.stringify(MESSAGE).slice(1, -1));

function gate(): { open: () => void; opened: Promise<void> } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

/** A Pi that has started a run of the diamond. */
async function running(steps: StepScript, files: Record<string, string> = {}) {
  const rig = await makeRig(teamReplies({ action: "list" }, steps), { files: { ...diamondFiles, ...files } });
  const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
  await host.command('/team-run diamond "go"');
  const [runId = ""] = await runIds(rig.agentFolder.project);
  return { rig, host, runId, events: () => eventsOf(rig.agentFolder.project, runId) };
}

async function ended(rig: Rig, runId: string): Promise<void> {
  await waitUntil(
    async () =>
      (await eventsOf(rig.agentFolder.project, runId)).some(({ type }) =>
        /^crew\.run\.(completed|failed|cancelled)$/.test(type),
      ),
    60_000,
  );
}

/** The worker has the message: its model's next request will hold it. */
async function handedOver(rig: Rig, runId: string, task: string): Promise<void> {
  const path = join(runFolder(rig.agentFolder.project, runId), "tasks", task, "a0001", "stderr.log");
  await waitUntil(async () => (await readFile(path, "utf8").catch(() => "")).includes("comes before the next reply"));
}

/** As who asks does it: an owner that looks in between finds nothing half-written. */
async function ask(inbox: string, id: string, request: object): Promise<void> {
  await writeFile(join(inbox, `.${id}.tmp`), JSON.stringify(request));
  await rename(join(inbox, `.${id}.tmp`), join(inbox, `${id}.json`));
}

describe("a message to a worker", () => {
  it("is read after the tool call it is at, and is counted once", async () => {
    const untilGo = "until [ -e go ]; do sleep 0.05; done";
    const { rig, host, runId, events } = await running({
      a: ({ assistantTurns, lastToolText, lastUserText }) =>
        assistantTurns === 0 && !lastToolText && lastUserText.includes("STEP:a")
          ? { tools: [{ name: "bash", args: { command: untilGo } }] }
          : { text: "a is done" },
    });
    await waitUntil(
      async () => ofType(await events(), "crew.task.progress").some(({ tool }) => tool === "bash"),
      30_000,
    );
    expect(await say(host, `/team-message latest a "${MESSAGE}"`)).toContain(`Sent to task a of run ${runId}`);
    await handedOver(rig, runId, "a");
    await writeFile(join(rig.agentFolder.project, "go"), "");
    await ended(rig, runId);
    expect(asked(rig, "a").map(heard)).toEqual([false, true]);
    const told = ofType(await events(), "crew.mailbox.message");
    expect(told).toMatchObject([{ taskId: "a", to: "a", direction: "to-worker", text: MESSAGE }]);
    const mail = join(runFolder(rig.agentFolder.project, runId), "tasks/a/a0001/mail.jsonl");
    expect(JSON.parse(await readFile(mail, "utf8"))).toMatchObject({ messageId: told[0]?.messageId, text: MESSAGE });
    expect(await say(host, "/team-metrics crew.mailbox.*")).toMatch(
      /crew\.mailbox\.count\{direction=to-worker\}\s+1$/m,
    );
    for (const step of ["b", "c", "d"]) expect(asked(rig, step).some(heard), step).toBe(false);
  });

  it("comes from another Pi too, by its user and by its model, and is read before the worker ends", async () => {
    const { open, opened } = gate();
    const { rig, host, runId, events } = await running({
      a: async () => {
        await opened;
        return { text: "a is done" };
      },
    });
    await waitUntil(() => asked(rig, "a").length === 1, 30_000);
    const other = await rig.rpc({ extensions: [PACKAGE] });
    expect(await say(other, `/team-message ${runId} a ${MESSAGE}`)).toContain(`Sent to task a of run ${runId}`);
    const secret = `ghp_${"a1B2".repeat(9)}`;
    expect(await say(other, `/team-message ${runId} d token ${secret}`)).toContain("a secret in it was masked");
    const call = { action: "message", runId, taskId: "a", text: "/quit and say hello" };
    rig.server.setReply(teamReplies(call, { a: () => ({ text: "a is done" }) }));
    await other.prompt("tell it");
    expect(rig.server.requests.at(-1)?.request.lastToolText).toContain(`Sent to task a of run ${runId}`);
    await handedOver(rig, runId, "a");
    open();
    await ended(rig, runId);
    const last = asked(rig, "a").at(-1);
    expect(asked(rig, "a").length).toBeGreaterThan(1);
    expect(heard(last)).toBe(true);
    expect(last).toContain("/quit and say hello");
    const told = ofType(await events(), "crew.mailbox.message");
    expect(told.map(({ text }) => text)).toEqual([MESSAGE, expect.stringMatching(/^token /), "/quit and say hello"]);
    expect(JSON.stringify([await events(), asked(rig, "d")])).not.toContain(secret);
    expect(await say(host, "/team-metrics crew.mailbox.*")).toMatch(/direction=to-worker\}\s+3$/m);
    expect(await say(other, "/team-metrics crew.mailbox.*")).not.toMatch(/direction=to-worker/);
  });

  it("waits for a task that has not begun, and holds for each of its attempts", async () => {
    const { open, opened } = gate();
    let failures = 1;
    const { rig, host, runId } = await running(
      {
        a: async () => {
          await opened;
          return { text: "a is done" };
        },
        d: () => (failures-- > 0 ? { status: 500, error: "down" } : { text: "d is done" }),
      },
      { ".crew/config.json": JSON.stringify({ reliability: { autoRetry: true, retryPolicy: { backoffMs: 100 } } }) },
    );
    expect(await say(host, `/team-message ${runId} d ${MESSAGE}`)).toContain("which is waiting: its worker reads it");
    open();
    await ended(rig, runId);
    expect(asked(rig, "d").map(heard)).toEqual([true, true]);
    for (const step of ["a", "b", "c"]) expect(asked(rig, step).some(heard), step).toBe(false);
  });

  it("is refused with a sentence when nobody would read it", async () => {
    const { open, opened } = gate();
    const { rig, host, runId } = await running({
      b: async () => {
        await opened;
        return { text: "b is done" };
      },
    });
    await waitUntil(() => asked(rig, "b").length === 1, 30_000);
    const other = await rig.rpc({ extensions: [PACKAGE] });
    for (const pi of [host, other]) {
      expect(await say(pi, "/team-message latest a x")).toContain(`a of run ${runId} has already ended: completed`);
      expect(await say(pi, "/team-message latest zz x")).toContain('has no task "zz". It has a, b, c, d.');
      expect(await say(pi, "/team-message latest b")).toContain("Usage: /team-message");
      expect(await say(pi, `/team-message latest b ${"x".repeat(4001)}`)).toContain("4001 characters, and 4000");
      expect(await say(pi, "/team-message nothing b x")).toContain('"nothing"');
    }
    open();
    await ended(rig, runId);
    expect(await say(other, "/team-message latest b x")).toMatch(/has already ended: completed/);
    expect(ofType(await eventsOf(rig.agentFolder.project, runId), "crew.mailbox.message")).toEqual([]);
  });

  it("reaches a worker whose Pi was killed, through the next one; what was told before is not told again", async () => {
    const { open, opened } = gate();
    const { rig, host, runId, events } = await running(
      {
        a: async () => {
          await opened;
          return { text: "a is done" };
        },
      },
      { ".crew/config.json": JSON.stringify({ reliability: { autoRecover: true } }) },
    );
    await waitUntil(() => asked(rig, "a").length === 1, 30_000);
    const { project } = rig.agentFolder;
    const inbox = join(runFolder(project, runId), "inbox");
    const id = "000000000000001-0011aabbccdd";
    const request = { v: 1, kind: "steer", taskId: "a", text: "first", id, at: 1, from: { pid: 1, sessionId: "s" } };
    await ask(inbox, id, request);
    await waitUntil(async () => ofType(await events(), "crew.mailbox.message").length === 1);
    await handedOver(rig, runId, "a");
    host.kill("SIGKILL");
    await host.exit;
    // as if it had died between telling and deleting
    await ask(inbox, id, request);
    const next = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
    await waitUntil(async () => ofType(await events(), "crew.subagent.adopted").length === 1, 30_000);
    await waitUntil(async () => (await readFile(join(inbox, `${id}.json`)).catch(() => null)) === null);
    expect(await say(next, `/team-message latest a ${MESSAGE}`)).toContain("Sent to task a");
    const mail = join(runFolder(project, runId), "tasks/a/a0001/stderr.log");
    await waitUntil(async () => (await readFile(mail, "utf8")).split("comes before").length === 3);
    open();
    await ended(rig, runId);
    expect(ofType(await events(), "crew.mailbox.message").map(({ text }) => text)).toEqual(["first", MESSAGE]);
    const last = asked(rig, "a").at(-1) ?? "";
    expect(last.split("started this run:\\nfirst")).toHaveLength(2);
    expect(heard(last)).toBe(true);
    expect(await say(next, "/team-metrics crew.mailbox.*")).toMatch(/direction=to-worker\}\s+1$/m);
  });
});

describe("a failed task of a run that another Pi drives", () => {
  it("is given up by its owner, once", async () => {
    const { open, opened } = gate();
    const { rig, runId, events } = await running({
      b: () => ({ status: 400, error: "no such thing" }),
      c: async () => {
        await opened;
        return { text: "c is done" };
      },
    });
    await waitUntil(async () => ofType(await events(), "crew.task.failed").length === 1, 30_000);
    const other = await rig.rpc({ extensions: [PACKAGE] });
    const said = await say(other, "/team-deadletters add latest b");
    const id = /task b of run \S+ is dead letter (dl-[0-9a-f]+) now/i.exec(said)?.[1];
    expect(id, said).toBeDefined();
    expect(await say(other, "/team-deadletters add latest b")).toContain(`is dead letter ${id} already`);
    expect(await say(other, "/team-deadletters add latest c")).toContain("is running; only a failed one");
    open();
    await ended(rig, runId);
    expect(ofType(await events(), "crew.task.deadletter")).toMatchObject([{ taskId: "b", reason: "manual" }]);
  });
});
