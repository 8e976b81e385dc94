import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeProcesses } from "../../src/system/node-processes.ts";
import { expectGone, processesInGroup, processesVisible, waitUntil } from "../support/processes.ts";

const processes = nodeProcesses();
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "foreman-processes-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const fork = (code: string, env: Record<string, string> = {}) =>
  processes.fork({
    execPath: process.execPath,
    args: ["-e", code],
    cwd: folder,
    env: { PATH: process.env["PATH"] ?? "", ...env },
    outputFile: join(folder, "out.log"),
  });

describe.skipIf(!processesVisible)("processes", () => {
  it("are dead only when it can be proved", async () => {
    const self = processes.self();
    expect(processes.alive(self)).toBe("alive");
    expect(processes.alive({ ...self, processStart: "1" })).toBe("dead");
    expect(processes.alive({ ...self, pid: 2 ** 22 - 1 })).toBe("dead");
    expect(processes.alive({ ...self, pid: 2 ** 22 - 1, hostId: "elsewhere" })).toBe("unknown");
    expect(processes.alive({ ...self, pid: 2 ** 22 - 1, pidNs: "pid:[1]" })).toBe("unknown");
    expect(processes.alive({ ...self, pid: 2 ** 22 - 1, bootId: "" })).toBe("unknown");
    expect(processes.alive({ ...self, processStart: "" })).toBe("unknown");
  });

  it("are stopped until they are let go on, and alive all the while", async () => {
    const child = fork('console.log(1); process.on("message", () => process.send(1)); setInterval(() => {}, 1000)');
    const stat = readFileSync(`/proc/${child.pid}/stat`, "latin1");
    const processStart = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
    const identity = { ...processes.self(), pid: child.pid, processStart };
    expect(processes.look(identity)).toEqual({ liveness: "alive", stopped: false });
    process.kill(child.pid, "SIGSTOP");
    await waitUntil(() => processes.look(identity).stopped);
    expect(processes.alive(identity)).toBe("alive");
    expect(processes.look({ ...identity, processStart: "1" })).toEqual({ liveness: "dead", stopped: false });
    process.kill(child.pid, "SIGCONT");
    await waitUntil(() => !processes.look(identity).stopped);
    expect(processes.look(identity).liveness).toBe("alive");
    process.kill(child.pid, "SIGKILL");
    await child.exited;
    expect(processes.look(identity)).toEqual({ liveness: "dead", stopped: false });
  });

  it("talk, keep their output in a file, and tell their end", async () => {
    const child = fork(
      'console.log("out"); process.on("message", (m) => { process.send({ got: m }); process.exitCode = 3; process.disconnect(); })',
    );
    const heard = new Promise((resolve) => child.onMessage(resolve));
    expect(child.send({ a: 1 })).toBe(true);
    expect(await heard).toEqual({ got: { a: 1 } });
    expect(await child.exited).toEqual({ code: 3, signal: null });
    expect(child.send({})).toBe(false);
    expect(await readFile(join(folder, "out.log"), "utf8")).toContain("out\n");
  });

  it("end as a group and are found by their environment", async () => {
    const value = `t${process.pid}`;
    const child = fork(
      'require("child_process").spawn("sleep", ["1000"]); setInterval(() => {}, 1000); process.send("up")',
      { FOREMAN_PROBE: value },
    );
    await new Promise((resolve) => child.onMessage(resolve));
    const found = processes.withEnvironment({ FOREMAN_OTHER: "x", FOREMAN_PROBE: value });
    expect(found).toContain(child.pid);
    expect(found).toHaveLength(2);
    expect(processes.withEnvironment({ FOREMAN_PROBE: value.slice(0, -1) })).toEqual([]);
    expect(processes.killGroup(child.pid, "SIGKILL")).toBe(true);
    expect(await child.exited).toEqual({ code: null, signal: "SIGKILL" });
    await expectGone(() => processesInGroup(child.pid));
  });

  it("are found while each starts another and ends", async () => {
    const value = `chain-${process.pid}`;
    const link = join(folder, "link.sh");
    await writeFile(link, '[ "$1" -gt 0 ] || exec touch "$0.ended"\nsh "$0" $(($1-1)) &\n');
    const chain = processes.fork({
      execPath: "sh",
      args: [link, "2000"],
      cwd: folder,
      env: { PATH: process.env["PATH"] ?? "", FOREMAN_PROBE: value },
      outputFile: join(folder, "out.log"),
    });
    await chain.exited;
    const looks: number[] = [];
    while (!existsSync(`${link}.ended`)) looks.push(processes.withEnvironment({ FOREMAN_PROBE: value }).length);
    // a process may begin and end between two reads; those that sweep look again
    const missed = looks.filter((found) => found === 0);
    expect(missed.length).toBeLessThanOrEqual(Math.ceil(looks.length / 4));
  });

  it("never signals everyone for a bad pid", () => {
    for (const pid of [0, 1, -1, Number.NaN, 1.5]) {
      expect(processes.killGroup(pid, "SIGTERM")).toBe(false);
      expect(processes.kill(pid, "SIGTERM")).toBe(false);
    }
  });

  it("tell that they could not be started", async () => {
    const child = processes.fork({
      execPath: "/nowhere/node",
      args: [],
      cwd: folder,
      env: {},
      outputFile: join(folder, "out.log"),
    });
    expect(child.pid).toBe(0);
    expect(await child.exited).toEqual({ code: null, signal: null });
    expect(child.send({})).toBe(false);
  });

  it("run to their end, or to their limit", async () => {
    const run = (code: string, timeoutMs = 5000) =>
      processes.run(process.execPath, ["-e", code], { cwd: folder, timeoutMs });
    expect(await run('console.log(process.cwd()); console.error("e"); process.exit(4)')).toEqual({
      code: 4,
      stdout: `${folder}\n`,
      stderr: "e\n",
    });
    expect(await run("setInterval(() => {}, 1000)", 200)).toMatchObject({ code: null });
    expect(await processes.run("no-such-program", [], { cwd: folder, timeoutMs: 1000 })).toMatchObject({
      code: null,
      stderr: expect.stringContaining("ENOENT"),
    });
  });
});
