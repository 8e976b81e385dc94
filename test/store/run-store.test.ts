import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import type { NewEvent } from "../../src/events/crew-event.ts";
import { crc32, openSealedLine, sealedLine } from "../../src/events/event-line.ts";
import { HEALTHY_LOG } from "../../src/store/run-log-reader.ts";
import type { OpenRun, RunStore } from "../../src/store/run-store.ts";
import { UserError } from "../../src/system/errors.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import type { Files } from "../../src/system/world.ts";
import { anyEvent } from "../events/any-event.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { FailingLogFiles, keepingBus, ownerOf, tempStore, typesOf } from "./temp-store.ts";

const MANIFEST = manifestOf([taskSpec("a"), taskSpec("b")]);

function progress(text: string): NewEvent {
  return { type: "crew.task.progress", taskId: "a", attempt: 1, text };
}

const START: NewEvent[] = [
  { type: "crew.run.started", team: "t", workflow: "w" },
  { type: "crew.task.started", taskId: "a", team: "t", role: "r", stepName: "a", workerKind: "shell" },
  { type: "crew.task.attempt_started", taskId: "a", attempt: 1, workerId: "w", workerKind: "shell" },
];

async function publishAll(run: OpenRun, events: readonly NewEvent[]): Promise<void> {
  for (const event of events) await run.publisher.publish(event);
}

/** A run made, claimed and under way. */
async function runUnderWay(options: { files?: Files; runId?: string; crewRoot?: string } = {}) {
  const temp = await tempStore(options);
  const { bus, told } = keepingBus();
  const runId = options.runId ?? "run-1";
  const run = await temp.store.create({ ...MANIFEST, runId }, bus);
  onTestFinished(() => run.close());
  await run.claim(ownerOf("first"));
  await publishAll(run, START);
  const file = (name: string) => join(run.folder, name);
  return { ...temp, run, told, file };
}

describe("making a run", () => {
  it("writes what was asked, and its first event, before anything else", async () => {
    const { store } = await tempStore();
    const { bus, told } = keepingBus();
    const run = await store.create({ ...MANIFEST, goal: "g".repeat(5000), resumedFrom: "run-0" }, bus);
    onTestFinished(() => run.close());
    expect(readdirSync(run.folder).sort()).toEqual(["artifacts", "events.jsonl", "inbox", "manifest.json"]);
    const view = await store.view("run-1");
    expect(view.manifest).toEqual(run.manifest);
    expect(view.state).toEqual(run.state);
    expect(told).toMatchObject([
      { type: "crew.run.created", seq: 1, epoch: 0, taskCount: 2, resumedFrom: "run-0", goal: "g".repeat(2000) },
    ]);
  });

  it("refuses an id that is taken, and leaves that run alone", async () => {
    const { store, file } = await runUnderWay();
    const before = readFileSync(file("events.jsonl"));
    await expect(store.create({ ...MANIFEST, goal: "other" }, keepingBus().bus)).rejects.toThrow("EEXIST");
    expect(readFileSync(file("events.jsonl"))).toEqual(before);
    expect((await store.view("run-1")).manifest.goal).toBe("the goal");
  });

  it("refuses an id that leads elsewhere", async () => {
    const { store } = await tempStore();
    await expect(store.create({ ...MANIFEST, runId: "../x" }, keepingBus().bus)).rejects.toBeInstanceOf(UserError);
  });

  it("keeps no file open when the disk is full", async () => {
    const failing = new FailingLogFiles();
    failing.fail = { at: "write", code: "ENOSPC" };
    let open = 0;
    const counting: Files = {
      ...failing.files,
      openAppend: (path) => {
        const handle = failing.files.openAppend(path);
        open++;
        return {
          ...handle,
          close: () => {
            open--;
            handle.close();
          },
        };
      },
    };
    const { store } = await tempStore({ files: counting });
    await expect(store.create(MANIFEST, keepingBus().bus)).rejects.toThrow("ENOSPC");
    expect(open).toBe(0);
  });
});

describe("events of a run", () => {
  it("are numbered 1 to n without a gap when many are published at once", async () => {
    const { run, told, file, store } = await runUnderWay();
    await Promise.all(
      Array.from({ length: 200 }, (_, at) =>
        run.publisher.publish(
          at % 7 ? progress(`p${at}`) : { type: "crew.task.heartbeat_dead", taskId: "a", stalenessMs: at },
        ),
      ),
    );
    const log = readFileSync(file("events.jsonl"), "utf8").split("\n").filter(Boolean);
    const seqs = log.map((line) => (JSON.parse(line) as { seq: number }).seq);
    expect(seqs).toEqual(seqs.map((_seq, at) => at + 1));
    expect(told.map(({ seq }) => seq)).toEqual(seqs);
    expect((await store.view("run-1")).state).toEqual(run.state);
  });

  it("tell the claim once, to the bus of who won", async () => {
    const { store, told } = await runUnderWay();
    const [one, two] = [keepingBus(), keepingBus()];
    const runs = await Promise.all([store.open("run-1", one.bus), store.open("run-1", two.bus)]);
    for (const run of runs) onTestFinished(() => run.close());
    const won = await Promise.all(runs.map((run, at) => run.claim(ownerOf(`o${at}`))));
    expect(won.filter(Boolean)).toHaveLength(1);
    const heard = [one, two].map(({ told: events }) => typesOf(events));
    expect(heard.flat()).toEqual(["crew.run.claimed"]);
    expect(heard[won.indexOf(true)]).toEqual(["crew.run.claimed"]);
    expect(typesOf(told, "crew.run.claimed")).toHaveLength(1);
    const view = await store.view("run-1");
    expect(view.state.owner?.nonce).toBe(`o${won.indexOf(true)}`);
    for (const run of runs) expect(run.state).toEqual(view.state);
  });

  it("do not depend on a bus that is gone, the claim included", async () => {
    const { store, warnings } = await runUnderWay();
    const gone = {
      emit: () => {
        throw new Error("the session is gone");
      },
      on: () => () => undefined,
    };
    const run = await store.open("run-1", gone);
    onTestFinished(() => run.close());
    expect(await run.claim(ownerOf("next"))).toBe(true);
    await run.publisher.publish(progress("x"));
    expect(warnings).toHaveLength(2);
  });

  it("are not written by who does not own the run", async () => {
    const { store } = await runUnderWay();
    const other = await store.open("run-1", keepingBus().bus);
    onTestFinished(() => other.close());
    await expect(other.publisher.publish(progress("x"))).rejects.toThrow("only a run's owner writes to its log");
  });

  it("have the health of what was read for who drives the run, as for who looks at it", async () => {
    const { store, run, file } = await runUnderWay();
    expect(run.health).toEqual(HEALTHY_LOG);
    run.close();
    appendFileSync(file("events.jsonl"), 'damaged\n{"v":1,"seq');
    const next = await store.open("run-1", keepingBus().bus);
    onTestFinished(() => next.close());
    expect(next.health).toEqual({ ...HEALTHY_LOG, bad: 1, torn: 1 });
    expect(await next.claim(ownerOf("next"))).toBe(true);
    await next.publisher.publish(progress("x"));
    expect(next.health).toEqual({ ...HEALTHY_LOG, bad: 1, torn: 1 });
    expect((await store.view("run-1")).health).toEqual(next.health);
  });

  it("are only read when a later version has written among them", async () => {
    const { store, file, run } = await runUnderWay();
    const newer = JSON.stringify({ v: 2, seq: 99, epoch: 1, type: "x" });
    appendFileSync(file("events.jsonl"), `${newer.slice(0, -1)},"crc":${crc32(Buffer.from(newer))}}\n`);
    const view = await store.view("run-1");
    expect(view).toMatchObject({ degraded: true, health: { newer: true } });
    expect(view.state).toEqual(run.state);
    await expect(store.open("run-1", keepingBus().bus)).rejects.toThrow(/later version of pi-foreman/);
    await expect(store.open("run-1", keepingBus().bus)).rejects.toBeInstanceOf(UserError);
  });
});

describe("state.json", () => {
  it("loses nothing when it is deleted", async () => {
    const { store, run, file } = await runUnderWay();
    await run.saveSnapshot();
    await run.publisher.publish(progress("after"));
    const withIt = await store.view("run-1");
    rmSync(file("state.json"));
    expect(await store.view("run-1")).toEqual(withIt);
  });

  it("spares the reading of what it covers", async () => {
    const reads: number[] = [];
    const real = nodeFiles();
    const files: Files = {
      ...real,
      readRange: (path, offset, max) => {
        reads.push(offset);
        return real.readRange(path, offset, max);
      },
    };
    const { store, run, file } = await runUnderWay({ files });
    for (let at = 0; at < 1500; at++) void run.publisher.publish(progress("x".repeat(300)));
    await run.publisher.publish(progress("last"));
    await run.saveSnapshot();
    const size = readFileSync(file("events.jsonl")).byteLength;
    expect(size).toBeGreaterThan(512 * 1024);
    reads.length = 0;
    expect((await store.view("run-1")).state).toEqual(run.state);
    expect(Math.min(...reads)).toBeGreaterThan(0);
  });

  it("gives the same as the whole log, wherever it was taken and whatever was done to it", async () => {
    const { store, run, file } = await runUnderWay();
    const older: string[] = [];
    for (let at = 0; at < 4; at++) {
      await run.saveSnapshot();
      older.push(readFileSync(file("state.json"), "utf8"));
      await run.publisher.publish(progress(`step ${at}`));
    }
    const truth = run.state;
    for (const text of older) {
      writeFileSync(file("state.json"), text);
      expect((await store.view("run-1")).state, "older").toEqual(truth);
    }
    const good = older.at(-1) ?? "";
    const opened = () => openSealedLine(good.trimEnd()) as { position: object; state: object; health: object };
    const lies: [string, string][] = [
      ["empty", ""],
      ["half", good.slice(0, good.length / 2)],
      ["NULs", "\0".repeat(500)],
      ["null", "null"],
      ["a number", "7"],
      ["without a position", JSON.stringify({ schemaVersion: 4, runId: "run-1", state: { tasks: [] } })],
      ["nothing but the names", sealedLine({ schemaVersion: 4, runId: "other", state: { tasks: [] } })],
      ["unsealed", good.replace('"running"', '"completed"')],
      ["of another run", sealedLine({ ...opened(), runId: "run-2" })],
      ["of an earlier version", sealedLine({ ...opened(), schemaVersion: 3 })],
      ["of a later version", sealedLine({ ...opened(), schemaVersion: 5 })],
      ["of a longer log", sealedLine({ ...opened(), position: { ...opened().position, bytes: 10_000_000 } })],
      ["of a place within a line", sealedLine({ ...opened(), position: { ...opened().position, bytes: 100 } })],
      ["of another event", sealedLine({ ...opened(), position: { ...opened().position, seq: 2 } })],
      ["of another epoch", sealedLine({ ...opened(), position: { ...opened().position, epoch: 7 } })],
    ];
    const { seq, bytes } = { seq: 9, bytes: readFileSync(file("events.jsonl")).byteLength };
    lies.push([
      "of a place behind the end",
      sealedLine({ ...opened(), position: { ...opened().position, seq, bytes: bytes + 50 } }),
    ]);
    for (const [what, text] of lies) {
      writeFileSync(file("state.json"), text);
      const view = await store.view("run-1");
      expect(view.state, what).toEqual(truth);
      expect(view.degraded, what).toBe(false);
    }
  });

  it("is ignored when the log is another, or shorter, than the one it was taken of", async () => {
    const one = await runUnderWay();
    await one.run.publisher.publish(progress("only here"));
    await one.run.saveSnapshot();
    const two = await runUnderWay();
    copyFileSync(one.file("state.json"), two.file("state.json"));
    expect((await two.store.view("run-1")).state).toEqual(two.run.state);
  });

  it("equals the whole fold for any events, any damage and any moment", async () => {
    const damage = fc.constantFrom("none", "bad line", "cut off", "torn", "fenced");
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(anyEvent(["a", "b"]), damage), { maxLength: 12 }),
        fc.nat(12),
        async (steps, moment) => {
          const { store, run, file } = await runUnderWay();
          const save = async () => {
            await run.saveSnapshot();
            return readFileSync(file("state.json"), "utf8");
          };
          let saved = "";
          for (const [at, [event, harm]] of steps.entries()) {
            if (event.type === "crew.run.claimed" || event.type === "crew.run.released") continue;
            const { v: _v, seq, epoch: _e, ts: _t, runId: _r, traceId: _i, spanId: _s, ...rest } = event;
            if (harm === "bad line") appendFileSync(file("events.jsonl"), "\0\n");
            if (harm === "cut off") appendFileSync(file("events.jsonl"), `{"v":1,"seq":${seq}\n`);
            if (harm === "torn") appendFileSync(file("events.jsonl"), `{"torn":`);
            if (harm === "fenced") appendFileSync(file("events.jsonl"), sealedLine({ ...event, epoch: 0 }));
            if (at >= moment && saved === "") saved = await save();
            await run.publisher.publish(rest as NewEvent);
          }
          rmSync(file("state.json"), { force: true });
          const whole = await store.view("run-1");
          writeFileSync(file("state.json"), saved === "" ? await save() : saved);
          const view = await store.view("run-1");
          expect(view).toEqual(whole);
          run.close();
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe("finding a run", () => {
  const IDS = ["20240101-120000-aaaa", "20240102-120000-bbbb", "20240103-120000-aabb"];

  async function withRuns(): Promise<{ store: RunStore; crewRoot: string }> {
    const { store, crewRoot } = await tempStore();
    for (const runId of IDS) (await store.create({ ...MANIFEST, runId }, keepingBus().bus)).close();
    return { store, crewRoot };
  }

  it("takes an id, its beginning, its end, and latest", async () => {
    const { store } = await withRuns();
    expect(await store.ids()).toEqual([...IDS].reverse());
    expect(await store.find("latest")).toBe(IDS[2]);
    expect(await store.find("")).toBe(IDS[2]);
    expect(await store.find("20240102")).toBe(IDS[1]);
    expect(await store.find("aaaa")).toBe(IDS[0]);
    expect(await store.find(IDS[0] ?? "")).toBe(IDS[0]);
  });

  it("says what there is when it finds none, or more than one", async () => {
    const { store } = await withRuns();
    const all = [...IDS].reverse().join(", ");
    await expect(store.find("nope")).rejects.toThrow(
      `No run is called "nope". Use one of ${all}, or "latest"; the last 4 characters do.`,
    );
    await expect(store.find("2024")).rejects.toThrow(`More than one run is called "2024". Use one of ${all}`);
    await expect(store.find("aaa")).rejects.toThrow('No run is called "aaa".');
    await expect(store.find("../..")).rejects.toThrow('No run is called "../..".');
    await expect(store.find("\n\u001b[2J")).rejects.toThrow('No run is called "\\n\\u001b[2J".');
  });

  it("says how to begin when there is none", async () => {
    const { store } = await tempStore();
    const none = store.find("latest");
    await expect(none).rejects.toBeInstanceOf(UserError);
    await expect(none).rejects.toThrow('There is no run yet. Start one with /team-run <team> "<goal>".');
  });

  it("does not mind what else lies in the folder", async () => {
    const { store, crewRoot } = await withRuns();
    const runs = join(crewRoot, "state/runs");
    for (const name of ["zzz.tmp", "README.md", "Zed", ".hidden"]) writeFileSync(join(runs, name), "");
    mkdirSync(join(runs, "z z"));
    expect(await store.ids()).toEqual([...IDS].reverse());
    expect(await store.find("latest")).toBe(IDS[2]);
  });

  it("says so when the run is not there, or not readable", async () => {
    const { store, crewRoot } = await withRuns();
    const folder = join(crewRoot, "state/runs", IDS[0] ?? "");
    await expect(store.view("nope")).rejects.toThrow(/There is no run nope: .*manifest.json is missing/);
    const good = readFileSync(join(folder, "manifest.json"), "utf8");
    for (const bad of [
      "",
      "null",
      "{}",
      good.slice(0, 50),
      good.replace('"schemaVersion": 1', '"schemaVersion": 2'),
      good.replace(IDS[0] ?? "", "another"),
      JSON.stringify({ schemaVersion: 1, runId: IDS[0] }),
      JSON.stringify({ schemaVersion: 1, runId: IDS[0], tasks: [null] }),
      JSON.stringify({ schemaVersion: 1, runId: IDS[0], tasks: [{ taskId: "a" }] }),
      good.replace('"kept": {}', '"kept": null'),
      good.replace('"kept": {}', '"kept": {"a":{"summary":"s","artifacts":[]}}'),
      good.replace('"kept": {}', '"kept": {"a":{"summary":"s","artifacts":[],"fromRunId":"x","commit":"--exec=x"}}'),
      good.replace('"worktrees": null', '"worktrees": {"baseCommit":"--force"}'),
      good.replace('"taskId": "a"', '"taskId": "../../a"'),
      good.replace('"config": {', '"was": {'),
      good.replace('"limits": {', '"was": {'),
      good.replace('"retryPolicy": {', '"was": {'),
      good.replace('"heartbeat": {', '"was": {'),
      good.replace('"maxTokens": null', '"maxTokens": "many"'),
      good.replace('"maxTokens": null', '"maxTokens": -1'),
      good.replace('"attemptTimeoutSec": 1800', '"attemptTimeoutSec": null'),
      good.replace('"autoRetry": false', '"autoRetry": "no"'),
      good.replace('"backoffMs": 1000', '"backoffMs": 1e999'),
      good.replace('"retryableErrors": []', '"retryableErrors": [1]'),
    ]) {
      expect(bad).not.toBe(good);
      writeFileSync(join(folder, "manifest.json"), bad);
      for (const use of [() => store.view(IDS[0] ?? ""), () => store.open(IDS[0] ?? "", keepingBus().bus)]) {
        const refused = use();
        await expect(refused, bad).rejects.toBeInstanceOf(UserError);
        await expect(refused).rejects.toThrow("is damaged or of a later version. Its events are untouched beside it.");
      }
    }
  });
});

describe("a run's files that a repository planted", () => {
  const PLANTED: [string, (path: string, elsewhere: string) => void][] = [
    ["symlink", (path, elsewhere) => symlinkSync(elsewhere, path)],
    ["pipe", (path) => void execFileSync("mkfifo", [path])],
  ];

  it.each(PLANTED)("are neither read nor written through a %s", async (_kind, plant) => {
    for (const name of ["events.jsonl", "manifest.json", "state.json", "inbox", "artifacts", "."]) {
      const { store, run, file, crewRoot } = await runUnderWay();
      await run.saveSnapshot();
      run.close();
      const path = name === "." ? run.folder : file(name);
      const elsewhere = join(crewRoot, "elsewhere");
      renameSync(path, elsewhere);
      plant(path, elsewhere);
      const before = name.includes(".") && name !== "." ? readFileSync(elsewhere) : null;
      for (const use of [() => store.view("run-1"), () => store.open("run-1", keepingBus().bus)]) {
        const refused = use();
        await expect(refused, name).rejects.toBeInstanceOf(UserError);
        await expect(refused).rejects.toThrow(/is not a real (file|directory)\. Remove /);
      }
      if (before) expect(readFileSync(elsewhere)).toEqual(before);
    }
  });

  it.each(["tasks", "tasks/t", "tasks/t/a0001", "tasks/t/a0001/checkpoints", "tasks/t/a0001/artifacts"])(
    "are not driven on over a link at %s",
    async (name) => {
      const { store, run, file, crewRoot } = await runUnderWay();
      run.close();
      mkdirSync(join(crewRoot, "elsewhere"));
      mkdirSync(dirname(file(name)), { recursive: true });
      symlinkSync(join(crewRoot, "elsewhere"), file(name));
      await expect(store.open("run-1", keepingBus().bus)).rejects.toThrow(/is not a real directory\. Remove /);
    },
  );

  it("are not appended to through a second name", async () => {
    const { store, run, file, crewRoot } = await runUnderWay();
    run.close();
    linkSync(file("events.jsonl"), join(crewRoot, "second"));
    await expect(store.open("run-1", keepingBus().bus)).rejects.toThrow("not a regular file with one name");
  });
});
