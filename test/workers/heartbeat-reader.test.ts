import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { nodeWorld } from "../../src/system/node.ts";
import { HeartbeatReader } from "../../src/workers/attempt-facts.ts";
import { attemptPaths } from "../../src/workers/attempt-folder.ts";
import { countingFiles } from "../support/counting-files.ts";

const real = nodeWorld({ warn: () => undefined, error: () => undefined });
const SIGN = { workerId: "w", lastSeenAt: "2026-11-20T00:00:00.000Z", alive: true, counter: 1 };

/** The attempt of a worker whose process is this one, and a reader that tells what it spent. */
function setup() {
  const folder = mkdtempSync(join(tmpdir(), "foreman-attempt-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const paths = attemptPaths(folder);
  const state = { status: "running", workerId: "w", ...real.processes.self(), startedAt: "x", lastEventSeq: 0 };
  writeFileSync(paths.state, JSON.stringify(state));
  let asked = 0;
  const alive: typeof real.processes.alive = (identity) => {
    asked++;
    return real.processes.alive(identity);
  };
  const counting = countingFiles(real.files);
  const reader = new HeartbeatReader({ files: counting.files, processes: { ...real.processes, alive } }, folder);
  const beat = (changes: object | string = {}) => {
    const text = typeof changes === "string" ? changes : JSON.stringify({ ...SIGN, ...changes });
    writeFileSync(`${paths.heartbeat}.tmp`, text);
    renameSync(`${paths.heartbeat}.tmp`, paths.heartbeat);
  };
  return { paths, state, reader, beat, spent: counting.spent, asked: () => asked };
}

describe("a look at a worker", () => {
  it("reads the heartbeat and nothing else while it beats, and understands it anew when it has changed", () => {
    const { reader, beat, spent, asked, paths } = setup();
    for (let counter = 1; counter <= 3; counter++) {
      beat({ counter });
      writeFileSync(paths.stdout, "x".repeat(10 ** (counter * 2)));
      expect(reader.read()).toEqual({ heartbeat: { ...SIGN, counter }, processAlive: "unknown" });
      expect(spent()).toEqual({ calls: ["readNow"], bytes: JSON.stringify({ ...SIGN, counter }).length });
    }
    expect(reader.read()).toEqual({ heartbeat: "unchanged", processAlive: "unknown" });
    expect(spent().calls).toEqual(["readNow"]);
    expect(asked()).toBe(0);
  });

  it("asks for the process from the second look without a new sign on, before anyone is given up", () => {
    const { reader, beat, asked, spent } = setup();
    beat();
    const seen = [1, 2, 3, 4].map(() => reader.read().processAlive);
    expect(seen).toEqual(["unknown", "unknown", "alive", "alive"]);
    expect(asked()).toBe(2);
    spent();
    reader.read();
    expect(spent().calls, "its identity is read once").toEqual(["readNow"]);
    beat({ counter: 2 });
    expect(reader.read().processAlive).toBe("unknown");
  });

  it.each([
    ["is missing", null],
    ["is no JSON", "{ half"],
    ["is written again without a new sign", JSON.stringify(SIGN)],
    ["says that the worker has left", JSON.stringify({ ...SIGN, alive: false })],
  ])("takes a heartbeat that %s for silence", (_what, text) => {
    const { reader, beat } = setup();
    if (text === JSON.stringify(SIGN)) reader.read();
    const seen = [1, 2, 3].map(() => {
      if (text !== null) beat(text);
      return reader.read().processAlive;
    });
    expect(seen.at(-1)).toBe("alive");
  });

  it("proves a process that is gone, and nothing about one that left no name", () => {
    const { reader, paths, state } = setup();
    writeFileSync(paths.state, JSON.stringify({ status: "ended" }));
    expect([1, 2, 3].map(() => reader.read().processAlive)).toEqual(["unknown", "unknown", "unknown"]);
    writeFileSync(paths.state, JSON.stringify({ ...state, processStart: "1" }));
    expect(reader.read().processAlive).toBe("dead");
  });

  it("takes neither a link nor a folder nor a pipe for a heartbeat", () => {
    const { reader, paths, beat } = setup();
    beat();
    renameSync(paths.heartbeat, paths.worker);
    symlinkSync(paths.worker, paths.heartbeat);
    expect(reader.read().heartbeat).toBeNull();
    rmSync(paths.heartbeat);
    mkdirSync(paths.heartbeat);
    expect(reader.read().heartbeat).toBeNull();
    rmSync(paths.heartbeat, { recursive: true });
    if (process.platform === "linux") execFileSync("mkfifo", [paths.heartbeat]);
    expect(reader.read().heartbeat).toBeNull();
    rmSync(paths.heartbeat, { force: true });
    beat({ counter: 2 });
    expect(reader.read().heartbeat).toEqual({ ...SIGN, counter: 2 });
  });
});
