import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { git } from "../support/git-repo.ts";
import type { ModelRequest, Reply } from "../support/model-reply.ts";
import { makeRig } from "../support/rig.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

const WORKFLOW = `---
name: mixed
description: plan, two write at once, merge, mend until the tests pass, review
---

## plan
role: eye
type: planner

STEP:plan {goal}

## left
role: hand
dependsOn: plan

STEP:left {outputs.plan}

## right
role: hand
dependsOn: plan

STEP:right {outputs.plan}

## merge-left
kind: git
dependsOn: left
command: merge {branches.left}

## merge-right
kind: git
dependsOn: merge-left, right
command: merge --no-edit {branches.right}

## mend
role: hand
dependsOn: merge-right
verify: sh check.sh
retry: 3

STEP:mend

## take
kind: git
dependsOn: mend
command: merge {branches.mend}

## tests
kind: shell
dependsOn: take
command: cat left.txt right.txt
verify: sh check.sh

## review
role: eye
type: review
dependsOn: tests

STEP:review {outputs.tests}
`;

const FILES = {
  "sum.txt": "0\n",
  "check.sh": 'grep -qx 2 sum.txt || { echo "expected 2, found $(cat sum.txt)"; exit 9; }\n',
  ".crew/agents/hand.md": "---\nname: hand\ndescription: does it\ntools: bash\n---\nYou are HAND.\n",
  ".crew/agents/eye.md": "---\nname: eye\ndescription: looks\ntools: read\n---\nYou are EYE.\n",
  ".crew/teams/mixed.team.md":
    "---\nname: mixed\ndescription: mixed\ndefaultWorkflow: mixed\nworktree: true\nmaxConcurrency: 2\nroles:\n  hand: hand\n  eye: eye\n---\n",
  ".crew/workflows/mixed.workflow.md": WORKFLOW,
};

const call = { name: "team", args: { action: "run", team: "mixed", goal: "add both" } };

function reply(request: ModelRequest): Reply {
  const { firstUserText: asked, assistantTurns, lastToolText } = request;
  const step = /STEP:([a-z-]+)/.exec(asked)?.[1];
  if (step === undefined) return assistantTurns === 0 ? { tools: [call] } : { text: `the team said: ${lastToolText}` };
  const commands: Record<string, string> = {
    left: "echo l > left.txt",
    right: "echo r > right.txt",
    // only the test's words tell what is right
    mend: `cat left.txt right.txt; echo ${asked.includes("expected 2, found 1") ? 2 : 1} > sum.txt`,
  };
  const command = commands[step];
  if (command !== undefined && assistantTurns === 0) return { tools: [{ name: "bash", args: { command } }] };
  return { text: step === "plan" ? "PLAN: left and right" : `${step}: ${lastToolText ?? "seen"}` };
}

it("a workflow of all kinds merges what was written apart, and its gate sends a broken change back with the test's words", async () => {
  const rig = await makeRig(reply, { files: FILES, git: true });
  const { project } = rig.agentFolder;
  const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
  await host.prompt("let the team do it", 150_000);
  const [id = ""] = await runIds(project);
  const events = await eventsOf(project, id);
  const attempts = ofType(events, "crew.task.attempt_finished");
  const ends = attempts.map(({ taskId, attempt, outcome }) => `${taskId} ${attempt} ${outcome}`);
  expect(events.at(-1), JSON.stringify(attempts.map(({ error }) => error))).toMatchObject({
    type: "crew.run.completed",
  });
  const [left, right] = [ends.indexOf("left 1 completed"), ends.indexOf("right 1 completed")];
  expect(Math.min(left, right)).toBeGreaterThan(ends.indexOf("plan 1 completed"));
  expect(ends.slice(-6)).toEqual([
    "merge-right 1 completed",
    "mend 1 failed",
    "mend 2 completed",
    "take 1 completed",
    "tests 1 completed",
    "review 1 completed",
  ]);
  // both wrote on what the planner said, apart
  const requests = rig.server.requests.map(({ request }) => request);
  for (const step of ["left", "right"])
    expect(requests.find(({ firstUserText }) => firstUserText.includes(`STEP:${step}`))?.firstUserText).toContain(
      "PLAN: left and right",
    );
  // the user's own tree has both changes, and the mended one
  const read = (name: string) => readFileSync(join(project, name), "utf8");
  expect([read("left.txt"), read("right.txt"), read("sum.txt")]).toEqual(["l\n", "r\n", "2\n"]);
  expect(git(project, "status", "--short")).toBe("");
  const subjects = git(project, "log", "--format=%s", "HEAD");
  for (const step of ["left", "right", "mend"]) expect(subjects).toMatch(new RegExp(`^${step}: `, "m"));
  // the gate: what it said is the next attempt's to read, in the tree as the broken attempt left it
  const broken = attempts.find(({ taskId }) => taskId === "mend");
  expect(broken).toMatchObject({ exitCode: 9, failureKind: "transient", error: { kind: "verify" } });
  const again = requests.find(({ firstUserText }) => /STEP:mend[\s\S]*expected 2, found 1/.test(firstUserText));
  expect(again?.firstUserText).toContain("Attempt 1 at this task did not count: the command `sh check.sh` must exit 0");
  expect(attempts.find(({ taskId }) => taskId === "tests")?.summary).toBe("l\nr");
  expect(requests.some(({ firstUserText }) => /STEP:review[\s\S]*l\nr/.test(firstUserText))).toBe(true);
  const records = (task: string, attempt = "a0001") =>
    readFileSync(join(runFolder(project, id), "tasks", task, attempt, "worker.log"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  const checkpoint = ["checkpoint_slot_reserved", "checkpoint_created"];
  for (const [task, attempt, kept, end] of [
    ["plan", "a0001", [], "step_completed"],
    ["left", "a0001", checkpoint, "step_completed"],
    ["mend", "a0001", checkpoint, "step_failed"],
    ["mend", "a0002", checkpoint, "step_completed"],
    ["take", "a0001", checkpoint, "step_completed"],
    ["tests", "a0001", [], "step_completed"],
  ] as const) {
    const told = records(task, attempt);
    const types = ["run_prepared", "step_prepared", "worker_started", ...kept, "worker_exited", end];
    expect([task, ...told.map(({ type }) => type)]).toEqual([task, ...types]);
    expect(told.map(({ seq }) => seq)).toEqual(types.map((_, at) => at + 1));
    expect(told.map(({ eventId }) => eventId)).toEqual(types.map((_, at) => `${attempt}:event:000${at + 1}`));
  }
}, 180_000);
