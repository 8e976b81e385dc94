import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { nodeWorld } from "../../src/system/node.ts";
import { createRedactor } from "../../src/system/redaction.ts";
import type { World } from "../../src/system/world.ts";
import type { AttemptHistory } from "../../src/workers/attempt-history.ts";
import { AttemptRecord } from "../../src/workers/attempt-record.ts";
import { type AttemptKind, emptyResult, type KindResult } from "../../src/workers/kind.ts";
import type { StepRequest } from "../../src/workers/step-contract.ts";
import { WorkerHost } from "../../src/workers/wrapper.ts";
import type { WrapperMessage } from "../../src/workers/wrapper-messages.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { openFds, processesVisible, waitUntil } from "../support/processes.ts";

const quiet = () => nodeWorld({ warn: () => undefined, error: () => undefined });

function requestIn(attemptFolder: string): StepRequest {
  return {
    taskId: "t",
    stepId: "t:1",
    runId: `run-${process.pid}`,
    attempt: 1,
    stepName: "t",
    stepKind: "pi",
    workerKind: "pi",
    timeoutSec: null,
    runtime: { repoRoot: attemptFolder, worktreePath: attemptFolder, attemptFolder, env: {} },
    createdAt: "2026-01-01T00:00:00.000Z",
    promptSummary: "",
    command: "",
    assignment: null,
    verify: "",
  };
}

const done: KindResult = { ...emptyResult, outcome: "completed", failureKind: null, summary: "done", exitCode: 0 };

function kindOf(run: AttemptKind["run"]): AttemptKind {
  return { prepare: async () => undefined, run, partial: () => null };
}

const nothingKept: Pick<AttemptHistory, "add"> = { add: async () => undefined };

async function hostIn(world: World, run: AttemptKind["run"], history = nothingKept) {
  const folder = join(mkdtempSync(join(tmpdir(), "foreman-record-")), "a0001");
  const messages: WrapperMessage[] = [];
  let diverted: (text: string) => void = () => undefined;
  const codes: number[] = [];
  const host = new WorkerHost(
    world,
    {
      redactor: Promise.resolve(createRedactor({ secretValues: [] })),
      tell: (message) => messages.push(message),
      enter: (_environment, _cwd, output) => {
        diverted = output;
        output("from the extension\n");
        return () => undefined;
      },
      exit: (code) => codes.push(code),
    },
    { pi: kindOf(run) },
    folder,
    history,
  );
  const work = () => host.take({ type: "attempt", request: requestIn(folder), workerId: `w1-${process.pid}` });
  const state = () => JSON.parse(readFileSync(join(folder, "state.json"), "utf8"));
  return { host, folder, messages, codes, work, state, divert: (text: string) => diverted(text) };
}

describe("the record of an attempt", () => {
  it("has what was asked before it says that it is being done", async () => {
    const world = quiet();
    const order: string[] = [];
    const name = (path: string) => path.slice(path.lastIndexOf("/") + 1);
    const placeNew: World["files"]["placeNew"] = async (path, data) => {
      order.push(`begin ${name(path)}`);
      await world.files.placeNew(path, data);
      order.push(`end ${name(path)}`);
    };
    const sync: World["files"]["sync"] = async (paths) => {
      await world.files.sync(paths);
      order.push(`synced ${paths.map(name).join(", ")}`);
    };
    const bench = await hostIn({ ...world, files: { ...world.files, placeNew, sync } }, async (_request, context) => {
      await context.taken;
      order.push("a model may be asked");
      await context.claimed;
      order.push("a tool may run");
      return done;
    });
    await bench.work();
    expect(order).toEqual([
      ...["begin meta.json", "end meta.json", "begin state.json", "end state.json", "a model may be asked"],
      ...["synced meta.json, state.json", "a tool may run"],
    ]);
    expect(readFileSync(join(bench.folder, "stderr.log"), "utf8")).toContain("from the extension");
    expect(bench.state()).toMatchObject({ status: "ended", result: { attemptOutcome: "completed" } });
  });

  it("is told before it is in the history, and its process ends after", async () => {
    let write: () => void = () => undefined;
    const written = new Promise<void>((resolve) => {
      write = resolve;
    });
    const bench = await hostIn(quiet(), async (_request, context) => context.claimed.then(() => done), {
      add: () => written,
    });
    await bench.work();
    expect(bench.messages.find(({ type }) => type === "ended")).toMatchObject({ refused: null, leaving: false });
    bench.host.leave();
    await new Promise((resolve) => setImmediate(resolve));
    expect(bench.codes).toEqual([]);
    write();
    await waitUntil(() => bench.codes.length > 0);
    expect(bench.codes).toEqual([0]);
  });

  it("is not begun by a process whose owner went while it was handed over", async () => {
    const world = quiet();
    const facts: World["files"]["facts"] = async (path) => {
      if (path === bench.folder) bench.host.leave();
      return world.files.facts(path);
    };
    let begun = false;
    const bench = await hostIn({ ...world, files: { ...world.files, facts } }, async (_request, context) => {
      begun = true;
      await context.claimed;
      return done;
    });
    await bench.work();
    expect(begun).toBe(false);
    expect(existsSync(join(bench.folder, "state.json"))).toBe(false);
    expect(bench.messages.at(-1)).toMatchObject({ type: "ended", refused: "the worker is ending" });
    expect(bench.codes).toEqual([0]);
  });

  it("ends as cancelled when that was asked for before its folder was made", async () => {
    const world = quiet();
    const facts: World["files"]["facts"] = async (path) => {
      if (path === bench.folder) await bench.host.take({ type: "cancel", reason: "cancelled" });
      return world.files.facts(path);
    };
    const bench = await hostIn({ ...world, files: { ...world.files, facts } }, async (_request, context) => {
      await context.claimed;
      return context.signal.aborted ? { ...done, outcome: "cancelled", failureKind: "cancelled" } : done;
    });
    await bench.work();
    expect(bench.state()).toMatchObject({ status: "ended", result: { attemptOutcome: "cancelled" } });
  });

  it("ends as failed when something throws after the claim", async () => {
    const bench = await hostIn(quiet(), async (_request, context) => {
      await context.claimed;
      throw new Error("a surprise");
    });
    await bench.work();
    expect(bench.state()).toMatchObject({
      status: "ended",
      result: {
        attemptOutcome: "failed",
        failureKind: "transient",
        error: { kind: "worker-crashed", message: "a surprise" },
      },
    });
    expect(bench.messages.at(-1)).toMatchObject({ type: "ended", refused: null, leaving: true });
    expect(bench.codes).toEqual([0]);
  });

  it("ends as failed when the disk refuses after the state is there, and when a log can't be opened", async () => {
    const run: AttemptKind["run"] = async (_request, context) => {
      await context.claimed;
      return done;
    };
    const world = quiet();
    const sync = async () => {
      throw Object.assign(new Error("the folder can't be synced"), { code: "EIO" });
    };
    const placeNew: World["files"]["placeNew"] = async (path, data) => {
      await world.files.placeNew(path, data);
      if (path.endsWith("state.json")) throw Object.assign(new Error("what it was made from stays"), { code: "EIO" });
    };
    const unsynced = await hostIn({ ...world, files: { ...world.files, sync } }, run);
    await unsynced.work();
    const crashed = { error: { kind: "worker-crashed", message: "the folder can't be synced" } };
    expect(unsynced.state()).toMatchObject({ status: "ended", result: crashed });
    const asked: AttemptKind["run"] = async (_request, context) => {
      await context.taken;
      return { ...done, costUsd: 0.25 };
    };
    const spent = await hostIn({ ...world, files: { ...world.files, sync } }, asked);
    await spent.work();
    const unkept = { attemptOutcome: "failed", error: { kind: "claim" }, metrics: { costUsd: 0.25 } };
    expect(spent.state()).toMatchObject({ status: "ended", result: unkept });
    const placed = await hostIn({ ...world, files: { ...world.files, placeNew } }, run);
    await placed.work();
    expect(placed.state()).toMatchObject({ status: "ended", result: { attemptOutcome: "completed" } });

    const logless = await hostIn(world, run);
    await mkdir(join(logless.folder, "stderr.log"), { recursive: true });
    await logless.work();
    expect(logless.state()).toMatchObject({ status: "ended", result: { error: { kind: "worker-crashed" } } });
    const open = processesVisible ? [...openFds().values()].filter((path) => path.startsWith(logless.folder)) : [];
    expect(open).toEqual([]);
  });

  it("leaves another worker's attempt alone: no log is opened, nothing is written", async () => {
    const bench = await hostIn(quiet(), async (_request, context) => {
      context.stderr("a warning\n");
      context.stdout("{}");
      await context.claimed;
      return done;
    });
    await mkdir(bench.folder, { recursive: true });
    await writeFile(join(bench.folder, "meta.json"), "{}");
    await writeFile(join(bench.folder, "state.json"), "{}");
    await bench.work();
    bench.divert("late");
    expect(await readdir(bench.folder)).toEqual(["meta.json", "state.json"]);
    expect(bench.messages.at(-2)).toMatchObject({ type: "ended", refused: "the attempt is another worker's" });
    await rm(bench.folder, { recursive: true });
  });

  it("beats at once and then each 5 seconds, until its end", async () => {
    const folder = mkdtempSync(join(tmpdir(), "foreman-record-"));
    const clock = new FakeClock();
    const startedAt = clock.now();
    const world = quiet();
    const beats: object[] = [];
    const replace: World["files"]["replace"] = async (path, data) => {
      if (path === join(folder, "heartbeat.json")) beats.push(JSON.parse(String(data)));
    };
    const redactor = createRedactor({ secretValues: [] });
    const beating = { ...world, clock, files: { ...world.files, replace } };
    const record = new AttemptRecord(beating, requestIn(folder), "w1", redactor, () => undefined);
    await record.claim();
    await clock.advance(4999);
    expect(beats).toHaveLength(1);
    await clock.advance(1);
    expect(beats).toHaveLength(2);
    await clock.advance(10_000);
    const { pid, processStart } = world.processes.self();
    expect(beats).toEqual(
      [0, 5000, 10_000, 15_000].map((ms, at) => ({
        workerId: "w1",
        lastSeenAt: new Date(startedAt + ms).toISOString(),
        alive: true,
        pid,
        processStart,
        counter: at + 1,
      })),
    );
    await record.end(done);
    await clock.advance(60_000);
    expect(beats).toHaveLength(4);
    record.close();
    await rm(folder, { recursive: true });
  });
});
