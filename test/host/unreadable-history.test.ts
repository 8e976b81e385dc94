import { execFile } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { ask } from "../export/http-asking.ts";
import { taskRecord } from "../store/sample-tasks.ts";
import { missing } from "../support/system-faults.ts";
import { keepTasks } from "./kept-runs.ts";
import { served } from "./served.ts";

const CLI = resolve(import.meta.dirname, "../../src/host/cli.mjs");
const OTHER = 65_534;
const DAY_MS = 86_400_000;
const noOther = missing("setpriv");
const PATHS = ["/healthz", "/api/agent/metrics", "/api/agent/scoreboard", "/api/runs", "/api/deadletters", "/metrics"];

function giveAway(cwd: string): void {
  const give = (path: string) => {
    chownSync(path, OTHER, OTHER);
    for (const entry of readdirSync(path, { withFileTypes: true }))
      if (entry.isDirectory()) give(join(path, entry.name));
      else chownSync(join(path, entry.name), OTHER, OTHER);
  };
  give(cwd);
}

/** From here to the end of the test this process has no more rights than another user. */
function asAnotherUser(cwd: string): void {
  giveAway(cwd);
  process.seteuid?.(OTHER);
  onTestFinished(() => process.seteuid?.(0));
}

/** A folder nobody may look into, until the function that is returned is called. */
function locked(path: string): () => void {
  chmodSync(path, 0o000);
  const unlock = () => chmodSync(path, 0o700);
  onTestFinished(unlock);
  return unlock;
}

async function withDays() {
  const project = await served();
  await project.keep("run-1");
  const at = (days: number) => new Date(project.clock.now() - days * DAY_MS).toISOString();
  await keepTasks(
    project.crewRoot,
    [0, 2, 4].map((days) => taskRecord({ created_at: at(days), task_id: `t${days}` })),
  );
  const total = async (window: string) =>
    (await project.get(`/api/agent/metrics?window=${window}`)).value.success_rate.total;
  return { ...project, total };
}

describe.skipIf(noOther !== null)(`what may not be read${noOther ? `: skipped, ${noOther}` : ""}`, () => {
  it.each([".crew", ".crew/state"])("leaves the server answering without %s, and is named", async (folder) => {
    const { cwd, port, get, errors } = await withDays();
    asAnotherUser(cwd);
    const unlock = locked(join(cwd, folder));
    for (const path of PATHS) expect((await ask(port, path)).status, path).toBe(200);
    const runs = join(cwd, ".crew/state/runs");
    expect((await get("/healthz")).value.runs.unreadable).toEqual([{ path: runs, code: "EACCES" }]);
    expect((await get("/api/runs")).value).toMatchObject({
      runs: [],
      unreadable: [{ error: ".crew/state/runs can't be read (EACCES)." }],
    });
    const { success_rate } = (await get("/api/agent/metrics")).value;
    expect(success_rate.total, "the records of tasks lie elsewhere").toBe(folder === ".crew" ? 0 : 3);
    expect((await get("/api/runs/run-1")).status).toBe(500);
    expect(errors).toEqual([]);
    unlock();
    expect((await get("/api/runs")).value).toMatchObject({ runs: [{ id: "run-1" }], unreadable: [] });
    expect((await get("/api/agent/metrics")).value.success_rate.total).toBe(3);
    expect((await get("/healthz")).value).toMatchObject({ runs: { unreadable: [] }, tasks: { unreadable: [] } });
  });

  it("is said in a shell in one sentence", async () => {
    const { cwd, crewRoot } = await withDays();
    rmSync(join(crewRoot, "metrics"), { recursive: true });
    giveAway(cwd);
    const unlock = locked(join(cwd, ".crew/state"));
    const shell = (...args: string[]) => shellOf(cwd, ...args);
    const told = { code: 1, stdout: "", stderr: expect.stringMatching(/^\S+ can't be read \(EACCES\)[^\n]*\n$/) };
    expect(await shell("metrics")).toEqual(told);
    expect(await shell("runs")).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^This can't be done: EACCES.*\n$/),
    });
    unlock();
    expect(await shell("metrics")).toMatchObject({ code: 0, stderr: "" });
  });

  it("is counted again as soon as it may be read", async () => {
    const { cwd, crewRoot, get, total, errors } = await withDays();
    asAnotherUser(cwd);
    expect(await total("1h")).toBe(1);
    const unlock = locked(join(crewRoot, "metrics/tasks"));
    expect(await total("7d")).toBeLessThan(3);
    expect((await get("/api/agent/scoreboard")).status).toBe(200);
    expect((await get("/healthz")).value.tasks.unreadable).toContainEqual({
      path: join(crewRoot, "metrics/tasks"),
      code: "EACCES",
    });
    unlock();
    expect(await total("7d")).toBe(3);
    expect((await get("/healthz")).value.tasks).toMatchObject({ records: 3, files: 3, unreadable: [] });
    expect(errors).toEqual([]);
  });

  it("of one file costs that file's records, though they were read before, and no longer than it lasts", async () => {
    const { cwd, crewRoot, clock, get, total } = await withDays();
    asAnotherUser(cwd);
    expect(await total("7d")).toBe(3);
    const folder = join(crewRoot, "metrics/tasks");
    const [oldest = ""] = readdirSync(folder);
    const unlock = locked(join(folder, oldest));
    // another window, which asks for what was given back
    expect((await get("/api/agent/scoreboard?window=6d")).value.rows).toMatchObject([{ count: 2 }]);
    expect(await total("6d")).toBe(2);
    expect((await get("/healthz")).value.tasks.unreadable).toEqual([{ path: join(folder, oldest), code: "EACCES" }]);
    unlock();
    await clock.advance(10);
    expect(await total("6d")).toBe(3);
    expect((await get("/healthz")).value.tasks).toMatchObject({ records: 3, unreadable: [] });
  });
});

function shellOf(cwd: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { PATH: process.env["PATH"], HOME: cwd, PI_CODING_AGENT_DIR: join(cwd, "agent") };
  return new Promise((done) => {
    execFile(process.execPath, [CLI, ...args], { cwd, env, uid: OTHER, gid: OTHER }, (error, stdout, stderr) =>
      done({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
  });
}

it("says so when the folder of records is a file", async () => {
  const { crewRoot, get } = await served();
  mkdirSync(join(crewRoot, "metrics"), { recursive: true });
  writeFileSync(join(crewRoot, "metrics/tasks"), "no folder");
  expect((await get("/healthz")).value.tasks.unreadable).toEqual([
    { path: join(crewRoot, "metrics/tasks"), code: "ENOTDIR" },
  ]);
});
