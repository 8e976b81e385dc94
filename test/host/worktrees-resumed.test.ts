import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import type { CrewEventType } from "../../src/events/crew-event.ts";
import { tagVariable } from "../support/agent-folder.ts";
import { stepOf } from "../support/diamond-team.ts";
import { git } from "../support/git-repo.ts";
import { expectGone, killAll, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import type { RpcHost } from "../support/rpc-host.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";
import { sayToEnd } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

const FILES = {
  "shared.txt": "first\n",
  ".crew/agents/hand.md": "---\nname: hand\ndescription: does it\ntools: bash\n---\nYou are HAND.\n",
  ".crew/teams/apart.team.md":
    "---\nname: apart\ndescription: apart\nworktree: true\nmaxConcurrency: 4\ndefaultWorkflow: apart\nroles:\n  hand: hand\n---\n",
  ".crew/workflows/apart.workflow.md": `---
name: apart
description: two write at once, one joins
---

## one
role: hand

STEP:one

## two
role: hand

STEP:two

## join
role: hand
dependsOn: one, two

STEP:join
`,
};

/** Two tasks that have written their files and hear no last word before `finish`; the third is done when it may be. */
async function apartRig(config: object = {}) {
  const gates: Record<string, { open: Promise<void>; finish: () => void }> = {};
  for (const step of ["one", "two"]) {
    let finish: () => void = () => undefined;
    const open = new Promise<void>((done) => {
      finish = done;
    });
    gates[step] = { open, finish };
  }
  const join_ = { refused: false };
  const rig = await makeRig(
    async (request) => {
      const step = stepOf(request) ?? "";
      if (step === "join" && join_.refused) return { status: 400, error: "no join yet" };
      if (request.assistantTurns === 0)
        return { tools: [{ name: "bash", args: { command: step === "join" ? "ls" : `echo ${step} > ${step}.txt` } }] };
      await gates[step]?.open;
      return { text: `${step}: ${request.lastToolText}` };
    },
    { files: FILES, git: true },
  );
  await writeFile(join(rig.agentFolder.agent, "crew.json"), JSON.stringify(config));
  return { rig, finish: (step: string) => gates[step]?.finish(), join: join_ };
}

/** Its two tasks wait for their model's last word. */
async function begun(rig: Rig, host: RpcHost, how = ""): Promise<string> {
  await host.command(`/team-run apart ${how} "x"`);
  await waitUntil(() => ["one", "two"].every((step) => lastTurns(rig, step) > 0), 30_000);
  return (await runIds(rig.agentFolder.project)).at(-1) ?? "";
}

/** Its two tasks completed, and the third failed. */
async function failed(rig: Rig, host: RpcHost, finish: (step: string) => void, joined: { refused: boolean }) {
  joined.refused = true;
  for (const step of ["one", "two"]) finish(step);
  const runId = await begun(rig, host);
  await ended(rig, runId, "crew.run.failed");
  return runId;
}

async function ended(rig: Rig, runId: string, how: CrewEventType): Promise<void> {
  await waitUntil(async () => (await eventsOf(rig.agentFolder.project, runId)).at(-1)?.type === how, 30_000);
}

function lastTurns(rig: Rig, step: string): number {
  return rig.server.requests.filter(({ request }) => stepOf(request) === step && request.assistantTurns > 0).length;
}

/** Its worker has written the attempt's end. */
async function endedUnseen(rig: Rig, runId: string, taskId: string): Promise<void> {
  const state = join(runFolder(rig.agentFolder.project, runId), "tasks", taskId, "a0001/state.json");
  await waitUntil(async () => JSON.parse(await readFile(state, "utf8")).status === "ended", 20_000);
}

function filesOf(rig: Rig, runId: string, taskId: string): string {
  return git(rig.agentFolder.project, "ls-tree", "--name-only", `foreman/${runId}/${taskId}`).replace(/\.crew\n/, "");
}

const branches = (rig: Rig) =>
  git(rig.agentFolder.project, "for-each-ref", "--format=%(refname:short)", "refs/heads/foreman")
    .split("\n")
    .filter(Boolean);

/** As if nobody had ever had that work. */
function forget(rig: Rig, names: readonly string[]): void {
  const { project } = rig.agentFolder;
  for (const name of names) git(project, "branch", "-D", name);
  git(project, "reflog", "expire", "--expire=now", "--all");
  git(project, "gc", "-q", "--prune=now");
}

describe("a run with worktrees whose Pi was killed", { timeout: 90_000 }, () => {
  it("is resumed with what its workers finished unseen", async () => {
    const { rig, finish } = await apartRig();
    const first = await rig.rpc({ extensions: [PACKAGE] });
    const runId = await begun(rig, first);
    first.kill("SIGKILL");
    await first.exit;
    for (const step of ["one", "two"]) {
      finish(step);
      await endedUnseen(rig, runId, step);
    }
    const host = await rig.rpc({ extensions: [PACKAGE] });
    const told = await host.waitFor((event) => String(event["message"]).includes("was interrupted"));
    expect(told["message"]).toContain("what its tasks completed is kept");
    const finished = ofType(await eventsOf(rig.agentFolder.project, runId), "crew.task.attempt_finished");
    for (const { taskId, commit } of finished)
      expect(git(rig.agentFolder.project, "show", `${commit}:${taskId}.txt`)).toBe(taskId);
    const resumed = await sayToEnd(host, `/team-resume ${runId}`);
    expect(resumed.said).toContain("join to do. The results of one, two are kept.");
    expect(resumed.ended).toContain("completed");
    expect(filesOf(rig, resumed.runId, "join")).toBe("one.txt\nshared.txt\ntwo.txt");
  });

  it("is resumed with the work of one worker, and that of another killed with it is done again", async () => {
    const { rig, finish } = await apartRig();
    const first = await rig.rpc({ extensions: [PACKAGE] });
    const runId = await begun(rig, first);
    first.kill("SIGKILL");
    await first.exit;
    finish("one");
    await endedUnseen(rig, runId, "one");
    killAll(processesWithEnvironment(tagVariable, rig.agentFolder.tag));
    finish("two");
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.waitFor((event) => String(event["message"]).includes("was interrupted"));
    const resumed = await sayToEnd(host, `/team-resume ${runId}`);
    expect(resumed.said).toContain("two, join to do. The results of one are kept.");
    expect(resumed.ended).toContain("completed");
    expect(filesOf(rig, resumed.runId, "join")).toBe("one.txt\nshared.txt\ntwo.txt");
  });

  it("does a task again whose finished work can't be committed any more, and says so", async () => {
    const { rig, finish } = await apartRig();
    const first = await rig.rpc({ extensions: [PACKAGE] });
    const runId = await begun(rig, first);
    first.kill("SIGKILL");
    await first.exit;
    for (const step of ["one", "two"]) {
      finish(step);
      await endedUnseen(rig, runId, step);
    }
    const folder = join(rig.agentFolder.project, ".crew/worktrees", runId, "one");
    await rm(folder, { recursive: true });
    const host = await rig.rpc({ extensions: [PACKAGE] });
    const told = await host.waitFor((event) => String(event["message"]).includes("was interrupted"));
    expect(told["message"]).toContain("one is not kept: What the task did can't be handed over");
    expect(existsSync(folder)).toBe(false);
    const resumed = await sayToEnd(host, `/team-resume ${runId}`);
    expect(resumed.said).toContain("one, join to do. The results of two are kept.");
    expect(filesOf(rig, resumed.runId, "join")).toBe("one.txt\nshared.txt\ntwo.txt");
  });

  it("goes on itself with them when the user says so", async () => {
    const { rig, finish } = await apartRig({ reliability: { autoRecover: true } });
    const first = await rig.rpc({ extensions: [PACKAGE] });
    const runId = await begun(rig, first);
    first.kill("SIGKILL");
    await first.exit;
    finish("one");
    await endedUnseen(rig, runId, "one");
    const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
    const adopted = async () =>
      ofType(await eventsOf(rig.agentFolder.project, runId), "crew.subagent.adopted").some(
        ({ taskId }) => taskId === "two",
      );
    await waitUntil(adopted, 20_000);
    // its session is replaced in the middle
    await host.send({ type: "new_session" });
    finish("two");
    await ended(rig, runId, "crew.run.completed");
    expect(filesOf(rig, runId, "join")).toBe("one.txt\nshared.txt\ntwo.txt");
  });

  it("in the background, is resumed likewise when its supervisor was killed", async () => {
    const { rig, finish } = await apartRig();
    const host = await rig.rpc({ extensions: [PACKAGE] });
    const runId = await begun(rig, host, "--background");
    const supervisors = () =>
      processesWithEnvironment(tagVariable, rig.agentFolder.tag).filter((it) => /supervisor\.mjs/.test(it.command));
    expect(killAll(supervisors())).toBe(1);
    await expectGone(supervisors);
    for (const step of ["one", "two"]) finish(step);
    await host.waitFor((event) => String(event["message"]).includes("was interrupted"));
    const resumed = await sayToEnd(host, `/team-resume ${runId}`);
    expect(resumed.said).toContain(`goes on with ${runId} in this session, no longer in the background: `);
    expect(filesOf(rig, resumed.runId, "join")).toBe("one.txt\nshared.txt\ntwo.txt");
  });
});

describe("the work that a resumed run keeps", { timeout: 90_000 }, () => {
  it("has branches of its own, over generations, whatever becomes of the first run", async () => {
    const { rig, finish } = await apartRig();
    const { project } = rig.agentFolder;
    const host = await rig.rpc({ extensions: [PACKAGE] });
    finish("one");
    const runId = await begun(rig, host);
    await waitUntil(async () => ofType(await eventsOf(project, runId), "crew.task.completed").length === 1, 20_000);
    await host.command("/team-cancel");
    await ended(rig, runId, "crew.run.cancelled");
    await host.command(`/team-resume ${runId}`);
    const [, second = ""] = await runIds(project);
    expect(branches(rig)).toContain(`foreman/${second}/one`);
    await waitUntil(() => lastTurns(rig, "two") === 2, 30_000);
    await host.command("/team-cancel");
    await ended(rig, second, "crew.run.cancelled");
    await rm(runFolder(project, runId), { recursive: true });
    git(project, "worktree", "remove", "--force", join(".crew/worktrees", runId, "two"));
    forget(rig, [`foreman/${runId}/one`, `foreman/${runId}/two`]);
    finish("two");
    const third = await sayToEnd(host, `/team-resume ${second}`);
    expect(third.said).toContain("two, join to do. The results of one are kept.");
    expect(filesOf(rig, third.runId, "join")).toBe("one.txt\nshared.txt\ntwo.txt");
  });

  it("is done again where no commit has it any more, and the user is told", async () => {
    const { rig, finish, join: joined } = await apartRig();
    const host = await rig.rpc({ extensions: [PACKAGE] });
    const runId = await failed(rig, host, finish, joined);
    await waitUntil(() => branches(rig).join() === `foreman/${runId}/join`, 10_000);
    forget(rig, branches(rig));
    joined.refused = false;
    const redriven = await sayToEnd(host, `/team-redrive ${runId} join`);
    expect(redriven.said).toContain("one, two, join to do. The work of one, two is in no commit any more");
    expect(filesOf(rig, redriven.runId, "join")).toBe("one.txt\nshared.txt\ntwo.txt");
  });
});
