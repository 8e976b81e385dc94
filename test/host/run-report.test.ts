import { expect, it } from "vitest";
import { reportEnd } from "../../src/host/run-report.ts";
import type { Session } from "../../src/host/session.ts";
import type { DriveEnd, ShownRun } from "../../src/host/shown-run.ts";
import { initialRunState, type RunStatus, type TaskState, type TaskStatus } from "../../src/runs/run-state.ts";
import { NOTHING_USED } from "../../src/runs/usage.ts";
import { HEALTHY_LOG } from "../../src/store/run-log-reader.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { FakeClock } from "../support/fake-clock.ts";

const ID = "20240101-000000000-0000000a";

/** What is told of a run's end; a test double stands for the session that showed it. */
async function told(
  status: RunStatus,
  tasks: Record<string, TaskStatus>,
  kind: DriveEnd["kind"] = "completed",
  redriven: Record<string, string[]> = {},
) {
  const clock = new FakeClock(Date.UTC(2024, 0, 1, 0, 2));
  const manifest = manifestOf(
    Object.keys(tasks).map((task) => taskSpec(task)),
    { runId: ID },
  );
  const initial = initialRunState(manifest);
  const state = {
    ...initial,
    status,
    tasks: initial.tasks.map(
      (task) =>
        ({
          ...task,
          status: tasks[task.taskId],
          summary: "",
          used: NOTHING_USED,
          redrivenAs: redriven[task.taskId] ?? [],
        }) as TaskState,
    ),
  };
  const view = { manifest, state, health: HEALTHY_LOG, folder: `/p/.crew/state/runs/${ID}` };
  const runs = { view: async () => view, views: async () => [] };
  const world = { clock, processes: { look: () => ({ liveness: "alive", stopped: false }) } };
  const session = { cwd: "/p", world, runs: async () => runs } as unknown as Session;
  const end = { kind, error: new Error("EIO."), pid: null } as unknown as DriveEnd;
  const text = await reportEnd(session, { run: { manifest } } as unknown as ShownRun, end, 80);
  return text.split("\n");
}

it("ends with the commands that go on with a failed run, each in a line of its own", async () => {
  const one = await told("failed", { a: "completed", b: "failed", c: "skipped" });
  expect(one.slice(-3)).toEqual([
    "",
    `/team-resume ${ID} goes on with what did not complete`,
    `/team-redrive ${ID} b does b again and what needs it`,
  ]);
  const several = await told("failed", { a: "failed", b: "failed", c: "skipped", d: "failed" });
  expect(several.at(-1)).toBe(
    `/team-redrive ${ID} a does a again and what needs it; the same works for each other task that failed`,
  );
});

it("ends with the command that goes on with a cancelled run, and names a single task only where one failed", async () => {
  const cancelled = await told("cancelled", { a: "completed", b: "cancelled" });
  expect(cancelled.at(-1)).toBe(`/team-resume ${ID} goes on with what did not complete`);
  const after = await told("cancelled", { a: "failed", b: "cancelled" });
  expect(after.slice(-2).map((line) => line.split(" ")[0])).toEqual(["/team-resume", "/team-redrive"]);
});

it("does not name what is done again already", async () => {
  const state = { b: ["20240101-000000001-0000000b"] };
  const lines = await told("failed", { a: "failed", b: "failed" }, "completed", state);
  expect(lines.at(-1)).toBe(`/team-redrive ${ID} a does a again and what needs it`);
});

it("names none where the run is done or has not ended", async () => {
  expect((await told("completed", { a: "completed" })).join("\n")).not.toContain("/team-");
  // an optional task's failure leaves nothing that a resume would do
  expect((await told("completed", { a: "failed" })).join("\n")).not.toContain("/team-resume");
  for (const kind of ["released", "lost", "fenced"] as const)
    expect((await told("running", { a: "running" }, kind)).join("\n")).not.toContain("goes on with what");
});
