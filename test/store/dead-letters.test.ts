import { spawn } from "node:child_process";
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { foldDeadLetters } from "../../src/store/dead-letter-lines.ts";
import { DeadLetters } from "../../src/store/dead-letters.ts";
import { runPaths } from "../../src/store/layout.ts";
import { nodeWorld } from "../../src/system/node.ts";
import type { Files } from "../../src/system/world.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { FailingLogFiles, tempFolder } from "./temp-store.ts";

const { random, files: realFiles } = nodeWorld({ warn: () => undefined, error: () => undefined });
const MODULE = join(import.meta.dirname, "../../src/store/dead-letters.ts");
const NODE = join(import.meta.dirname, "../../src/system/node.ts");

async function bench(options: { files?: Files; crewRoot?: string; runs?: string[] } = {}) {
  const crewRoot = options.crewRoot ?? (await tempFolder());
  for (const runId of options.runs ?? ["run-1"]) mkdirSync(runPaths(crewRoot, runId).folder, { recursive: true });
  const clock = new FakeClock();
  const letters = new DeadLetters({ files: options.files ?? realFiles, clock, random }, crewRoot);
  const path = (runId: string) => join(runPaths(crewRoot, runId).folder, "deadletter.jsonl");
  return { crewRoot, clock, letters, path };
}

const failed = (taskId: string, runId = "run-1") =>
  ({
    runId,
    taskId,
    reason: "max-retries",
    attempts: 3,
    lastError: { kind: "provider", message: "529\u2028\n" },
  }) as const;

describe("dead letters", () => {
  it("are there for anyone once adding them resolved, one line each", async () => {
    const { letters, path, crewRoot, clock } = await bench();
    const { letter, added } = await letters.add(failed("build"));
    expect(added).toBe(true);
    const timestamp = new Date(clock.now()).toISOString();
    expect(letter).toEqual({ ...failed("build"), id: letter.id, timestamp, status: "open" });
    const { letters: others } = await bench({ crewRoot });
    expect(await others.ofRun("run-1")).toEqual({ letters: [letter], bad: 0 });
    const lines = readFileSync(path("run-1"), "utf8").split("\n");
    expect(lines).toHaveLength(2);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ ...failed("build"), timestamp });
  });

  it("are one for each task and reason, however often and at once they are added", async () => {
    const { letters, path } = await bench();
    const twice = await Promise.all([letters.add(failed("build")), letters.add(failed("build"))]);
    expect(twice.map(({ added }) => added)).toEqual([true, false]);
    expect(twice[0]?.letter).toEqual(twice[1]?.letter);
    expect((await letters.add({ ...failed("build"), reason: "manual" })).added).toBe(true);
    expect((await letters.add(failed("test"))).added).toBe(true);
    expect((await letters.ofRun("run-1")).letters).toHaveLength(3);
    // what another process wrote at the same moment
    appendFileSync(path("run-1"), readFileSync(path("run-1")));
    expect(await letters.ofRun("run-1")).toMatchObject({ letters: { length: 3 }, bad: 0 });
  });

  it("are listed over all runs, newest first, as many as asked for", async () => {
    const { letters, clock, crewRoot } = await bench({ runs: ["run-1", "run-2", "run-3"] });
    mkdirSync(join(crewRoot, "state", "runs", "Not A Run"));
    for (const [runId, taskId] of [
      ["run-2", "a"],
      ["run-1", "b"],
      ["run-2", "c"],
    ] as const) {
      await letters.add(failed(taskId, runId));
      await clock.advance(1000);
    }
    await letters.add(failed("d", "run-2"));
    await letters.add(failed("e", "run-2"));
    const all = await letters.list({ limit: 10 });
    expect(all.letters.map(({ taskId }) => taskId)).toEqual(["e", "d", "c", "b", "a"]);
    expect(all).toMatchObject({ more: false, bad: 1 });
    const two = await letters.list({ limit: 2 });
    expect(two.letters.map(({ taskId }) => taskId)).toEqual(["e", "d"]);
    expect(two.more).toBe(true);
    const [first] = all.letters;
    if (first) await letters.discard(first);
    expect((await letters.list({ limit: 10, openOnly: true })).letters.map(({ taskId }) => taskId)).toEqual([
      "d",
      "c",
      "b",
      "a",
    ]);
  });

  it("are found by the beginning of their id", async () => {
    const { letters } = await bench();
    const { letter } = await letters.add(failed("build"));
    await letters.add(failed("test"));
    expect(await letters.find(letter.id.slice(0, 9))).toEqual(letter);
    for (const text of ["", "dl-", "nothing"]) await expect(letters.find(text)).rejects.toThrow("/team-deadletters");
  });

  it("are dealt with once: the first mark stands, whoever sets it", async () => {
    const { letters, clock } = await bench();
    const { letter } = await letters.add(failed("build"));
    await clock.advance(5000);
    expect(await letters.redriven(letter, "run-9")).toBe(true);
    expect(await letters.redriven(letter, "run-10")).toBe(false);
    expect(await letters.discard(letter)).toBe(false);
    const [now] = (await letters.ofRun("run-1")).letters;
    expect(now).toMatchObject({ status: "redriven", newRunId: "run-9", markedAt: new Date(clock.now()).toISOString() });
    const { letter: other } = await letters.add(failed("test"));
    expect(await letters.discard(other)).toBe(true);
    expect(await letters.redriven(other, "run-11")).toBe(false);
    expect((await letters.add(failed("test"))).letter.status).toBe("discarded");
    expect(await letters.discard({ runId: "run-1", id: "dl-none" })).toBe(false);
  });

  it("are redriven by exactly one of several processes", async () => {
    const { letters, crewRoot } = await bench();
    for (let round = 0; round < 3; round++) {
      const { letter } = await letters.add(failed(`task-${round}`));
      const script = `
        const { DeadLetters } = await import(${JSON.stringify(MODULE)});
        const { nodeWorld } = await import(${JSON.stringify(NODE)});
        const letters = new DeadLetters(nodeWorld({}), ${JSON.stringify(crewRoot)});
        while (Date.now() < Number(process.argv[1])) ;
        console.log(await letters.redriven(${JSON.stringify(letter)}, "run-" + process.pid));`;
      const at = String(Date.now() + 1500);
      const said = await Promise.all([1, 2, 3].map(() => output(script, at)));
      expect(said.map((text) => text.trim()).sort()).toEqual(["false", "false", "true"]);
    }
  });
});

function output(script: string, argument: string): Promise<string> {
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script, argument], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  return new Promise((resolve) => child.on("close", () => resolve(text)));
}

describe("a file of dead letters cut at every byte", () => {
  it("loses at most its last line, and goes on behind the cut", async () => {
    const source = await bench();
    const { letter } = await source.letters.add(failed("a"));
    await source.letters.add(failed("b"));
    await source.letters.discard(letter);
    const bytes = readFileSync(source.path("run-1"));
    const ends = [...bytes.entries()].flatMap(([at, byte]) => (byte === 0x0a ? [at] : []));
    const { letters, path } = await bench();
    for (let cut = 0; cut <= bytes.length; cut++) {
      copyFileSync(source.path("run-1"), path("run-1"));
      truncateSync(path("run-1"), cut);
      const whole = ends.filter((end) => cut >= end).length;
      const before = await letters.ofRun("run-1");
      expect(before.bad).toBe(0);
      expect(before.letters.map(({ taskId }) => taskId)).toEqual(["a", "b"].slice(0, whole));
      expect(before.letters[0]?.status).toBe([undefined, "open", "open", "discarded"][whole]);
      await letters.add(failed("c"));
      const after = await letters.ofRun("run-1");
      expect(after.letters.map(({ taskId }) => taskId)).toEqual([...["a", "b"].slice(0, whole), "c"]);
      expect(after.letters.slice(0, -1)).toEqual(before.letters);
    }
  });

  it("skips and counts what is damaged, of another run, or marks nothing", async () => {
    const { letters, path } = await bench({ runs: ["run-1", "run-2"] });
    await letters.add(failed("a"));
    await letters.add(failed("b"));
    await letters.add(failed("c"));
    const [a = "", b = "", c = ""] = readFileSync(path("run-1"), "utf8").split("\n");
    const { letter: theirs } = await letters.add(failed("a", "run-2"));
    await letters.discard(theirs);
    const foreign = readFileSync(path("run-2"), "utf8");
    writeFileSync(path("run-1"), `${a}\n${b.replace("max", "min")}\n\0\0\0\n\n${foreign}${c}\n`);
    expect(await letters.ofRun("run-1")).toMatchObject({ letters: [{ taskId: "a" }, { taskId: "c" }], bad: 4 });
    for (const text of ["", "\n\n", "null", "{}", '{"crc":1}'])
      expect(foldDeadLetters("run-1", text).letters).toEqual([]);
  });
});

describe("a dead letter that can't be written", () => {
  it.each(["write", "part", "sync"] as const)("is an error for the user, and can be added later (%s)", async (at) => {
    const failing = new FailingLogFiles();
    const { letters, path } = await bench({ files: failing.files });
    await letters.add(failed("a"));
    failing.fail = { at, code: "ENOSPC" };
    await expect(letters.add(failed("b"))).rejects.toThrow("ENOSPC");
    failing.fail = null;
    // also after a failed sync, when it can be read: no disk need have it
    const lines = () => readFileSync(path("run-1"), "utf8").split("\n").filter(Boolean).length;
    const before = lines();
    await letters.add(failed("b"));
    expect(lines()).toBe(before + 1);
    expect((await letters.ofRun("run-1")).letters.map(({ taskId }) => taskId)).toEqual(["a", "b"]);
    expect((await letters.add(failed("b"))).added).toBe(false);
  });

  it("is none where links are planted or the run is gone", async () => {
    const { letters, path, crewRoot } = await bench({ runs: ["run-1", "run-2"] });
    const elsewhere = await tempFolder();
    const victim = join(elsewhere, "victim");
    writeFileSync(victim, "theirs\n");
    symlinkSync(victim, path("run-1"));
    await expect(letters.add(failed("a"))).rejects.toThrow("can't be written");
    expect(await letters.ofRun("run-1")).toEqual({ letters: [], bad: 1 });
    rmSync(runPaths(crewRoot, "run-2").folder, { recursive: true });
    await expect(letters.add(failed("a", "run-2"))).rejects.toThrow("gone");
    symlinkSync(elsewhere, runPaths(crewRoot, "run-2").folder);
    await expect(letters.add(failed("a", "run-2"))).rejects.toThrow("symlink");
    expect(readFileSync(victim, "utf8")).toBe("theirs\n");
  });
});
