import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { inTurnFiles, stepOf } from "../support/diamond-team.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import { eventsOf, runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";
import { isTraced, missing } from "../support/system-faults.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const noStrace = missing("strace");

const oneStep = {
  ...inTurnFiles,
  ".crew/workflows/diamond.workflow.md":
    "---\nname: diamond\ndescription: one step\n---\n\n## a\nrole: hand\n\nSTEP:a\n",
};

async function linesOf(folder: string): Promise<Record<string, unknown>[]> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(".jsonl"));
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")));
  return texts.flatMap((text) => text.split("\n").filter(Boolean)).map((line) => JSON.parse(line));
}

const tasksOf = (rig: Rig) => join(rig.agentFolder.project, ".crew/metrics/tasks");
const attemptsOf = (rig: Rig) => join(rig.agentFolder.agent, "crew/metrics");

/** Writing to the file fails, and the process is killed as it opens it a second time. */
async function killAtSecondTry(pid: number, path: string): Promise<void> {
  const faults = ["inject=write,writev,pwrite64:error=EIO", "inject=openat,open:error=EIO:signal=KILL:when=2"];
  const args = ["-f", "-q", "-p", String(pid), "-P", path, "-e", "trace=write,writev,pwrite64,openat,open"];
  const strace = spawn("strace", [...args, ...faults.flatMap((fault) => ["-e", fault])], { stdio: "ignore" });
  const ended = new Promise((done) => strace.once("exit", done));
  onTestFinished(async () => {
    strace.kill("SIGINT");
    await ended;
  });
  await waitUntil(() => isTraced(pid));
}

describe("a record that was not written", () => {
  it.skipIf(noStrace)(
    "because Pi was killed when the end of the run was in its log, is written once by the next session",
    async () => {
      let open: () => void = () => undefined;
      const gate = new Promise<void>((done) => {
        open = done;
      });
      const rig = await makeRig(
        async (request) => {
          if (stepOf(request) === "a") await gate;
          return { text: "a is done" };
        },
        { files: oneStep },
      );
      const { project } = rig.agentFolder;
      const host = await rig.rpc({ extensions: [PACKAGE] });
      await say(host, '/team-run diamond "measure"');
      await waitUntil(() => rig.server.requests.some(({ request }) => stepOf(request) === "a"), 30_000);
      const today = `${new Date().toISOString().slice(0, 10)}.jsonl`;
      await killAtSecondTry(host.pid, join(tasksOf(rig), today));
      open();
      const [runId = ""] = await runIds(project);
      await waitUntil(
        () => host.exited !== null,
        30_000,
        () =>
          `Pi was not killed; its run's log:\n${readFileSync(join(project, ".crew/state/runs", runId, "events.jsonl"))}`,
      );
      const types = (await eventsOf(project, runId)).map(({ type }) => type);
      expect(types).toContain("crew.run.completed");
      expect(await linesOf(tasksOf(rig))).toEqual([]);
      for (let session = 0; session < 2; session++) {
        const next = await rig.rpc({ extensions: [PACKAGE] });
        await waitUntil(async () => (await linesOf(tasksOf(rig))).length > 0, 10_000);
        await next.close();
      }
      expect(await linesOf(tasksOf(rig))).toMatchObject([{ run_id: runId, task_id: "a", status: "completed" }]);
    },
    60_000,
  );
});

describe("the line of an attempt", () => {
  it("is there when Pi was killed before its worker was done, and stays one when Pi takes the run up again", async () => {
    let open: () => void = () => undefined;
    const gate = new Promise<void>((done) => {
      open = done;
    });
    const rig = await makeRig(
      async (request) => {
        if (stepOf(request) === "a") await gate;
        return { text: "a is done" };
      },
      { files: oneStep },
    );
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await say(host, '/team-run diamond "measure"');
    await waitUntil(() => rig.server.requests.some(({ request }) => stepOf(request) === "a"), 30_000);
    host.kill("SIGKILL");
    await host.exit;
    expect(await linesOf(attemptsOf(rig))).toEqual([]);
    open();
    await waitUntil(async () => (await linesOf(attemptsOf(rig))).length > 0, 20_000);
    const [runId = ""] = await runIds(rig.agentFolder.project);
    const next = await rig.rpc({ extensions: [PACKAGE] });
    await waitUntil(async () => (await linesOf(tasksOf(rig))).length > 0, 20_000);
    await next.close();
    expect(await linesOf(attemptsOf(rig))).toMatchObject([
      {
        run_id: runId,
        task_id: "a",
        attempt: 1,
        worker_kind: "pi",
        outcome: "completed",
        retryable: false,
        error: null,
      },
    ]);
  }, 60_000);
});
