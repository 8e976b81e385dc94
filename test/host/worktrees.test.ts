import { readFileSync, writeFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { git, repoState } from "../support/git-repo.ts";
import type { ModelRequest, Reply } from "../support/model-reply.ts";
import { makeRig } from "../support/rig.ts";
import type { RpcHost } from "../support/rpc-host.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

const WORKFLOW = `---
name: apart
description: two write at once, one joins, and the user gets it
---

## left
role: hand
output: notes/left.txt

STEP:left

## right
role: hand

STEP:right

## join
role: hand
dependsOn: left, right
reads: notes/left.txt

STEP:join

## look
role: eye
dependsOn: join

STEP:look

## take
kind: git
dependsOn: look
command: merge {branches.join}
`;

const filesWith = (workflow: string) => ({
  "shared.txt": "first\n",
  ".crew/agents/hand.md": "---\nname: hand\ndescription: does it\ntools: bash\n---\nYou are HAND.\n",
  ".crew/agents/eye.md": "---\nname: eye\ndescription: looks\ntools: read\n---\nYou are EYE.\n",
  ".crew/teams/apart.team.md":
    "---\nname: apart\ndescription: apart\nworktree: true\nmaxConcurrency: 4\nroles:\n  hand: hand\n  eye: eye\n---\n",
  ".crew/workflows/apart.workflow.md": workflow,
});

const call = { name: "team", args: { action: "run", team: "apart", goal: "x" } };

/** Each step's agent runs one command. */
function replying(commands: Record<string, string>) {
  return (request: ModelRequest): Reply => {
    const step = /STEP:(\w+)/.exec(request.firstUserText)?.[1];
    if (step === undefined)
      return request.assistantTurns === 0 ? { tools: [call] } : { text: `the team said: ${request.lastToolText}` };
    const command = commands[step];
    if (request.assistantTurns > 0 || command === undefined) return { text: `${step}: ${request.lastToolText}` };
    return { tools: [{ name: step === "look" ? "read" : "bash", args: { command, path: command } }] };
  };
}

function noticesOf(host: RpcHost): string[] {
  return host.events.filter((event) => event["method"] === "notify").map((event) => String(event["message"]));
}

describe("a team with worktrees", { timeout: 60_000 }, () => {
  it("lets tasks write apart, merges what they depend on, and hands files and branches over", async () => {
    const reply = replying({
      left: "mkdir notes; echo l > left.txt; printf 'a\\nb\\n' > notes/left.txt; pwd",
      right: "echo r > right.txt; sed -i s/first/second/ shared.txt; ls",
      join: "cat left.txt right.txt shared.txt $(find .crew/state -name left.txt) > joined.txt; git status --short",
      look: "joined.txt",
    });
    const rig = await makeRig(reply, { files: filesWith(WORKFLOW), git: true });
    const { project } = rig.agentFolder;
    writeFileSync(join(project, "mine.txt"), "not committed\n");
    const before = git(project, "rev-parse", "HEAD");
    const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
    await host.prompt("let the team do it");
    expect(noticesOf(host).join("\n")).toContain(`${before.slice(0, 10)}: 1 uncommitted file is not in it.`);
    expect(rig.server.errors).toEqual([]);
    const id = (await runIds(project)).at(-1) ?? "";
    const events = await eventsOf(project, id);
    const finished = ofType(events, "crew.task.attempt_finished");
    expect(finished.map(({ taskId, outcome, error }) => [taskId, outcome, error?.message]).sort()).toEqual(
      ["join", "left", "look", "right", "take"].map((taskId) => [taskId, "completed", undefined]),
    );
    const changes = Object.fromEntries(finished.map((it) => [it.taskId, it.changes]));
    expect(changes["left"]).toEqual({ locAdded: 3, locRemoved: 0, filesChanged: 2 });
    expect(changes["right"]).toEqual({ locAdded: 2, locRemoved: 1, filesChanged: 2 });
    expect(changes["join"]).toEqual({ locAdded: 5, locRemoved: 0, filesChanged: 1 });
    expect(changes["look"]).toBeUndefined();
    expect(
      ofType(events, "crew.task.checkpoint")
        .map(({ taskId, files }) => [taskId, files])
        .sort(),
    ).toEqual([
      ["join", 1],
      ["left", 2],
      ["right", 2],
      ["take", 5],
    ]);
    const [artifact] = ofType(events, "crew.task.completed").find(({ taskId }) => taskId === "left")?.artifacts ?? [];
    expect(artifact).toMatchObject({ name: "notes/left.txt", bytes: 4 });
    expect(artifact?.path).toBe(join(runFolder(project, id), "artifacts/notes/left.txt"));
    expect(readFileSync(artifact?.path ?? "", "utf8")).toBe("a\nb\n");

    // the user's tree got it by the git step, and nothing else happened to it
    expect(await readFile(join(project, "joined.txt"), "utf8")).toBe("l\nr\nsecond\na\nb\n");
    expect(git(project, "status", "--short")).toBe("?? mine.txt");
    expect(git(project, "merge-base", "--is-ancestor", before, "HEAD")).toBe("");
    // all is merged: neither branch nor worktree is left
    await expect.poll(() => git(project, "for-each-ref", "refs/heads/foreman"), { timeout: 10_000 }).toBe("");
    await expect.poll(() => readdir(join(project, ".crew/worktrees")), { timeout: 10_000 }).toEqual([".gitignore"]);
    expect(git(project, "worktree", "list").split("\n")).toHaveLength(1);
    // the reader saw the joined work, the joiner nothing of ours
    const looked = rig.server.requests.map(({ request }) => request.lastToolText ?? "");
    expect(looked.some((text) => text.includes("l\nr\nsecond"))).toBe(true);
    expect(finished.find(({ taskId }) => taskId === "join")?.summary).toContain("?? joined.txt");
    expect(finished.find(({ taskId }) => taskId === "join")?.summary).not.toContain(".crew");
    const records = (await readdir(join(project, ".crew/metrics/tasks"))).filter((name) => name.endsWith(".jsonl"));
    const lines = readFileSync(join(project, ".crew/metrics/tasks", records[0] ?? ""), "utf8")
      .trim()
      .split("\n");
    const left = lines.map((line) => JSON.parse(line)).find(({ task_id }) => task_id === "left");
    expect(left).toMatchObject({
      loc_added: 3,
      loc_removed: 0,
      files_changed: 2,
      artifact_hash: artifact?.artifact_hash,
    });
  });

  it("leaves the user's repository alone when an agent takes its worktree's .git away and goes on", async () => {
    const reply = replying({
      left: "rm .git; mkdir notes; touch notes/left.txt; git add -A; git commit -m mine; git stash; git rev-parse --show-toplevel",
      right: "find . -mindepth 1 -delete; git commit -am mine",
    });
    const rig = await makeRig(reply, { files: filesWith(WORKFLOW), git: true });
    const { project } = rig.agentFolder;
    for (const name of ["staged.txt", "untracked.txt", "shared.txt"]) writeFileSync(join(project, name), "mine\n");
    git(project, "add", "staged.txt");
    const users = () => {
      const { refs = "", ...state } = repoState(project);
      const status = git(project, "status", "--porcelain=v2", "--branch");
      return { ...state, status, refs: refs.replaceAll(/.*\srefs\/heads\/foreman\/.*\n?/g, "") };
    };
    const before = users();
    const env = { GIT_DIR: join(project, ".git"), GIT_WORK_TREE: project };
    const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }), env });
    await host.prompt("let the team do it");
    const id = (await runIds(project)).at(-1) ?? "";
    const finished = ofType(await eventsOf(project, id), "crew.task.attempt_finished");
    expect(finished.map(({ taskId, outcome, error }) => [taskId, outcome, error?.kind]).sort()).toEqual([
      ["left", "failed", "worktree"],
      ["right", "failed", "worktree"],
    ]);
    const tree = join(project, ".crew/worktrees", id, "left");
    expect(finished.find(({ taskId }) => taskId === "left")?.error?.message).toContain(
      `The worktree of task left is no git worktree any more: its .git was removed or replaced. What is left of its files is in ${tree}`,
    );
    // right's is empty, and goes
    const told = `Changes that no commit has are in ${tree}.`;
    await expect.poll(() => noticesOf(host).join("\n"), { timeout: 10_000 }).toContain(told);
    expect(await readdir(join(tree, "notes"))).toEqual(["left.txt"]);
    expect(users()).toEqual(before);
  });

  it("is refused beside a branch that takes the name of its own", async () => {
    const rig = await makeRig(replying({}), { files: filesWith(WORKFLOW), git: true });
    const { project } = rig.agentFolder;
    git(project, "branch", "foreman");
    const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
    await host.prompt("let the team do it");
    const said = rig.server.requests.map(({ request }) => request.lastToolText ?? "").join("\n");
    expect(said).toContain("git allows none beside your branch foreman. Rename it");
    expect(await runIds(project)).toEqual([]);
  });

  it("names the files of a conflict, and the branches on which the work is", async () => {
    const reply = replying({
      left: "mkdir notes; touch notes/left.txt; echo left > shared.txt",
      right: "echo right > shared.txt",
    });
    const rig = await makeRig(reply, { files: filesWith(WORKFLOW), git: true });
    const { project } = rig.agentFolder;
    const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
    await host.prompt("let the team do it");
    const id = (await runIds(project)).at(-1) ?? "";
    const finished = ofType(await eventsOf(project, id), "crew.task.attempt_finished");
    const joined = finished.find(({ taskId }) => taskId === "join");
    expect(joined).toMatchObject({ outcome: "blocked", error: { kind: "merge-conflict" } });
    expect(joined?.error?.message).toContain("conflicts in shared.txt");
    expect(joined?.error?.message).toContain(`foreman/${id}/left, foreman/${id}/right`);
    expect(git(project, "status", "--short")).toBe("");
    const branches = () => git(project, "for-each-ref", "--format=%(refname:short)", "refs/heads/foreman");
    await expect.poll(branches, { timeout: 10_000 }).toBe(`foreman/${id}/left\nforeman/${id}/right`);
    expect(git(project, "show", `foreman/${id}/left:shared.txt`)).toBe("left");
    const told = `The work of run ${id} is on foreman/${id}/left, foreman/${id}/right: git merge takes it over.`;
    await expect.poll(() => noticesOf(host).join("\n"), { timeout: 10_000 }).toContain(told);
  });
});
