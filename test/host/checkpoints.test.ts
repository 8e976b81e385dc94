import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { stepOf } from "../support/diamond-team.ts";
import { git, readTree, repoState } from "../support/git-repo.ts";
import type { ModelRequest, Reply } from "../support/model-reply.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";
import { say, sayToEnd } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

const filesOf = (worktree: boolean) => ({
  "shared.txt": "first\n",
  ".crew/agents/hand.md": "---\nname: hand\ndescription: does it\ntools: bash\n---\nYou are HAND.\n",
  ".crew/agents/eye.md": "---\nname: eye\ndescription: looks\ntools: read\n---\nYou are EYE.\n",
  ".crew/teams/two.team.md": `---\nname: two\ndescription: two\ndefaultWorkflow: two\nworktree: ${worktree}\nroles:\n  hand: hand\n  eye: eye\n---\n`,
  ".crew/workflows/two.workflow.md": `---
name: two
description: one writes, one looks
---

## write
role: hand

STEP:write

## look
role: eye
dependsOn: write

STEP:look
`,
});

const WORK = "echo one > one.txt; echo second > shared.txt; rm -f gone.txt";

/** The writer does its first half, waits for `.crew/go`, does the second, and fails when it is to fail. */
function reply(script: { fails: boolean; first: string; second: string }) {
  return (request: ModelRequest): Reply => {
    if (stepOf(request) !== "write") return { text: "looked" };
    const bash = (command: string): Reply => ({ tools: [{ name: "bash", args: { command } }] });
    if (request.assistantTurns === 0) return bash(script.first);
    if (request.assistantTurns === 1) return bash(script.second);
    return script.fails ? { status: 400, error: "no more" } : { text: `wrote it: ${request.lastToolText}` };
  };
}

/** Without what is ours, which may change while it is read. */
function treeOf(folder: string): Record<string, string> {
  return readTree(folder, [".git", ".crew"]);
}

async function ended(rig: Rig, runId: string): Promise<void> {
  const over = /^crew\.run\.(completed|failed|cancelled)$/;
  const events = () => eventsOf(rig.agentFolder.project, runId);
  await waitUntil(async () => (await events()).some(({ type }) => over.test(type)), 60_000);
}

describe("checkpoints of a run, by command", { timeout: 120_000 }, () => {
  it("are taken of a worker at its work by another Pi, listed, and put back with what was there before kept", async () => {
    const script = {
      fails: false,
      first: WORK,
      second: "until [ -e .crew/go ]; do sleep 0.05; done; echo two > two.txt",
    };
    const rig = await makeRig(reply(script), { files: { ...filesOf(false), "gone.txt": "to go\n" }, git: true });
    const { project } = rig.agentFolder;
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.command('/team-run two "go"');
    const [runId = ""] = await runIds(project);
    const told = async () =>
      ofType(await eventsOf(project, runId), "crew.task.checkpoint").map(({ checkpointSeq, files }) => [
        checkpointSeq,
        files,
      ]);
    await waitUntil(() => existsSync(join(project, "one.txt")), 30_000);
    const other = await rig.rpc({ extensions: [PACKAGE] });
    expect(await say(other, `/team-checkpoint ${runId} write --take`)).toMatch(
      /^Checkpoint 1 of task write of run \S+ is kept: 3 files, \d+ bytes\.$/,
    );
    const atOne = treeOf(project);
    // its owner tells of it while the worker is at work
    await waitUntil(async () => (await told()).length === 1);
    expect(await say(other, `/team-checkpoint ${runId} write --take`)).toContain("Checkpoint 1 of task write");
    expect(await say(other, `/team-checkpoint ${runId} write --restore 1`)).toContain("is at work in that folder");
    expect(await say(other, `/team-checkpoint ${runId} look --take`)).toContain("only reads");
    writeFileSync(join(project, ".crew/go"), "");
    await ended(rig, runId);
    expect(await told()).toEqual([
      [1, 3],
      [2, 4],
    ]);
    expect(await say(host, `/team-checkpoint ${runId} write --take`)).toContain("is not at work (completed)");
    const listed = (await say(host, `/team-checkpoint ${runId}`)).split("\n");
    expect(listed.map((line) => line.split(/ {2,}/).slice(0, 3))).toEqual([
      ["task", "number", "of"],
      ["write", "1", "attempt 1"],
      ["write", "2", "attempt 1"],
      [`/team-checkpoint ${runId} <task> --restore <number> puts one back.`],
    ]);

    writeFileSync(join(project, "mine.txt"), "mine\n");
    writeFileSync(join(project, "shared.txt"), "third\n");
    const before = treeOf(project);
    const repo = repoState(project);
    const dialogs: string[] = [];
    let confirmed = false;
    host.answerDialog = ({ message }) => {
      dialogs.push(String(message));
      return { confirmed };
    };
    expect(await say(host, `/team-checkpoint ${runId} write --restore 1`)).toBe("Nothing was changed.");
    expect(dialogs[0]).toContain("Checkpoint 1 changes 3 files");
    for (const path of ["mine.txt", "shared.txt", "two.txt"]) expect(dialogs[0]).toContain(`  ${path}\n`);
    expect(treeOf(project)).toEqual(before);
    confirmed = true;
    expect(await say(host, `/team-checkpoint ${runId} write --restore 1`)).toMatch(
      /^Checkpoint 1 is restored in \S+: 3 files changed\. What was there before is kept as checkpoint 3 of the same task\./,
    );
    expect(treeOf(project)).toEqual(atOne);
    expect(await say(host, `/team-checkpoint ${runId} write --restore 1`)).toContain("nothing was changed");
    expect(await say(host, `/team-checkpoint ${runId} write --restore 3`)).toContain("kept as checkpoint 4");
    expect(treeOf(project)).toEqual(before);
    expect(repoState(project)).toEqual(repo);
    expect(await say(host, `/team-checkpoint ${runId} write --restore 9`)).toContain("none of that number");

    // nobody to ask
    const refused = await rig.print(`/team-checkpoint ${runId} write --restore 1`, { extensions: [PACKAGE] });
    expect(refused.stderr).toMatch(/Checkpoint 1 changes 3 files.*Nothing was changed.*--yes restores it/s);
    expect(treeOf(project)).toEqual(before);
    const done = await rig.print(`/team-checkpoint ${runId} write --restore 1 --yes`, { extensions: [PACKAGE] });
    expect(done.stdout).toContain("Checkpoint 1 is restored");
    expect(treeOf(project)).toEqual(atOne);
    // what it held is kept twice and was the same: the first of both serves
    const kept = readdirSync(join(runFolder(project, runId), "tasks/write/a0001/checkpoints"));
    expect(kept.filter((name) => name.endsWith(".patch"))).toHaveLength(5);
  });

  it("are put back in a task's own worktree, and begin its next attempt in another run", async () => {
    const script = { fails: true, first: WORK, second: "true" };
    const rig = await makeRig(reply(script), { files: filesOf(true), git: true });
    const { project } = rig.agentFolder;
    const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
    await host.command('/team-run two "go"');
    const [runId = ""] = await runIds(project);
    await ended(rig, runId);
    const folder = join(project, ".crew/worktrees", runId, "write");
    const worked = treeOf(folder);
    const users = treeOf(project);
    writeFileSync(join(folder, "shared.txt"), "by hand\n");
    expect(await say(host, `/team-checkpoint latest write --restore 1`)).toContain(
      `Checkpoint 1 is restored in ${folder}: 1 file changed. What was there before is kept as checkpoint 2`,
    );
    expect(treeOf(folder)).toEqual(worked);
    expect(treeOf(project)).toEqual(users);

    expect(await say(host, `/team-redrive ${runId} write --checkpoint 7`)).toContain("none of that number");
    expect(await say(host, `/team-redrive ${runId} write --checkpoint x`)).toContain("is no number of a checkpoint");
    expect(await runIds(project)).toEqual([runId]);
    script.fails = false;
    script.first = "cat one.txt shared.txt; echo three > three.txt";
    const { runId: next, said, ended: end } = await sayToEnd(host, `/team-redrive ${runId} write --checkpoint 1`);
    expect(end, said).toContain("completed");
    const asked = rig.server.requests.map(({ request }) => request);
    expect(asked.find(({ lastToolText }) => lastToolText?.includes("one\nsecond"))?.firstUserText).toContain(
      "holds what an earlier attempt at this task had done",
    );
    const branch = `foreman/${next}/write`;
    expect(git(project, "show", `${branch}:one.txt`)).toBe("one");
    expect(git(project, "show", `${branch}:shared.txt`)).toBe("second");
    expect(git(project, "show", `${branch}:three.txt`)).toBe("three");
    expect(treeOf(project)).toEqual(users);
    // it is the new run's own
    const meta = JSON.parse(readFileSync(join(runFolder(project, next), "tasks/write/a0001/meta.json"), "utf8"));
    expect(meta.request.checkpoint).toEqual({ mode: "end", resumeFromSeq: 1 });
    expect(await say(host, `/team-checkpoint ${next} write`)).toMatch(/write +1 +before .* checkpoint 1 of run/);
    expect(await say(host, `/team-checkpoint ${next} write --restore 1`)).toContain("is there no more");
  });

  it("begin an attempt in the project's own tree when the user agrees to what that changes", async () => {
    const script = { fails: true, first: WORK, second: "true" };
    const rig = await makeRig(reply(script), { files: filesOf(false), git: true });
    const { project } = rig.agentFolder;
    let confirmed = false;
    const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed }) });
    await host.command('/team-run two "go"');
    const [runId = ""] = await runIds(project);
    await ended(rig, runId);
    const worked = treeOf(project);
    writeFileSync(join(project, "shared.txt"), "mine\n");
    const mine = treeOf(project);
    expect(await say(host, `/team-redrive ${runId} write --checkpoint 1`)).toContain("Nothing was started");
    const refused = await rig.print(`/team-redrive ${runId} write --checkpoint 1`, { extensions: [PACKAGE] });
    expect(refused.stderr).toContain("there is nobody to ask. --yes restores it.");
    expect(treeOf(project)).toEqual(mine);
    expect(await runIds(project)).toEqual([runId]);
    confirmed = true;
    Object.assign(script, { fails: false, first: "true" });
    const { runId: next, said, ended: end } = await sayToEnd(host, `/team-redrive ${runId} write --checkpoint 1`);
    expect(end, said).toContain("completed");
    expect(treeOf(project)).toEqual(worked);
    // what the user had there is kept
    expect(await say(host, `/team-checkpoint ${next} write`)).toMatch(/write +2 +attempt 1 .*replaced/);
    expect(await say(host, `/team-checkpoint ${next} write --restore 2`)).toContain("Checkpoint 2 is restored");
    expect(treeOf(project)).toEqual(mine);
  });
});
