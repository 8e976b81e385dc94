import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import type { CrewEvent } from "../../src/events/crew-event.ts";
import { RunLogReader } from "../../src/store/run-log-reader.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import { diamondFiles, stepOf } from "../support/diamond-team.ts";
import { gatedRig, gatedRun } from "../support/gated-run.ts";
import type { ModelRequest } from "../support/model-reply.ts";
import { waitUntil } from "../support/processes.ts";
import { fixture, type Rig } from "../support/rig.ts";
import type { HostEvent, RpcHost } from "../support/rpc-host.ts";
import { eventsOf, ofType, runFolder } from "../support/run-files.ts";
import { breakCalls, missing, mountSmallDisk } from "../support/system-faults.ts";

/** Whichever of them the system's libraries use. */
const RENAMES = "rename,renameat,renameat2";
const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

const noMount = missing("mount");
const noStrace = missing("strace");

const told = (host: RpcHost, words: string): HostEvent[] =>
  host.events.filter((event) => event["method"] === "notify" && String(event["message"]).includes(words));

/** More than the room that is left behind the last line of a log. */
const atLength = (request: ModelRequest) => ({ text: `${stepOf(request)} is done. ${"All of it. ".repeat(500)}` });

/** The real Pi with a run whose two middle tasks are at work. */
async function midRun(
  prepare: (rig: Rig) => Promise<void>,
  command = "/team-run diamond",
  extensions: readonly string[] = [],
) {
  const gated = await gatedRig({ gated: ["b", "c"], reply: atLength, files: {} });
  await prepare(gated.rig);
  for (const [path, text] of Object.entries(diamondFiles)) await gated.rig.agentFolder.write(path, text);
  const run = await gatedRun(gated, {
    command: `${command} "survive"`,
    extensions: [PACKAGE, ...extensions],
    env: { LEAK_LOG: join(gated.rig.agentFolder.home, "leaks.jsonl") },
  });
  const { rig, runId } = run;
  const folder = runFolder(rig.agentFolder.project, runId);
  const recorded = async (task: string) => {
    const state = await readFile(join(folder, "tasks", task, "a0001/state.json"), "utf8").catch(() => "");
    return state.includes('"status":"ended"');
  };
  const completed = async () => (await readFile(join(folder, "events.jsonl"), "utf8")).includes('"crew.run.completed"');
  const workersSaid = async () => {
    const logs = join(rig.agentFolder.agent, "crew/workers");
    const texts = await Promise.all((await readdir(logs)).map((name) => readFile(join(logs, name), "utf8")));
    return texts.join("");
  };
  return { ...run, folder, recorded, completed, workersSaid };
}

/** Each step once, to its worker's own end; its log whole but for the line that was cut off. */
async function expectWhole(folder: string, asked: (step: string) => number): Promise<CrewEvent[]> {
  const reader = new RunLogReader(nodeFiles(), join(folder, "events.jsonl"));
  const events = await reader.readNew();
  expect(events.at(-1)?.type).toBe("crew.run.completed");
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_event, index) => index + 1));
  expect(reader.health).toMatchObject({ missing: 0, fenced: 0, ignored: 0, bad: 0 });
  const lines = (await readFile(join(folder, "events.jsonl"), "utf8")).split("\n").filter(Boolean);
  // what is left of the line that was cut off may be shorter than a line's begin
  for (const line of lines) expect(line.lastIndexOf('{"v":1,"seq"'), "a glued line").toBeLessThanOrEqual(0);
  expect(lines.length - events.length).toBe(reader.health.torn);
  for (const step of ["a", "b", "c", "d"]) expect(asked(step), step).toBe(1);
  expect(
    ofType(events, "crew.subagent.spawned")
      .map(({ taskId }) => taskId)
      .sort(),
  ).toEqual(["a", "b", "c", "d"]);
  for (const { taskId = "", finishedAt } of ofType(events, "crew.task.attempt_finished")) {
    const state = await readFile(join(folder, "tasks", taskId, "a0001/state.json"), "utf8");
    expect(finishedAt, `the end of ${taskId}'s work`).toBe(Date.parse(JSON.parse(state).result.finishedAt));
  }
  return events;
}

const isTerminalType = (type: string | undefined) => /^crew\.run\.(completed|failed|cancelled)$/.test(type ?? "");

/** Of whom the lasting records of this project's tasks are. */
async function tasksKept(project: string): Promise<string[]> {
  const folder = join(project, ".crew/metrics/tasks");
  const days = (await readdir(folder)).filter((name) => name.endsWith(".jsonl"));
  const texts = await Promise.all(days.map((day) => readFile(join(folder, day), "utf8")));
  const lines = texts.flatMap((text) => text.split("\n").filter(Boolean));
  return lines.map((line) => JSON.parse(line).task_id).sort();
}

/** The same process of task c, which was at work when the run was paused. */
function expectTakenUp(events: readonly CrewEvent[]): void {
  const pid = ofType(events, "crew.subagent.spawned").find(({ taskId }) => taskId === "c")?.pid;
  expect(ofType(events, "crew.subagent.adopted").find(({ taskId }) => taskId === "c")?.pid).toBe(pid);
}

describe("the disk is full in the middle of a run", { timeout: 180_000 }, () => {
  it.skipIf(noMount)(
    `pauses it; with room again it goes on and completes${noMount ? `: skipped, ${noMount}` : ""}`,
    async () => {
      let disk: Awaited<ReturnType<typeof mountSmallDisk>> | undefined;
      const { host, runId, folder, open, asked, recorded, completed, workersSaid } = await midRun(async (rig) => {
        disk = await mountSmallDisk(join(rig.agentFolder.project, ".crew"), 8);
      });
      // its worker's end is on disk, the run's owner has not seen it yet
      process.kill(host.pid, "SIGSTOP");
      open("b");
      await waitUntil(() => recorded("b"), 30_000);
      disk?.fill();
      process.kill(host.pid, "SIGCONT");
      const notice = await host.waitFor((event) => String(event["message"]).includes("is paused"), 30_000);
      expect(notice["message"]).toContain(`Run ${runId} is paused: the run's log can't be written`);
      expect(notice["message"]).toContain("It goes on by itself once there is room on the disk.");
      expect((await host.command(`/team-status ${runId}`)).notices.join("\n")).toContain(
        "the run's log can't be written",
      );
      expect(notice["notifyType"]).toBe("error");
      expect((await host.command(`/team-status ${runId}`)).notices.join("\n")).toContain("running");
      // a worker that ends meanwhile keeps what it did until it can be written
      open("c");
      await waitUntil(async () => (await workersSaid()).includes("end not recorded yet"), 30_000);
      expect(asked("d")).toBe(0);
      expect(await recorded("c")).toBe(false);

      disk?.free();
      await host.waitFor((event) => String(event["message"]).includes("goes on: its log can be written again"), 60_000);
      await waitUntil(completed, 60_000);
      expect(told(host, "is paused")).toHaveLength(1);
      expect(told(host, "goes on: its log")).toHaveLength(1);
      expectTakenUp(await expectWhole(folder, asked));
      await host.close();
    },
  );
});

describe("the disk is full in the middle of a background run", { timeout: 180_000 }, () => {
  it.skipIf(noMount)(
    `is said by the session that follows it; with room again it completes${noMount ? `: skipped, ${noMount}` : ""}`,
    async () => {
      let disk: Awaited<ReturnType<typeof mountSmallDisk>> | undefined;
      const prepare = async (rig: Rig) => {
        disk = await mountSmallDisk(join(rig.agentFolder.project, ".crew"), 8);
      };
      const { host, runId, open, completed, asked } = await midRun(prepare, "/team-run --background diamond");
      disk?.fill();
      open();
      await host.waitFor((event) => String(event["statusText"]).endsWith("1 paused"), 30_000);
      const status = (await host.command(`/team-status ${runId}`)).notices.join("\n");
      expect(status).toContain("its disk is full. It goes on by itself once there is room.");
      expect((await host.command("/team-doctor")).notices.join("\n")).toContain("whose disk is full: make room");
      disk?.free();
      await host.waitFor((event) => String(event["statusText"]).endsWith("at work"), 30_000);
      await waitUntil(completed, 60_000);
      for (const step of ["a", "b", "c", "d"]) expect(asked(step), step).toBe(1);
      await host.close();
    },
  );
});

describe("the disk is full when an interrupted run is found", { timeout: 180_000 }, () => {
  it.skipIf(noMount).each([
    { autoRecover: true, end: "crew.run.completed", questions: 1 },
    { autoRecover: false, end: "crew.run.cancelled", questions: 0 },
  ])(
    `that is said once, and done with room again: $end${noMount ? `: skipped, ${noMount}` : ""}`,
    async ({ autoRecover, end, questions }) => {
      let disk: Awaited<ReturnType<typeof mountSmallDisk>> | undefined;
      const { rig, host, runId, open } = await midRun(async (made) => {
        disk = await mountSmallDisk(join(made.agentFolder.project, ".crew"), 8);
        const settings = { reliability: { autoRecover }, observability: { pollIntervalMs: 1000 } };
        await writeFile(join(made.agentFolder.agent, "crew.json"), JSON.stringify(settings));
      });
      host.kill("SIGKILL");
      await host.exit;
      disk?.fill();
      const confirms = (event: HostEvent) => event["method"] === "confirm";
      const next = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
      // it can be claimed where the log's last block has room for that
      const said = () =>
        ["can't be dealt with yet, and is tried again", "is paused: "].map((words) => told(next, words).length);
      await waitUntil(() => said().some((times) => times > 0), 30_000);
      // some looks later
      await new Promise((resolve) => setTimeout(resolve, 2500));
      expect(Math.max(...said())).toBe(1);
      disk?.free();
      open();
      const log = join(runFolder(rig.agentFolder.project, runId), "events.jsonl");
      const events = () => new RunLogReader(nodeFiles(), log).readNew();
      await waitUntil(async () => (await events()).at(-1)?.type === end, 60_000);
      expect(next.events.filter(confirms)).toHaveLength(questions);
      await next.close();
    },
  );
});

describe("a run is cancelled while its disk is full", { timeout: 180_000 }, () => {
  it.skipIf(noMount)(
    `ends with room again in the session after a reload, and is not driven on${noMount ? `: skipped, ${noMount}` : ""}`,
    async () => {
      let disk: Awaited<ReturnType<typeof mountSmallDisk>> | undefined;
      const { host, runId, folder, open, asked, recorded } = await midRun(
        async ({ agentFolder }) => {
          disk = await mountSmallDisk(join(agentFolder.project, ".crew"), 8);
          const settings = { reliability: { autoRecover: true }, observability: { pollIntervalMs: 1000 } };
          await writeFile(join(agentFolder.agent, "crew.json"), JSON.stringify(settings));
        },
        "/team-run diamond",
        [fixture("leak-probe.ts")],
      );
      process.kill(host.pid, "SIGSTOP");
      open("b");
      await waitUntil(() => recorded("b"), 30_000);
      disk?.fill();
      process.kill(host.pid, "SIGCONT");
      await waitUntil(() => told(host, "is paused").length === 1, 30_000);
      await host.command(`/team-cancel ${runId}`, 60_000);
      const log = () => new RunLogReader(nodeFiles(), join(folder, "events.jsonl")).readNew();
      expect(ofType(await log(), "crew.run.cancel_asked")).toEqual([]);
      expect((await host.command("/probe-reload", 60_000)).response).toMatchObject({ success: true });
      await waitUntil(() => told(host, "can't be dealt with yet, and is tried again").length === 1, 30_000);
      // nothing but the cancel keeps it from going on
      open("c");
      disk?.free();
      await waitUntil(async () => isTerminalType((await log()).at(-1)?.type), 60_000);
      const events = await log();
      expect(events.at(-1)).toMatchObject({ type: "crew.run.cancelled", reason: "cancelled by the user" });
      await waitUntil(() => told(host, `Run ${runId} is ended now, as was asked.`).length === 1, 30_000);
      expect(host.events.filter((event) => event["method"] === "confirm")).toEqual([]);
      expect(asked("d")).toBe(0);
      await host.close();
    },
  );
});

describe("a disk that fails", { timeout: 180_000 }, () => {
  it.skipIf(noStrace)(`pauses the run until it works again${noStrace ? `: skipped, ${noStrace}` : ""}`, async () => {
    const { host, runId, folder, open, asked, completed } = await midRun(async () => undefined);
    const broken = await breakCalls(host.pid, "fdatasync", "EIO");
    open("b");
    const notice = await host.waitFor((event) => String(event["message"]).includes("is paused"), 60_000);
    expect(notice["message"]).toContain(`Run ${runId} is paused: the run's log can't be put on disk: EIO`);
    expect(asked("d")).toBe(0);
    await broken.mend();
    await host.waitFor((event) => String(event["message"]).includes("goes on: its log can be written again"), 60_000);
    open("c");
    await waitUntil(completed, 60_000);
    expectTakenUp(await expectWhole(folder, asked));
    const counted = (await host.command("/team-metrics crew.task.count")).notices.join("\n");
    expect(counted).toMatch(/completed.*\b4\b/);
  });

  it.skipIf(noStrace)(
    `on renames loses no work and does none twice; a worker's end is told when it is on disk${noStrace ? `: skipped, ${noStrace}` : ""}`,
    async () => {
      const { rig, host, runId, folder, open, asked, recorded, completed, workersSaid } = await midRun(
        async () => undefined,
      );
      const status = async () => (await host.command(`/team-status ${runId}`)).notices.join("\n");
      const spawned = ofType(await eventsOf(rig.agentFolder.project, runId), "crew.subagent.spawned");
      const worker = spawned.find(({ taskId }) => taskId === "b")?.pid ?? 0;
      const owner = await breakCalls(host.pid, RENAMES, "EIO");
      const broken = await breakCalls(worker, RENAMES, "EIO");
      open("b");
      await waitUntil(async () => (await workersSaid()).includes("end not recorded yet"), 60_000);
      expect(await workersSaid()).toMatch(/end not recorded yet.*EIO: i\/o error, rename/);
      // the run itself is not paused: what keeps the worker is what its user sees of it
      await waitUntil(async () => (await status()).includes("its end can't be recorded yet: EIO"), 30_000);
      open("c");
      await waitUntil(() => recorded("c"), 30_000);
      expect(await recorded("b")).toBe(false);
      expect(asked("d")).toBe(0);
      await broken.mend();
      await waitUntil(completed, 60_000);
      await expectWhole(folder, asked);
      const kept = () => tasksKept(rig.agentFolder.project);
      await waitUntil(async () => (await kept()).length === 4);
      // that they are complete could not be noted: the next session looks again, and finds nothing left out
      const noted = join(folder, "recorded.json");
      expect(existsSync(noted)).toBe(false);
      await owner.mend();
      await host.close();
      await rig.rpc({ extensions: [PACKAGE] });
      await waitUntil(() => existsSync(noted), 30_000);
      expect(await kept()).toEqual(["a", "b", "c", "d"]);
    },
  );
});
