import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { postRequest } from "../../src/store/inbox.ts";
import { quietWorld } from "../engines/engine-bench.ts";
import { inTurnFiles, type StepScript, stepOf, teamReplies } from "../support/diamond-team.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";
import { say, sayToEnd } from "../support/say.ts";
import { missing, mountSmallDisk } from "../support/system-faults.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const no = () => ({ status: 400, error: "no" });
const DOWN: StepScript = { b: no, e: no };
const noMount = missing("mount");

/** b, which d needs, and beside them c, which is at work until it may end. */
const BESIDE = {
  ...inTurnFiles,
  ".crew/workflows/diamond.workflow.md": `---
name: diamond
description: b, then d; c beside them
---

## b
role: hand

STEP:b of {goal}

## c
role: hand

STEP:c of {goal}

## d
role: hand
dependsOn: b

STEP:d after {outputs.b}
`,
};

/** The same, and e, which fails like b, for itself. */
const TWO_FAIL = {
  ...BESIDE,
  ".crew/workflows/diamond.workflow.md": `${BESIDE[".crew/workflows/diamond.workflow.md"]}
## e
role: hand

STEP:e of {goal}
`,
};

/** What waits until it is opened, and what opens it. */
function gated(): [gate: Promise<void>, open: () => void] {
  let open: () => void = () => undefined;
  const gate = new Promise<void>((done) => {
    open = done;
  });
  return [gate, open];
}

/** A run of which b has failed, and c is at work until `finish` is called. */
async function halfFailed(files: Record<string, string> = BESIDE, prepare?: (rig: Rig) => Promise<void>) {
  let steps: StepScript = DOWN;
  const [finished, finish] = gated();
  const reply = teamReplies({ action: "list" }, { c: () => finished.then(() => ({ text: "c is done" })) });
  const rig = await makeRig((request) => {
    const step = stepOf(request) ?? "";
    return steps[step]?.(request) ?? reply(request);
  });
  await prepare?.(rig);
  for (const [path, text] of Object.entries(files)) await rig.agentFolder.write(path, text);
  const { project } = rig.agentFolder;
  const host = await rig.rpc({ extensions: [PACKAGE] });
  await host.command('/team-run diamond "go"');
  const [runId = ""] = await runIds(project);
  const events = () => eventsOf(project, runId);
  // d is, once b's failure is on disk and in its owner's mind
  const skipped = async () => /skipped/.test(await say(host, `/team-status ${runId}`));
  await waitUntil(async () => asked(rig, "c") === 1 && (await skipped()), 30_000);
  const mend = (next: StepScript = {}) => {
    steps = next;
  };
  // on disk its end is a moment before its owner knows of it
  const over = () => waitUntil(async () => /· failed ·/.test(await say(host, `/team-status ${runId}`)), 30_000);
  return { rig, host, project, runId, events, mend, finish, over };
}

const asked = (rig: Rig, step: string) => rig.server.requests.filter(({ request }) => stepOf(request) === step).length;

/** Marks and letters, read with nothing of ours. */
async function letterLines(project: string, runId: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(runFolder(project, runId), "deadletter.jsonl"), "utf8");
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

describe("a task that failed in a run still under way", { timeout: 90_000 }, () => {
  it("is redriven while the others go on; its own run's log tells it, once, and nobody else's", async () => {
    const { rig, host, project, runId, events, mend, finish, over } = await halfFailed();
    await say(host, `/team-deadletters add ${runId} b`);
    const [letter] = await letterLines(project, runId);
    mend();
    const next = await sayToEnd(host, `/team-redrive ${letter?.["id"]}`);
    expect(next.ended).toContain("completed");
    expect(ofType(await events(), "crew.task.redriven")).toMatchObject([{ taskId: "b", newRunId: next.runId }]);
    expect(ofType(await eventsOf(project, next.runId), "crew.task.redriven")).toEqual([]);
    expect((await letterLines(project, runId)).at(-1)).toMatchObject({ mark: "redriven", newRunId: next.runId });
    finish();
    await over();
    expect(ofType(await events(), "crew.run.claimed")).toHaveLength(1);
    for (const [step, times] of Object.entries({ b: 2, c: 1, d: 1 })) expect(asked(rig, step), step).toBe(times);
  });

  it("is redriven from another session, and its run's owner tells it", async () => {
    const { rig, project, runId, events, mend, finish, over } = await halfFailed();
    const other = await rig.rpc({ extensions: [PACKAGE] });
    mend();
    const next = await sayToEnd(other, `/team-redrive ${runId} b`);
    expect(next.said).not.toMatch(/answered|could not/);
    expect(next.ended).toContain("completed");
    finish();
    await over();
    expect(ofType(await events(), "crew.task.redriven")).toMatchObject([
      { taskId: "b", newRunId: next.runId, epoch: 1 },
    ]);
    expect(ofType(await eventsOf(project, next.runId), "crew.task.redriven")).toEqual([]);
  });

  it("waits for what would be done a second time", async () => {
    const { host, project, runId, mend } = await halfFailed(inTurnFiles);
    mend();
    expect(await say(host, `/team-redrive ${runId} b`)).toContain(
      `Task b can't be redriven yet: c would be done again with it, and run ${runId} is not done with that.`,
    );
    expect(await runIds(project)).toEqual([runId]);
  });

  it("is told as redriven by whoever drives its run next, when its owner died first", async () => {
    const { rig, host, runId, project, events, mend } = await halfFailed();
    mend();
    host.kill("SIGSTOP");
    const other = await rig.rpc({ extensions: [PACKAGE] });
    const next = await sayToEnd(other, `/team-redrive ${runId} b`);
    expect(next.said).toContain(
      `Nobody who drives run ${runId} has answered yet: its log tells of it once somebody has.`,
    );
    expect(ofType(await events(), "crew.task.redriven")).toEqual([]);
    host.kill("SIGKILL");
    await host.exit;
    await waitUntil(async () => ofType(await events(), "crew.run.cancelled").length === 1, 60_000);
    await waitUntil(async () => ofType(await events(), "crew.task.redriven").length > 0, 10_000);
    expect(ofType(await events(), "crew.task.redriven")).toMatchObject([{ taskId: "b", newRunId: next.runId }]);
    expect(await runIds(project)).toHaveLength(2);
  });
});

describe("a redrive", { timeout: 90_000 }, () => {
  it("of a task that two sessions ask for at once is made by one of them", async () => {
    const { rig, host, project, runId, events, mend, finish, over } = await halfFailed();
    const other = await rig.rpc({ extensions: [PACKAGE] });
    finish();
    await over();
    const [gate, slow] = gated();
    mend({ b: () => gate.then(() => ({ text: "b is done" })) });
    const said = await Promise.all([host, other].map((one) => say(one, `/team-redrive ${runId} b`)));
    const [, next = "", ...more] = await runIds(project);
    expect(more).toEqual([]);
    expect(said.join("\n")).toContain(`Run ${next} goes on with ${runId}: `);
    expect(said.join("\n")).toMatch(
      new RegExp(`Run ${next} (goes on with ${runId} already|is just being made, to do task b again)`),
    );
    expect(ofType(await events(), "crew.task.redriven")).toMatchObject([{ taskId: "b", newRunId: next }]);
    slow();
  });

  it("of a task keeps a resume of its run from doing that beside it", async () => {
    const { rig, host, project, runId, mend, finish, over } = await halfFailed();
    const [gate, slow] = gated();
    mend({ b: () => gate.then(() => ({ text: "b is done" })) });
    await say(host, `/team-redrive ${runId} b`);
    finish();
    await over();
    const [, next = ""] = await runIds(project);
    expect(await say(host, `/team-resume ${runId}`)).toContain(
      `Run ${next} goes on with ${runId} already, and does task b.`,
    );
    expect(await runIds(project)).toEqual([runId, next]);
    await waitUntil(() => asked(rig, "b") > 1, 30_000);
    expect(asked(rig, "b")).toBe(2);
    slow();
  });

  it("whose session was killed before it could tell is told, and not made again, when its letter is redriven once more", async () => {
    const { rig, host, project, runId, events, mend, finish, over } = await halfFailed();
    finish();
    await over();
    await say(host, `/team-deadletters add ${runId} b`);
    const [letter] = await letterLines(project, runId);
    const folder = runFolder(project, runId);
    const before = ["deadletter.jsonl", "events.jsonl"].map((name) => join(folder, name));
    const texts = await Promise.all(before.map((path) => readFile(path)));
    const [gate, open] = gated();
    mend({ b: () => gate.then(() => ({ text: "b is done" })) });
    await say(host, `/team-redrive ${letter?.["id"]}`);
    const [, next = ""] = await runIds(project);
    await waitUntil(() => asked(rig, "b") === 2);
    host.kill("SIGKILL");
    await host.exit;
    // as if that had come right after the run had begun
    for (const [at, path] of before.entries()) await writeFile(path, texts[at] ?? "");
    await rm(join(folder, "state.json"), { force: true });
    const other = await rig.rpc({ extensions: [PACKAGE] });
    await waitUntil(async () => ofType(await eventsOf(project, next), "crew.run.cancelled").length === 1, 30_000);
    const said = await say(other, `/team-redrive ${letter?.["id"]}`);
    expect(said).toContain(`Dead letter ${letter?.["id"]} is redriven as run ${next} already.`);
    expect(await runIds(project)).toEqual([runId, next]);
    expect(ofType(await events(), "crew.task.redriven")).toMatchObject([{ taskId: "b", newRunId: next }]);
    expect((await letterLines(project, runId)).at(-1)).toMatchObject({ mark: "redriven", newRunId: next });
    expect(asked(rig, "b")).toBe(2);
    open();
  });

  it("closes the letter of a run beside its own at the next resume, when its session had no time to", async () => {
    const { host, project, runId, mend, finish, over } = await halfFailed();
    finish();
    await over();
    const beside = await sayToEnd(host, `/team-redrive ${runId} b`);
    await say(host, `/team-deadletters add ${beside.runId} b`);
    const letters = join(runFolder(project, beside.runId), "deadletter.jsonl");
    const open = await readFile(letters);
    mend();
    const last = await sayToEnd(host, `/team-redrive ${runId} b`);
    expect(last.ended).toContain("completed");
    await writeFile(letters, open);
    expect(await say(host, `/team-resume ${runId}`)).toContain(`was done by run ${last.runId}`);
    expect((await letterLines(project, beside.runId)).at(-1)).toMatchObject({ mark: "redriven", newRunId: last.runId });
  });

  it("is not made while a run that goes on with one that went on with its run is at the task", async () => {
    const { rig, host, project, runId, mend, finish, over } = await halfFailed();
    finish();
    await over();
    const [gate, open] = gated();
    mend({ b: () => gate.then(() => ({ text: "b is done" })) });
    const next = async (before: number) => {
      await waitUntil(async () => (await runIds(project)).length > before && asked(rig, "b") > before, 30_000);
      return (await runIds(project))[before] ?? "";
    };
    await say(host, `/team-resume ${runId}`);
    const child = await next(1);
    await say(host, `/team-cancel ${child}`);
    await say(host, `/team-resume ${child}`);
    const grandchild = await next(2);
    const busy = `Run ${grandchild} goes on with ${child} already, and does task b.`;
    expect(await say(host, `/team-redrive ${runId} b`)).toContain(busy);
    expect(await say(host, `/team-resume ${runId}`)).toContain(busy);
    open();
    await waitUntil(async () => ofType(await eventsOf(project, grandchild), "crew.run.completed").length === 1, 30_000);
    expect(await say(host, `/team-resume ${runId}`)).toContain(
      `All that was left of run ${runId} was done by run ${grandchild}`,
    );
    expect(asked(rig, "b")).toBe(3);
  });

  it("is made of a task that failed once more while the run that failed at it goes on with others", async () => {
    const { rig, host, project, runId, mend, finish, over } = await halfFailed(TWO_FAIL);
    finish();
    await over();
    const [gate, open] = gated();
    const e = () => gate.then(() => ({ text: "e is done" }));
    mend({ b: no, e });
    await say(host, `/team-resume ${runId}`);
    const [, child = ""] = await runIds(project);
    const hasFailed = async () => /skipped/.test(await say(host, `/team-status ${child}`));
    await waitUntil(async () => asked(rig, "e") === 2 && (await hasFailed()), 30_000);
    mend({ e });
    const redriven = await sayToEnd(host, `/team-redrive ${child} b`);
    expect(redriven.said).toContain(`goes on with ${child}: b, d to do.`);
    expect(redriven.ended).toContain("completed");
    open();
    await waitUntil(async () => ofType(await eventsOf(project, child), "crew.run.failed").length === 1, 30_000);
    const done = `All that was left of run ${runId} was done by run ${child} and run ${redriven.runId}`;
    expect(await say(host, `/team-resume ${runId}`)).toContain(done);
    for (const [step, times] of Object.entries({ b: 3, c: 1, d: 1, e: 2 })) expect(asked(rig, step), step).toBe(times);
  });

  it("or a resume of one run does nothing again that one beside it has done", async () => {
    const { rig, host, project, runId, mend, finish, over } = await halfFailed();
    finish();
    await over();
    mend({ b: () => ({ text: "slow", delayMs: 60_000 }) });
    await say(host, `/team-resume ${runId}`);
    const [, child = ""] = await runIds(project);
    await waitUntil(() => asked(rig, "b") === 2, 30_000);
    await say(host, `/team-cancel ${child}`);
    mend();
    const other = await sayToEnd(host, `/team-resume ${runId}`);
    expect(other.ended).toContain("completed");
    const done = `All that was left of run ${child} was done by run ${other.runId}`;
    expect(await say(host, `/team-resume ${child}`)).toContain(done);
  });

  it("of one task leaves the others to a resume, which keeps its result, and closes the letters of all it does", async () => {
    const { rig, host, project, runId, mend, finish, over } = await halfFailed(TWO_FAIL);
    finish();
    await over();
    for (const task of ["b", "e"]) await say(host, `/team-deadletters add ${runId} ${task}`);
    mend();
    const one = await sayToEnd(host, `/team-redrive ${runId} b`);
    expect(one.ended).toContain("completed");
    const rest = await sayToEnd(host, `/team-resume ${runId}`);
    expect(rest.said).toContain(`goes on with ${runId}: e to do. The results of b, c, d are kept.`);
    expect(rest.ended).toContain("completed");
    for (const [step, times] of Object.entries({ b: 2, c: 1, d: 1, e: 2 })) expect(asked(rig, step), step).toBe(times);
    const manifest = JSON.parse(await readFile(join(runFolder(project, rest.runId), "manifest.json"), "utf8"));
    expect(manifest.kept).toMatchObject({ b: { fromRunId: one.runId }, c: { fromRunId: runId } });
    const marks = (await letterLines(project, runId)).filter((line) => "mark" in line);
    expect(marks).toMatchObject([{ newRunId: one.runId }, { newRunId: rest.runId }]);
    expect(await say(host, "/team-deadletters")).toContain("No dead letters are open");
  });

  it("of an ended run's task answers what others had asked of that run, too", async () => {
    const { host, project, runId, events, mend, finish, over } = await halfFailed();
    finish();
    await over();
    const folder = runFolder(project, runId);
    await postRequest(quietWorld(), folder, { kind: "deadletter", taskId: "b" }, "stranger");
    await postRequest(quietWorld(), folder, { kind: "redrive", taskId: "b", newRunId: "elsewhere" }, "stranger");
    mend();
    const next = await sayToEnd(host, `/team-redrive ${runId} b`);
    const newRuns = ofType(await events(), "crew.task.redriven").map(({ newRunId }) => newRunId);
    expect(newRuns.sort()).toEqual([next.runId, "elsewhere"].sort());
    expect(ofType(await events(), "crew.task.deadletter")).toHaveLength(1);
    expect((await readdir(join(folder, "inbox"))).filter((name) => name.endsWith(".json"))).toEqual([]);
  });

  it.skipIf(noMount)(
    `whose run can't be made leaves its letter open${noMount ? `: skipped, ${noMount}` : ""}`,
    async () => {
      let disk: Awaited<ReturnType<typeof mountSmallDisk>> | undefined;
      const { host, project, runId, mend, finish, over } = await halfFailed(BESIDE, async (rig) => {
        disk = await mountSmallDisk(join(rig.agentFolder.project, ".crew"), 8);
      });
      finish();
      await over();
      expect(await say(host, `/team-deadletters add ${runId} b`)).toContain("is dead letter");
      const [letter] = await letterLines(project, runId);
      mend();
      disk?.fill();
      expect(await say(host, `/team-redrive ${letter?.["id"]}`)).toMatch(/ENOSPC|no space/);
      disk?.free();
      expect(await letterLines(project, runId)).toHaveLength(1);
      expect(await runIds(project)).toEqual([runId]);
      const next = await sayToEnd(host, `/team-redrive ${letter?.["id"]}`);
      expect(next.ended).toContain("completed");
      expect((await letterLines(project, runId)).at(-1)).toMatchObject({ mark: "redriven", newRunId: next.runId });
    },
  );
});
