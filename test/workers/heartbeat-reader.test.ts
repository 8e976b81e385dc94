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
  it("sees each heartbeat by its place alone, and reads nothing of a worker that beats", () => {
    const { reader, beat, spent, asked, paths } = setup();
    const signs = new Set<string | null>();
    for (let counter = 1; counter <= 3; counter++) {
      beat({ counter });
      writeFileSync(paths.stdout, "x".repeat(10 ** (counter * 2)));
      const { sign, ...rest } = reader.read();
      signs.add(sign);
      expect(rest).toEqual({ left: false, processAlive: "unknown" });
      expect(spent()).toEqual({ calls: ["factsNow"], bytes: 0 });
    }
    expect(signs.size).toBe(3);
    expect([...signs]).not.toContain(null);
    expect(reader.read()).toEqual({ sign: [...signs].at(-1), left: false, processAlive: "unknown" });
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
    expect(spent().calls, "its identity is read once").toEqual(["factsNow"]);
    beat({ counter: 2 });
    expect(reader.read().processAlive).toBe("unknown");
  });

  it.each([
    ["is garbage", "{ half"],
    ["is from the future", JSON.stringify({ ...SIGN, lastSeenAt: "2999-01-01T00:00:00Z" })],
  ])("takes no heartbeat that %s for a death", (_what, text) => {
    const { reader, beat } = setup();
    beat(text);
    expect([1, 2, 3].map(() => reader.read())).toMatchObject([
      { left: false, processAlive: "unknown" },
      { left: false, processAlive: "unknown" },
      { left: false, processAlive: "alive" },
    ]);
  });

  it("takes a missing heartbeat for silence, and a worker's leave for one, once it is silent", () => {
    const { reader, beat } = setup();
    expect([1, 2].map(() => reader.read().processAlive)).toEqual(["unknown", "alive"]);
    beat({ alive: false });
    expect([1, 2, 3].map(() => reader.read().left)).toEqual([false, true, true]);
    beat({ alive: true, counter: 2 });
    expect([1, 2].map(() => reader.read().left)).toEqual([false, false]);
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
    expect(reader.read().sign).toBeNull();
    rmSync(paths.heartbeat);
    mkdirSync(paths.heartbeat);
    expect(reader.read().sign).toBeNull();
    rmSync(paths.heartbeat, { recursive: true });
    if (process.platform === "linux") execFileSync("mkfifo", [paths.heartbeat]);
    expect(reader.read().sign).toBeNull();
    rmSync(paths.heartbeat, { force: true });
    beat({ counter: 2 });
    expect(reader.read().sign).not.toBeNull();
  });
});
