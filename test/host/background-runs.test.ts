import { readFileSync } from "node:fs";
import { mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import { createCorrelation } from "../../src/events/correlation.ts";
import { BackgroundRuns } from "../../src/host/background-runs.ts";
import { RunService } from "../../src/host/run-service.ts";
import type { RunsHome } from "../../src/host/runs-home.ts";
import { Slots } from "../../src/runs/slots.ts";
import { DeadLetters } from "../../src/store/dead-letters.ts";
import { Followings } from "../../src/store/followings.ts";
import { prepareCrewRoot } from "../../src/store/layout.ts";
import { type OpenRun, RunStore } from "../../src/store/run-store.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { createRedactor } from "../../src/system/redaction.ts";
import type { ChildProcess, Files, ProcessIdentity, World } from "../../src/system/world.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { keepingBus, tempFolder, typesOf } from "../store/temp-store.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { processesVisible, waitUntil } from "../support/processes.ts";
import { ScriptedEngine } from "../support/scripted-engine.ts";

// No supervisor is started: a real child process says what the test tells it to. Store, log and files are real.

const ECHO = "process.on('message', (message) => process.send(message)); setInterval(() => {}, 1000);";
/** How long a killed process lives on, as one does that has much to give back or waits for a disk. */
const DYING_MS = 300;

interface Place {
  crewRoot: string;
  cwd: string;
}

async function place(): Promise<Place> {
  const cwd = await tempFolder();
  return { cwd, crewRoot: join(cwd, ".crew") };
}

/** One Pi session of this process, with its own bus and clock. */
function sessionIn({ crewRoot, cwd }: Place, { id = "session", files = {} as Partial<Files> } = {}) {
  const clock = new FakeClock();
  const warnings: string[] = [];
  const warn = (message: string) => void warnings.push(message);
  const real = nodeWorld({ warn, error: warn });
  const children: ChildProcess[] = [];
  const fork: World["processes"]["fork"] = (options) => {
    const child = real.processes.fork({ ...options, execPath: process.execPath, args: ["-e", ECHO] });
    onTestFinished(() => void real.processes.killGroup(child.pid, "SIGKILL"));
    children.push(child);
    return child;
  };
  const killGroup: World["processes"]["killGroup"] = (pid, signal) => {
    void sleep(DYING_MS).then(() => real.processes.killGroup(pid, signal));
    return true;
  };
  const world: World = {
    ...real,
    clock,
    files: { ...real.files, ...files },
    processes: { ...real.processes, fork, killGroup },
  };
  const { bus, told } = keepingBus();
  const store = new RunStore(world, crewRoot);
  const home: RunsHome = {
    ...{ id, cwd, agentDir: join(cwd, "agent"), world, bus, correlation: createCorrelation() },
    hostFacts: async () => ({ execPath: process.execPath, sdkEntry: null, extensionPaths: [], noExtensions: true }),
    redactor: async () => createRedactor({ secretValues: [] }),
    canAsk: false,
    show: () => undefined,
  };
  const runs = new RunService({
    ...{ world, bus, store, engine: new ScriptedEngine(), slots: new Slots(4), sessionId: id },
    redact: (text) => text,
    afterFailure: () => () => ({ giveUp: true, deadLetter: null }),
    correlation: home.correlation,
    deadLetters: new DeadLetters(world, crewRoot),
    deadLetterAlert: async () => undefined,
    notify: () => undefined,
  });
  const background = new BackgroundRuns(home, runs);
  onTestFinished(async () => {
    await background.dispose();
    await runs.release("over");
  });
  return { background, clock, told, warnings, children, store, world };
}

const manifestIn = ({ cwd }: Place, runId = "run-1") => manifestOf([taskSpec("a")], { cwd, background: true, runId });
const followingOf = ({ crewRoot }: Place, runId = "run-1") => join(crewRoot, "state", "following", `${runId}.json`);

/** A run driven elsewhere, whose beginning nobody has told yet and whose following a session of this process left. */
async function driven(at: Place, { wake = false } = {}): Promise<OpenRun> {
  const world = nodeWorld({ warn: () => undefined, error: () => undefined });
  const run = await new RunStore(world, at.crewRoot).create(manifestIn(at), keepingBus().bus);
  onTestFinished(() => run.close());
  await run.claim({ ...world.processes.self(), hostId: "elsewhere", nonce: "supervisor" });
  await run.publisher.publish({ type: "crew.run.started", team: "team", workflow: "flow" });
  await new Followings(world, at.crewRoot).begin("run-1", 1, wake);
  return run;
}

const complete = ({ publisher }: OpenRun) =>
  publisher.publish({
    ...{ type: "crew.run.completed", status: "completed", team: "team", workflow: "flow" },
    ...{ taskCount: 1, durationMs: 1, tokens: 0, costUsd: 0 },
  });
const level = ({ publisher }: OpenRun) =>
  publisher.publish({
    type: "crew.task.heartbeat_level",
    ...{ taskId: "a", attempt: 1, level: "warn", previousLevel: "healthy", stalenessMs: 1 },
  } as never);

/** Moves the clock until it holds; files are read and written in between. */
const passing = (clock: FakeClock, holds: () => boolean) =>
  waitUntil(async () => {
    if (!holds()) await clock.advance(500);
    return holds();
  });

const failure = () => Object.assign(new Error("EIO: the disk failed"), { code: "EIO" });

describe("a followed run", () => {
  it("is told to its end, each event once, after its lease could not be written", async () => {
    const at = await place();
    const run = await driven(at);
    await complete(run);
    const { files } = nodeWorld({ warn: () => undefined, error: () => undefined });
    let failing = true;
    const failingFiles: Partial<Files> = {
      writeAtomic: async (path, data, mode) => {
        if (failing && String(data).includes('"seq":4')) throw failure();
        return files.writeAtomic(path, data, mode);
      },
    };
    const { background, told, clock } = sessionIn(at, { files: failingFiles });
    const [shown] = await background.followAll();
    await clock.advance(2000);
    expect(told).toEqual([]);
    failing = false;
    await passing(clock, () => background.shown.length === 0);
    expect(await shown?.done).toEqual({ kind: "completed" });
    expect(typesOf(told)).toEqual(["crew.run.claimed", "crew.run.started", "crew.run.completed"]);
    expect(await readdir(join(at.crewRoot, "state", "following"))).toEqual([]);
  });

  it("is told whole after a reading of its log broke off half-way", async () => {
    const at = await place();
    const run = await driven(at);
    const { files } = nodeWorld({ warn: () => undefined, error: () => undefined });
    let breaksAt = Number.POSITIVE_INFINITY;
    const shortFiles: Partial<Files> = {
      // only the clock makes it look
      watch: () => ({ [Symbol.dispose]: () => undefined }),
      readRange: async (path, offset) => {
        if (offset < breaksAt) return files.readRange(path, offset, 500);
        breaksAt = Number.POSITIVE_INFINITY;
        throw failure();
      },
    };
    const { background, told, clock, warnings } = sessionIn(at, { files: shortFiles });
    await background.followAll();
    // the second piece of the next reading
    breaksAt = (files.factsNow(join(run.folder, "events.jsonl"))?.bytes ?? 0) + 1;
    for (let count = 0; count < 3; count++) await level(run);
    await complete(run);
    await passing(clock, () => background.shown.length === 0);
    expect(warnings).toHaveLength(1);
    expect(told.map(({ seq }) => seq)).toEqual([2, 3, 4, 5, 6, 7]);
  });

  it("is told on by the next session from where the one before stopped, also after events that are synced late", async () => {
    const at = await place();
    const run = await driven(at);
    await level(run);
    const first = sessionIn(at);
    await first.background.followAll();
    expect(typesOf(first.told)).toContain("crew.task.heartbeat_level");
    await first.background.dispose();
    const second = sessionIn(at);
    const [shown] = await second.background.followAll();
    expect(shown?.run.state.status).toBe("running");
    expect(second.told).toEqual([]);
    await complete(run);
    await passing(second.clock, () => second.background.shown.length === 0);
    expect(typesOf(second.told)).toEqual(["crew.run.completed"]);
  });

  it("is not told of what this process itself did when it took it over", async () => {
    const at = await place();
    const run = await driven(at);
    const { background, told, clock, store, world } = sessionIn(at);
    await background.followAll();
    run.close();
    const taken = await store.open("run-1", keepingBus().bus);
    onTestFinished(() => taken.close());
    await taken.claim({ ...world.processes.self(), nonce: "session" });
    await complete(taken);
    await passing(clock, () => background.shown.length === 0);
    expect(typesOf(told)).toEqual(["crew.run.claimed", "crew.run.started"]);
  });

  it("wakes only the model of the session that started it", async () => {
    for (const [id, wake] of [
      ["session", true],
      ["another", false],
    ] as const) {
      const at = await place();
      await driven(at, { wake: true });
      const [shown] = await sessionIn(at, { id }).background.followAll();
      expect(shown?.wake, id).toBe(wake);
      expect(shown?.standstill).toBeNull();
    }
  });

  it("is followed once, however often and wherever it is asked for", async () => {
    const at = await place();
    await driven(at);
    const { files } = nodeWorld({ warn: () => undefined, error: () => undefined });
    let goOn: () => void = () => undefined;
    const gate = new Promise<void>((open) => {
      goOn = open;
    });
    let readings = 0;
    const slowFiles: Partial<Files> = {
      readText: async (path, bytesMax) => {
        if (path.endsWith("manifest.json") && readings++ === 0) await gate;
        return files.readText(path, bytesMax);
      },
    };
    const { background, told, clock } = sessionIn(at, { files: slowFiles });
    const idle = clock.pending;
    const first = background.followAll();
    await waitUntil(() => readings === 1);
    const second = await background.followAll();
    goOn();
    expect([...second, ...(await first)]).toHaveLength(1);
    expect(typesOf(told)).toEqual(["crew.run.claimed", "crew.run.started"]);
    expect(await background.followAll()).toEqual([]);
    await background.dispose();
    expect(clock.pending).toBe(idle);
  });

  it("is not held by a session that ended while it was claimed", async () => {
    const at = await place();
    const run = await driven(at);
    const first = sessionIn(at);
    const idle = first.clock.pending;
    const claiming = first.background.followAll();
    await first.background.dispose();
    await claiming;
    expect(first.clock.pending).toBe(idle);
    const toldBefore = first.told.length;
    const second = sessionIn(at);
    expect(await second.background.followAll()).toHaveLength(1);
    await complete(run);
    await passing(second.clock, () => second.background.shown.length === 0);
    expect(first.told).toHaveLength(toldBefore);
    expect(typesOf([...first.told, ...second.told])).toEqual([
      "crew.run.claimed",
      "crew.run.started",
      "crew.run.completed",
    ]);
  });

  it("of another folder is left alone: somebody copied it here", async () => {
    const at = await place();
    await driven(at);
    const before = await readFile(followingOf(at), "utf8");
    const { background, told } = sessionIn({ ...at, cwd: await tempFolder() });
    expect(await background.followAll()).toEqual([]);
    expect(told).toEqual([]);
    expect(await readFile(followingOf(at), "utf8")).toBe(before);
  });

  it("that was pruned is forgotten, and so is what killed writers left", async () => {
    const at = await place();
    await driven(at);
    await rm(join(at.crewRoot, "state", "runs", "run-1"), { recursive: true });
    const { background, warnings, clock } = sessionIn(at);
    const folder = join(at.crewRoot, "state", "following");
    for (const [name, ageMs] of [
      [".run-1.json.1.0a0b0c0d.tmp", 7_200_000],
      [".run-2.json.1.0a0b0c0d.tmp", 1000],
    ] as const) {
      const seconds = (clock.now() - ageMs) / 1000;
      await writeFile(join(folder, name), "{");
      await utimes(join(folder, name), seconds, seconds);
    }
    expect(await background.followAll()).toEqual([]);
    expect(await readdir(folder)).toEqual([".run-2.json.1.0a0b0c0d.tmp"]);
    expect(warnings).toEqual([]);
  });

  it("is not looked for behind a link", async () => {
    const at = await place();
    await mkdir(join(at.crewRoot, "state"), { recursive: true });
    await symlink(await tempFolder(), join(at.crewRoot, "state", "following"));
    const { files } = nodeWorld({ warn: () => undefined, error: () => undefined });
    await expect(prepareCrewRoot(files, at.cwd, join(at.cwd, "agent"))).rejects.toThrow(/following is a symlink/);
  });
});

describe("a background run that is started", () => {
  it("is followed once, by whoever starts it, also when all are looked for meanwhile", async () => {
    const at = await place();
    const { background, children, told } = sessionIn(at);
    const starting = background.start(manifestIn(at), true);
    await waitUntil(() => children.length === 1);
    expect(await background.followAll()).toEqual([]);
    children[0]?.send({ type: "driving" });
    const shown = await starting;
    expect(background.shown).toEqual([shown]);
    expect(shown.wake).toBe(true);
    expect(typesOf(told)).toEqual(["crew.run.created"]);
  });

  it("is left to the next session when its own ends meanwhile", async () => {
    const at = await place();
    const first = sessionIn(at);
    const starting = first.background.start(manifestIn(at), false);
    await waitUntil(() => first.children.length === 1);
    await first.background.dispose();
    first.children[0]?.send({ type: "driving" });
    await expect(starting).rejects.toThrow(/session has ended/);
    expect(first.clock.pending).toBe(0);
    const second = sessionIn(at);
    expect(await second.background.followAll()).toHaveLength(1);
    expect(second.told).toEqual([]);
  });

  it("is not made when nothing can be kept of who follows it", async () => {
    const at = await place();
    await mkdir(join(at.crewRoot, "state"), { recursive: true });
    await writeFile(join(at.crewRoot, "state", "following"), "");
    const { background, store, told } = sessionIn(at);
    await expect(background.start(manifestIn(at), false)).rejects.toThrow(/run-1 was not begun: .*following/);
    const left = await Promise.all((await store.ids()).map(async (id) => (await store.view(id)).state.status));
    expect(left).toEqual([]);
    expect(told).toEqual([]);
  });

  it.skipIf(!processesVisible)("is cancelled also when its process owned it before it failed", async () => {
    const at = await place();
    const { background, children, store, world } = sessionIn(at);
    const starting = background.start(manifestIn(at), false);
    const failed = expect(starting).rejects.toThrow(/could not be started: no luck/);
    await waitUntil(() => children.length === 1);
    const [child] = children;
    const run = await store.open("run-1", keepingBus().bus);
    await run.claim({ ...identityOf(world, child?.pid ?? 0), nonce: "child" });
    run.close();
    child?.send({ type: "refused", message: "no luck" });
    await failed;
    expect((await store.view("run-1")).state.status).toBe("cancelled");
    expect(await readdir(join(at.crewRoot, "state", "following"))).toEqual([]);
  });
});

/** Of a process of this machine; its start is field 22 of `stat`. */
function identityOf({ processes }: World, pid: number): ProcessIdentity {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const processStart = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  return { ...processes.self(), pid, processStart };
}
