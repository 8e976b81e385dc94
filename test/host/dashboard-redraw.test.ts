import { expect, it } from "vitest";
import { questionOf, whyNothing } from "../../src/host/dashboard-keys.ts";
import type { DeadLetter } from "../../src/store/dead-letter-lines.ts";
import { openComponent } from "../support/dashboard-component.ts";
import { sampleRuns, sampleView } from "../support/dashboard-sample.ts";
import { FakeClock } from "../support/fake-clock.ts";

const EVENT = "crew.task.progress";

it("is drawn anew when something changed, at most twice a second, and not when nothing did", async () => {
  const clock = new FakeClock();
  const [, ended] = sampleRuns();
  let goal = "first";
  const runs = () => [{ ...ended, state: { ...ended.state, goal } }];
  const shown = await openComponent(runs, clock);
  expect(shown.render(100).join("\n")).toContain("team: first");
  expect(clock.pending).toBe(0);
  for (let at = 0; at < 50; at++) shown.bus.emit(EVENT, { runId: ended.state.runId });
  await clock.advance(1000);
  expect([shown.requests, clock.pending]).toEqual([0, 0]);
  goal = "second";
  for (let at = 0; at < 50; at++) shown.bus.emit(EVENT, { runId: ended.state.runId });
  await clock.advance(1000);
  expect(shown.requests).toBe(1);
  expect(shown.render(100).join("\n")).toContain("team: second");
  shown.dispose();
});

it("follows the clock while a run is under way, and leaves nothing running behind", async () => {
  const clock = new FakeClock(Date.UTC(2024, 0, 1, 0, 2));
  const [running] = sampleRuns();
  const shown = await openComponent(() => [running], clock);
  expect(shown.render(100).join("\n")).toContain("1m 00s");
  await clock.advance(3000);
  expect(shown.requests).toBe(3);
  expect(shown.render(100).join("\n")).toContain("1m 03s");
  shown.dispose();
  expect(clock.pending).toBe(0);
  await clock.advance(3000);
  expect(shown.requests).toBe(3);
});

it("opens the metrics of a session in which nothing else goes on, with a clock for them alone", async () => {
  const clock = new FakeClock();
  const [, ended] = sampleRuns();
  const shown = await openComponent(() => [ended], clock);
  shown.render(100);
  shown.handleInput("6");
  expect(shown.render(100).join("\n")).toContain("COUNTERS");
  expect(clock.pending).toBe(1);
  shown.handleInput("1");
  expect(clock.pending).toBe(0);
  shown.dispose();
});

it("says why a key does nothing now, and what a worker between two replies is at", async () => {
  const [running] = sampleRuns();
  const tasks = running.state.tasks.map((task) =>
    task.status === "running" ? { ...task, activity: { text: "", tool: "", at: 0 } } : task,
  );
  const shown = await openComponent(() => [{ ...running, state: { ...running.state, tasks } }], new FakeClock());
  expect(shown.render(100).join("\n")).toContain("waits for its next reply");
  const says = (key: string) => {
    shown.handleInput(key);
    return shown.render(100).join("\n");
  };
  expect(says("r")).toContain("There is nothing to run again here");
  expect(says("d")).toContain("Pane 5 lists the dead letters");
  for (let at = 0; at < 2; at++) shown.handleInput("\u001b[B");
  expect(says("r")).toContain("Task 检查-check can be run again when its run is done with build, ship.");
  shown.dispose();
});

it("offers no redrive of a letter whose run still has to do what would be done again", () => {
  const [underWay] = sampleRuns();
  const [letter] = sampleView().letters;
  const letters = [{ ...letter, taskId: "检查-check" } as DeadLetter];
  const view = sampleView({ pane: "health", runs: [underWay], letters, letter: 0 });
  expect(questionOf(view, "r")).toBeNull();
  expect(whyNothing(view, "r")).toBe("Task 检查-check can be run again when its run is done with build, ship.");
  const alone = { ...underWay, standstill: { kind: "unattended" } as const };
  expect(questionOf({ ...view, runs: [alone] }, "r")?.text).toBe(`Go on with run ${underWay.state.runId} here?`);
  expect(questionOf({ ...view, runs: [] }, "r")?.text).toContain("Run dead letter dl-000000000000 again");
});
