import { expect, it } from "vitest";
import { createLocalBus } from "../../src/events/local-bus.ts";
import { Dialogs } from "../../src/host/dialogs.ts";
import { RunFeed } from "../../src/host/run-feed.ts";
import type { Session } from "../../src/host/session.ts";
import type { DriveEnd, ShownRun } from "../../src/host/shown-run.ts";
import { RunWidget } from "../../src/host/widget.ts";
import { sampleRuns } from "../support/dashboard-sample.ts";
import { FakeClock } from "../support/fake-clock.ts";

const EVENT = "crew.task.progress";

/** A widget of a host in that mode, over a run in memory; a test double stands for the host's screen. */
function shownIn(mode: "tui" | "rpc") {
  const clock = new FakeClock(Date.UTC(2024, 0, 1, 0, 2));
  const bus = createLocalBus((error) => {
    throw error;
  });
  const world = { clock, log: { warn: console.warn, error: console.error } };
  const feed = new RunFeed(bus, world);
  const sent: (string[] | undefined)[] = [];
  const theme = { fg: (_: string, text: string) => text, bold: (text: string) => text };
  const setWidget = (_: string, lines: string[] | undefined) => sent.push(lines);
  const ui = { theme, setWidget, setStatus: () => undefined };
  const session = { world, feed: () => feed, context: { mode, hasUI: true, ui } } as unknown as Session;
  Object.assign(session, { dialogs: new Dialogs(session) });
  const [{ state, manifest }] = sampleRuns();
  let end: (end: DriveEnd) => void = () => undefined;
  const done = new Promise<DriveEnd>((resolve) => {
    end = resolve;
  });
  const run = { run: { state, manifest, folder: "" }, standstill: null, done };
  new RunWidget(session).show(run as unknown as ShownRun);
  return { bus, clock, end, run, sent, runId: state.runId };
}

it("is drawn each second in the terminal", async () => {
  const { clock, sent } = shownIn("tui");
  await clock.advance(3000);
  expect(sent).toHaveLength(4);
});

it("is sent to a client when it changed, not for its clock and not too often, and taken away at once", async () => {
  const { bus, clock, end, run, sent, runId } = shownIn("rpc");
  await clock.advance(60_000);
  expect(sent).toHaveLength(1);
  expect(sent[0]?.join("\n")).toContain("1m 00s");
  run.run.state = { ...run.run.state, costUsd: 7 };
  bus.emit(EVENT, { runId });
  await clock.advance(1000);
  expect(sent).toHaveLength(2);
  expect(sent[1]?.join("\n")).toMatch(/2m 0\ds .*7\.00/);
  run.run.state = { ...run.run.state, costUsd: 8 };
  await clock.advance(8000);
  expect(sent).toHaveLength(2);
  await clock.advance(2000);
  expect(sent).toHaveLength(3);
  end({ kind: "completed" } as unknown as DriveEnd);
  await clock.advance(0);
  expect([sent.length, sent.at(-1), clock.pending]).toEqual([4, undefined, 0]);
});
