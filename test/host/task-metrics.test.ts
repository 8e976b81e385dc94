import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import type { TaskAggregate } from "../../src/metrics/task-window.ts";
import { inTurnFiles, stepOf } from "../support/diamond-team.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import { eventsOf, ofType, runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const PACKAGE = join(ROOT, "index.ts");

const retrying = {
  ...inTurnFiles,
  ".crew/config.json": JSON.stringify({
    reliability: { autoRetry: true, retryPolicy: { maxAttempts: 2, backoffMs: 100, jitterRatio: 0 } },
  }),
};

/** The lines kept, read with nothing of ours but JSON.parse. */
async function kept(rig: Rig): Promise<Record<string, unknown>[]> {
  const folder = join(rig.agentFolder.project, ".crew/metrics/tasks");
  const days = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(".jsonl"));
  const texts = await Promise.all(days.map((day) => readFile(join(folder, day), "utf8")));
  return texts.flatMap((text) => text.trim().split("\n")).map((line) => JSON.parse(line));
}

const byTask = (lines: Record<string, unknown>[]) => lines.map((line) => `${line["task_id"]} ${line["status"]}`).sort();

describe("the tasks of a run", () => {
  it("that completed or failed are kept with a line each, no others, and answered for over HTTP and in a shell", async () => {
    const rig = await makeRig(
      (request) => (stepOf(request) === "b" ? { status: 500, error: "down" } : { text: `${stepOf(request)} is done` }),
      { files: retrying },
    );
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await say(host, '/team-run diamond "measure"');
    const [runId = ""] = await runIds(rig.agentFolder.project);
    const events = () => eventsOf(rig.agentFolder.project, runId);
    await waitUntil(async () => (await events()).at(-1)?.type === "crew.run.failed", 40_000);
    const lines = await kept(rig);
    expect(byTask(lines)).toEqual(["a completed", "b failed", "c completed"]);
    const b = lines.find((line) => line["task_id"] === "b");
    expect(b).toMatchObject({ run_id: runId, task_type: "hand", worker_kind: "pi", attempts: 2 });
    const ended = ofType(await events(), "crew.task.completed").find((event) => event.taskId === "a");
    const a = lines.find((line) => line["task_id"] === "a");
    expect(a).toMatchObject({
      tokens: ended?.tokens,
      model: ended?.model,
      duration_seconds: (ended?.durationMs ?? 0) / 1000,
    });

    const url = /http:\/\/\S+\//.exec(await say(host, "/team-metrics --serve --port 0"))?.[0] ?? "";
    const answer = (await (await fetch(`${url}api/agent/metrics?window=1h`)).json()) as TaskAggregate;
    const seconds = lines.map((line) => Number(line["duration_seconds"])).sort((x, y) => x - y);
    expect(answer.success_rate).toMatchObject({ completed: 2, failed: 1, total: 3 });
    expect(answer.execution_time.p50_seconds).toBeCloseTo(seconds[1] ?? Number.NaN, 2);
    expect(answer.by_task_type["hand"]).toMatchObject({ count: 3, completed: 2, failed: 1 });
    expect((await fetch(`${url}api/agent/metrics?window=soon`)).status).toBe(400);
    expect(await (await fetch(`${url}healthz`)).json()).toMatchObject({ tasks: { records: 3, badLines: 0 } });
    expect(await say(host, "/team-metrics --by role")).toMatch(/hand\s+3\s+66\.7 %/);
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [join(ROOT, "src/host/cli.mjs"), "metrics", "--json", "--window", "1h"],
      { cwd: rig.agentFolder.project, env: rig.agentFolder.env },
    );
    expect(JSON.parse(stdout)).toEqual(answer);
  });

  it("have one line each, too, when Pi is killed the moment one ends", async () => {
    const rig = await makeRig(
      (request) => (stepOf(request) === "a" ? { text: "a" } : { text: "later", delayMs: 20_000 }),
      { files: inTurnFiles },
    );
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await say(host, '/team-run diamond "measure"');
    const [runId = ""] = await runIds(rig.agentFolder.project);
    const logged = join(rig.agentFolder.project, ".crew/state/runs", runId, "events.jsonl");
    await waitUntil(async () => (await readFile(logged, "utf8")).includes('"crew.task.completed"'), 30_000);
    host.kill("SIGKILL");
    await host.exit;
    const next = await rig.rpc({ extensions: [PACKAGE] });
    await waitUntil(
      async () => (await eventsOf(rig.agentFolder.project, runId)).at(-1)?.type === "crew.run.cancelled",
      30_000,
    );
    await waitUntil(async () => (await kept(rig)).length > 0, 10_000);
    await next.close();
    expect(byTask(await kept(rig))).toEqual(["a completed"]);
  });
});

it("records that came without a run are shown in Pi too", async () => {
  const day = new Date().toISOString().slice(0, 10);
  const record = {
    task_id: "t",
    run_id: "r",
    task_type: "x",
    model: "m/brought",
    duration_seconds: 3,
    status: "completed",
  };
  const line = JSON.stringify({ ...record, created_at: new Date().toISOString() });
  const rig = await makeRig(() => ({ text: "unused" }), {
    files: { [`.crew/metrics/tasks/${day}.jsonl`]: `${line}\n` },
  });
  const host = await rig.rpc({ extensions: [PACKAGE] });
  expect(await say(host, "/team-metrics --by model")).toMatch(/m\/brought +1 +100 %/);
});
