import { expect, it } from "vitest";
import { openComponent } from "../support/dashboard-component.ts";
import { sampleRuns } from "../support/dashboard-sample.ts";
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
