import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { nodeWorld } from "../../src/system/node.ts";
import { tempFolder } from "../store/temp-store.ts";
import { diamondFiles, stepOf } from "../support/diamond-team.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig } from "../support/rig.ts";
import { runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";
import { keepRun } from "./kept-runs.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const silent = () => undefined;

/** `pi-foreman serve` as a shell starts it. */
function serving(cwd: string, ...words: string[]) {
  const env = { ...process.env, PI_CODING_AGENT_DIR: join(cwd, "agent") };
  const child = spawn(process.execPath, [join(ROOT, "src/host/cli.mjs"), "serve", ...words], { cwd, env });
  onTestFinished(() => void child.kill("SIGKILL"));
  const told = { out: "", err: "", code: null as number | null };
  child.stdout.on("data", (chunk) => {
    told.out += chunk;
  });
  child.stderr.on("data", (chunk) => {
    told.err += chunk;
  });
  const ended = new Promise<number | null>((done) => child.once("close", done));
  const url = async () => {
    await waitUntil(
      () => told.out.includes("\n"),
      20_000,
      () => told.err,
    );
    return /http:\/\/\S+\//.exec(told.out)?.[0] ?? told.out;
  };
  return { child, told, ended, url };
}

async function project(): Promise<string> {
  const cwd = await tempFolder();
  await mkdir(join(cwd, "agent"));
  const world = { ...nodeWorld({ warn: silent, error: silent }), clock: new FakeClock() };
  const attempts = { a: [{ outcome: "completed" as const, ms: 10 }] };
  await keepRun(world, join(cwd, ".crew"), { runId: "run-1", attempts, end: "completed" });
  return cwd;
}

interface Answer {
  runs: object[];
  tasks: { status: string; attempts: object[] }[];
  success_rate: { completed: number };
}

const json = async (url: string) => (await (await fetch(url)).json()) as Answer;

describe("pi-foreman serve", () => {
  it("serves the project until Ctrl-C; a port in use is said, and harms nobody", async () => {
    const cwd = await project();
    const first = serving(cwd, "--port", "0");
    const url = await first.url();
    expect(first.told.out).toMatch(/^http:\/\/localhost:\d+\/ shows the runs of .* Ctrl-C ends it\.\n$/);
    expect(await json(`${url}api/runs`)).toMatchObject({ runs: [{ id: "run-1", status: "completed" }] });
    expect(await (await fetch(url)).text()).toContain("<!doctype html>");
    const second = serving(cwd, "--port", new URL(url).port);
    expect(await second.ended).toBe(1);
    expect(second.told.err).toMatch(/^Port \d+ of 127\.0\.0\.1 is in use, .* or 0 for any free one\.\n$/);
    expect(second.told.out).toBe("");
    expect(await json(`${url}healthz`)).toMatchObject({ status: "ok", session: null });
    expect(first.told.err).toBe("");
    first.child.kill("SIGINT");
    expect(await first.ended).toBe(0);
    await expect(fetch(url)).rejects.toThrow();
  });

  it("is for this machine alone, unless a host is given, and then says so", async () => {
    const cwd = await project();
    const { url, told } = serving(cwd, "--port", "0", "--host", "0.0.0.0");
    expect(await url()).toMatch(/^http:\/\/0\.0\.0\.0:\d+\/$/);
    expect(told.err).toMatch(/^Whoever reaches this machine by 0\.0\.0\.0 can read all of it: .*\n$/);
    const port = new URL(await url()).port;
    expect((await fetch(`http://127.0.0.2:${port}/api/runs`)).status).toBe(200);
    const own = serving(cwd, "--port", "0");
    const ownPort = new URL(await own.url()).port;
    await expect(fetch(`http://127.0.0.2:${ownPort}/api/runs`)).rejects.toThrow();
  });

  it.each([
    [["--port", "x"], /"x" is no port/],
    [["--port", "70000"], /70000 is no port/],
    [["--host", "192.0.2.1", "--port", "0"], /192\.0\.2\.1 is no address of this machine/],
    [["--prot", "1"], /There is no option --prot here/],
  ])("does not take %j", async (words, sentence) => {
    const { ended, told } = serving(await tempFolder(), ...words);
    expect(await ended).toBe(1);
    expect(told.err).toMatch(sentence);
  });
});

describe("/team-metrics --serve", () => {
  it("answers for a run while it goes on, until the session ends", async () => {
    let finish: (() => void) | null = null;
    const rig = await makeRig(
      async (request) => {
        if (stepOf(request) === "b") await new Promise<void>((done) => (finish = done));
        return { text: `${stepOf(request)} is done` };
      },
      { files: diamondFiles },
    );
    const host = await rig.rpc({ extensions: [join(ROOT, "index.ts")] });
    const url = /http:\/\/\S+\//.exec(await say(host, "/team-metrics --serve --port 0"))?.[0] ?? "";
    // served from before the first run made the project's folder
    expect(await json(`${url}api/runs`)).toMatchObject({ runs: [] });
    await say(host, '/team-run diamond "watch me"');
    await waitUntil(() => finish !== null, 40_000);
    const [id = ""] = await runIds(rig.agentFolder.project);
    const { runs } = await json(`${url}api/runs`);
    expect(runs).toMatchObject([
      { id, status: "running", goal: "watch me", owner: { pid: host.pid, liveness: "alive" } },
    ]);
    const tasks = async () => (await json(`${url}api/runs/${id}`)).tasks;
    await waitUntil(async () => (await tasks())[2]?.status === "completed", 20_000);
    expect((await tasks()).map(({ status }) => status)).toEqual(["completed", "running", "completed", "waiting"]);
    expect((await tasks())[1]?.attempts).toMatchObject([{ attempt: 1, outcome: "running" }]);
    (finish as (() => void) | null)?.();
    await waitUntil(async () => (await json(`${url}api/runs?status=completed`)).runs.length === 1, 20_000);
    await waitUntil(async () => (await json(`${url}api/agent/metrics`)).success_rate.completed === 4, 20_000);
    await host.close();
    await expect(fetch(`${url}api/runs`)).rejects.toThrow();
  });
});
