import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import type { ModelRequest, Reply } from "../support/model-reply.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

const WORKFLOW = `---
name: gated
description: an agent whose work a test judges, then a command
---

## make
role: hand
verify: test -f made.txt || { echo "1 test failing"; exit 7; }
retry: 2

STEP:make {goal}

## look
kind: git
dependsOn: make
command: status --short made.txt

## pack
kind: shell
dependsOn: look
command: cat made.txt; echo "after $FOREMAN_OUTPUT_MAKE for $FOREMAN_GOAL"
`;

const files = {
  ".crew/agents/hand.md": "---\nname: hand\ndescription: does it\ntools: bash\n---\nYou are HAND.\n",
  ".crew/teams/gated.team.md": "---\nname: gated\ndescription: gated\nroles:\n  hand: hand\n---\n",
  ".crew/workflows/gated.workflow.md": WORKFLOW,
};

const call = { name: "team", args: { action: "run", team: "gated", goal: "a $(touch injected) file" } };

/** The hand makes the file only once it is told that a test fails. */
function reply(request: ModelRequest): Reply {
  if (!request.firstUserText.includes("STEP:make"))
    return request.assistantTurns === 0 ? { tools: [call] } : { text: `the team said: ${request.lastToolText}` };
  const told = request.firstUserText.includes("1 test failing");
  if (told && request.assistantTurns === 0)
    return { tools: [{ name: "bash", args: { command: "echo content > made.txt" } }] };
  return { text: told ? "made it" : "I think it is made" };
}

async function lastEvents(rig: Rig) {
  const id = (await runIds(rig.agentFolder.project)).at(-1) ?? "";
  return { id, events: await eventsOf(rig.agentFolder.project, id) };
}

describe("steps of all kinds in the host", { timeout: 60_000 }, () => {
  it("let an agent try again with what the test said, and hand its words to a command", async () => {
    const rig = await makeRig(reply, { files, git: true });
    const asked: string[] = [];
    const host = await rig.rpc({
      extensions: [PACKAGE],
      answerDialog: ({ title, message }) => {
        asked.push(`${title}\n${message}`);
        return { confirmed: true };
      },
    });
    await host.prompt("let the team do it");
    const { id, events } = await lastEvents(rig);
    expect(rig.server.errors).toEqual([]);
    expect(events.at(-1)).toMatchObject({ type: "crew.run.completed" });
    const attempts = ofType(events, "crew.task.attempt_finished");
    expect(attempts.map(({ taskId, attempt, outcome }) => [taskId, attempt, outcome])).toEqual([
      ["make", 1, "failed"],
      ["make", 2, "completed"],
      ["look", 1, "completed"],
      ["pack", 1, "completed"],
    ]);
    expect(attempts[0]).toMatchObject({ failureKind: "transient", exitCode: 7, error: { kind: "verify" } });
    expect(attempts[0]?.error?.message).toContain("1 test failing");
    const second = rig.server.requests.map(({ request }) => request.firstUserText).find((it) => it.includes("failing"));
    expect(second).toContain("Attempt 1 at this task did not count");
    expect(second).toContain("I think it is made");
    expect(attempts[3]?.summary).toBe("content\nafter made it for a $(touch injected) file");
    expect(attempts[2]?.summary).toBe("?? made.txt");
    await expect(readFile(join(rig.agentFolder.project, "injected"))).rejects.toMatchObject({ code: "ENOENT" });

    const pack = join(runFolder(rig.agentFolder.project, id), "tasks/pack/a0001");
    const meta = JSON.parse(await readFile(join(pack, "meta.json"), "utf8"));
    expect(meta.request.runtime.env.TRACEPARENT).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    const status = await say(host, "/team-status latest");
    expect(status).toContain("after made it for a");

    // all that it runs was shown, once, before anything ran
    expect(asked).toHaveLength(1);
    for (const words of ["verify: test -f made.txt", "pack: shell cat made.txt", "look: git status"])
      expect(asked[0]).toContain(words);
  });

  it("run a project's commands only when the user agreed to them, and ask again for a changed file", async () => {
    const rig = await makeRig(reply, { files, git: true });
    const refused = await rig.print('/team-run gated "x"', { extensions: [PACKAGE] });
    expect(`${refused.stdout}${refused.stderr}`).toMatch(
      /verify: test -f made\.txt.*There is nobody to ask here\. Start it/s,
    );
    const titles: string[] = [];
    let confirmed = false;
    const host = await rig.rpc({
      extensions: [PACKAGE],
      answerDialog: ({ title }) => {
        titles.push(title);
        return { confirmed };
      },
    });
    expect(await say(host, '/team-run gated "x"')).toContain("Nothing was started: you did not agree");
    expect(await runIds(rig.agentFolder.project)).toEqual([]);
    confirmed = true;
    await host.prompt("let the team do it");
    await host.prompt("once more");
    expect(titles).toHaveLength(2);
    expect(await runIds(rig.agentFolder.project)).toHaveLength(2);
    // agreed is agreed: also where nobody can be asked
    const printed = await rig.print('/team-run gated "x"', { extensions: [PACKAGE] });
    expect(printed.stdout).toContain("completed");
    await say(host, '/team-run --background gated "x"');
    await waitUntil(async () => (await lastEvents(rig)).events.at(-1)?.type === "crew.run.completed", 30_000);
    expect(await runIds(rig.agentFolder.project)).toHaveLength(4);

    await writeFile(join(rig.agentFolder.project, ".crew/workflows/gated.workflow.md"), `${WORKFLOW}\nMore words.\n`);
    confirmed = false;
    expect(await say(host, '/team-run gated "x"')).toContain("you did not agree");
    expect(titles).toHaveLength(3);
  });
});
