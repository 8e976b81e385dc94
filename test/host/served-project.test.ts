import { appendFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { metricsRoot } from "../../src/store/layout.ts";
import { HEALTHY_LOG } from "../../src/store/run-log-reader.ts";
import { taskRecord } from "../store/sample-tasks.ts";
import { keepTasks } from "./kept-runs.ts";
import { DONE, idsOf, served } from "./served.ts";

const SECRET = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789";
/** What the host keeps, of no shape that is known. */
const LOGIN = "Zq81mPw04Lk27Vd93Xc6TbR";
const HOSTILE = `\u001b]0;title\u0007<img src=x onerror=alert(1)> \u202egnp key sk-ant-\u200bapi03-abcdefghijklmnopqrstuvwxyz0123456789`;

describe("the runs of a project", () => {
  it("are listed newest first, as many as asked for, of one status or of all", async () => {
    const { get, keep, clock } = await served();
    expect(await get("/api/runs")).toEqual({ status: 200, value: { runs: [], more: false, unreadable: [] } });
    await keep("run-1");
    await keep("run-2", { attempts: { a: [{ outcome: "failed", ms: 500, error: "no" }], b: [] }, end: "failed" });
    await keep("run-3", {
      attempts: { a: [{ outcome: "running", ms: 0 }] },
      background: true,
      end: undefined as never,
    });
    await clock.advance(4000);
    const all = await get("/api/runs");
    expect(idsOf(all)).toEqual(["run-3", "run-2", "run-1"]);
    const [running, failed, completed] = all.value.runs;
    expect(running).toMatchObject({ status: "running", background: true, durationMs: 4000, endedAt: null });
    // of another machine, as far as anybody here can tell
    expect(running.owner).toEqual({ pid: 1, liveness: "unknown" });
    expect(failed).toMatchObject({ status: "failed", tasksByStatus: { failed: 1, waiting: 1 }, durationMs: 500 });
    expect(completed).toMatchObject({
      goal: "the goal",
      team: "team",
      workflow: "flow",
      tokens: 9200,
      costUsd: 0.0123,
    });
    expect(completed).toMatchObject({
      durationMs: 1000,
      owner: null,
      degraded: false,
      logHealth: HEALTHY_LOG,
      startedAt: "2023-11-14T22:13:20.000Z",
    });
    expect((await get("/api/runs?limit=2")).value).toMatchObject({
      runs: [{ id: "run-3" }, { id: "run-2" }],
      more: true,
    });
    expect(idsOf(await get("/api/runs?status=completed&limit=1"))).toEqual(["run-1"]);
    for (const query of [
      "limit=0",
      "limit=501",
      "limit=x",
      "limit=-1",
      "limit=1e2",
      "limit=",
      "status=fine",
      "status=",
    ]) {
      const { status, value } = await get(`/api/runs?${query}`);
      expect([status, value.error], query).toEqual([
        400,
        expect.stringMatching(/^".*" is no limit: use|^No run is ".*": use/),
      ]);
    }
  });

  it("are told in whole one by one: attempts, errors, dead letters, artifacts", async () => {
    const { get, keep } = await served();
    const lost = { outcome: "lost" as const, ms: 3000, error: "gone" };
    await keep("run-1", {
      attempts: { a: DONE, b: [lost, { outcome: "failed", ms: 200, error: "no" }], c: [] },
      end: "failed",
    });
    const { value } = await get("/api/runs/run-1");
    const [a, b, c] = value.tasks;
    const file = { name: "notes.md", bytes: 1234, artifact_hash: "ab".repeat(32) };
    expect(a).toMatchObject({
      id: "a",
      role: "aer",
      status: "completed",
      durationMs: 1000,
      artifacts: [file],
      error: null,
    });
    expect(a.attempts).toMatchObject([{ attempt: 1, outcome: "completed", model: "acme/large", tokens: 9200 }]);
    expect(b).toMatchObject({
      status: "failed",
      dependsOn: ["a"],
      deadLetters: ["max-retries"],
      error: { message: "no" },
    });
    expect(b.attempts.map((it: { outcome: string; durationMs: number }) => [it.outcome, it.durationMs])).toEqual([
      ["lost", 3000],
      ["failed", 200],
    ]);
    expect(c).toMatchObject({ status: "waiting", startedAt: null, durationMs: null, attempts: [] });
    expect(value.deadLetters).toMatchObject([
      { runId: "run-1", taskId: "b", status: "open", lastError: { message: "no" } },
    ]);
    expect((await get("/api/deadletters")).value).toEqual({ deadLetters: value.deadLetters, more: false, badLines: 0 });
  });

  it("that are none are said to be none, and no id leads out of their folder", async () => {
    const { get, keep, cwd } = await served();
    await keep("run-1");
    renameSync(join(cwd, ".crew/state/runs/run-1"), join(cwd, "run-1"));
    symlinkSync(join(cwd, "run-1"), join(cwd, ".crew/state/runs/run-1"));
    expect(await get("/api/runs/run-2")).toMatchObject({ status: 404, value: { error: /^There is no run run-2/ } });
    for (const id of ["..%2f..%2f..%2frun-1", "%2e%2e", ".", "..%5crun-1", "%00", "con", "x".repeat(65)])
      expect(await get(`/api/runs/${id}`), id).toMatchObject({ status: 400, value: { error: /can't be a run id/ } });
    // a repository can bring a link along
    expect(await get("/api/runs/run-1")).toMatchObject({ status: 500, value: { error: /is not a real directory/ } });
    expect((await get("/api/runs")).value).toMatchObject({ runs: [], unreadable: [{ id: "run-1" }] });
  });

  it("hold what strangers wrote; of it no secret, no escape and no end is told", async () => {
    const { get, keep, cwd } = await served();
    await mkdir(join(cwd, "agent"));
    writeFileSync(join(cwd, "agent/auth.json"), JSON.stringify({ acme: { type: "api_key", key: LOGIN } }));
    // what is cut first shows half of it
    const error = `${HOSTILE} ${LOGIN} ${"x".repeat(1959 - HOSTILE.length)} ${SECRET} ${"y".repeat(9000)}`;
    await keep("run-1", {
      goal: HOSTILE,
      team: HOSTILE,
      attempts: { a: [{ outcome: "failed", ms: 1, error, model: HOSTILE }] },
      end: "failed",
    });
    for (const path of ["/api/runs", "/api/runs/run-1", "/api/deadletters"]) {
      const { value } = await get(path);
      const text = JSON.stringify(value);
      expect(text, path).not.toContain(LOGIN);
      expect(text, path).not.toContain(SECRET.slice(0, 12));
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
      expect(text, path).not.toMatch(/\\u001b|\u001b|\u202e|\u200b/);
      expect(text.length, path).toBeLessThan(12_000);
    }
    expect((await get("/api/runs")).value.runs[0].goal).toBe(
      "<img src=x onerror=alert(1)> gnp key [REDACTED:anthropic-key]",
    );
  });

  it("are read once: later only those whose log has grown, of 200", async () => {
    const { get, keep, spent, crewRoot } = await served();
    for (let at = 0; at < 200; at++) await keep(`run-${String(at).padStart(3, "0")}`);
    const ids = idsOf(await get("/api/runs?limit=200"));
    expect([ids.length, ids[0], ids[199]]).toEqual([200, "run-199", "run-000"]);
    const reads = () => spent().calls.filter((name) => name.startsWith("read"));
    expect(reads().length).toBeGreaterThan(200);
    await get("/api/runs?limit=200");
    expect(reads()).toEqual([]);
    appendFileSync(join(crewRoot, "state/runs/run-042/events.jsonl"), "no event\n");
    const { value } = await get("/api/runs?limit=200");
    expect(value.runs.filter((run: { degraded: boolean }) => run.degraded)).toMatchObject([{ id: "run-042" }]);
    expect(reads().length).toBeLessThan(10);
  });

  it("that are damaged take no other with them", async () => {
    const { get, keep, crewRoot } = await served();
    for (const id of ["run-1", "run-2"]) await keep(id);
    writeFileSync(join(crewRoot, "state/runs/run-1/manifest.json"), "{");
    const { value } = await get("/api/runs");
    expect(value).toMatchObject({ runs: [{ id: "run-2" }], unreadable: [{ id: "run-1", error: /is damaged/ }] });
    expect(await get("/api/runs/run-1")).toMatchObject({ status: 500, value: { error: /is damaged/ } });
  });

  it("may go while they are served, and come back", async () => {
    const { get, keep, crewRoot, errors, clock } = await served();
    await keep("run-1");
    const created_at = new Date(clock.now()).toISOString();
    await keepTasks(crewRoot, [taskRecord({ created_at }), taskRecord({ created_at, status: "failed" })]);
    const counts = async () => {
      await clock.advance(11_000);
      const { value } = await get("/api/agent/metrics");
      return [(await get("/api/runs")).value.runs.length, value.success_rate.total];
    };
    expect(await counts()).toEqual([1, 2]);
    expect((await get("/api/agent/scoreboard?by=team")).value).toMatchObject({
      rows: [{ name: "implementation", count: 2 }],
      regressions: [],
    });
    renameSync(crewRoot, `${crewRoot}-away`);
    expect(await counts()).toEqual([0, 0]);
    expect((await get("/api/runs/run-1")).status).toBe(404);
    expect(await get("/healthz")).toMatchObject({ status: 200, value: { status: "ok", session: null } });
    renameSync(`${crewRoot}-away`, crewRoot);
    expect(await counts()).toEqual([1, 2]);
    expect(errors).toEqual([]);
  });
});

it("finds runs where a project's are kept that can't be written, though nothing was there at first", async () => {
  const { get, keep, crewRoot, cwd } = await served();
  expect(idsOf(await get("/api/runs"))).toEqual([]);
  await keep("run-1");
  const elsewhere = metricsRoot(cwd, join(cwd, "agent"));
  await mkdir(dirname(elsewhere), { recursive: true });
  renameSync(crewRoot, elsewhere);
  expect(idsOf(await get("/api/runs"))).toEqual(["run-1"]);
});
