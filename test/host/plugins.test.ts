import { expect, test } from "vitest";
import { createLocalBus } from "../../src/events/local-bus.ts";
import { Exporters } from "../../src/export/exporter.ts";
import { FOREMAN_READY, type ForemanReady, openToPlugins } from "../../src/host/plugins.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import type { MetricsSnapshot } from "../../src/metrics/snapshot.ts";
import { FakeClock } from "../support/fake-clock.ts";

function open(plug: (ready: ForemanReady) => void) {
  const errors: unknown[] = [];
  const warnings: string[] = [];
  const bus = createLocalBus((error) => void errors.push(error));
  const clock = new FakeClock();
  const registry = createMetricRegistry({ warn: (message) => void warnings.push(message) });
  const exporters = new Exporters({ clock, snapshot: () => registry.snapshot(), warn: registry.warn });
  bus.on(FOREMAN_READY, (data) => plug(data as ForemanReady));
  const close = openToPlugins({ bus, registry, exporters });
  const end = async () => {
    close();
    await exporters.end(2000);
  };
  return { bus, clock, registry, errors, warnings, end };
}

const started = { v: 1, seq: 1, runId: "r1", type: "crew.run.started", team: "t", workflow: "w" };

test("own metrics follow our events until the session ends, and exporters are pushed each minute and at the end", async () => {
  const pushed: MetricsSnapshot[] = [];
  let disposed = 0;
  const { bus, clock, registry, end } = open(({ registry, countEvents, addExporter }) => {
    const runs = registry.registerCounter("crew.custom.runs", "");
    countEvents({ "crew.run.started": () => runs.inc() });
    addExporter({
      name: "own",
      push: async (snapshot) => void pushed.push(snapshot),
      dispose: async () => void disposed++,
    });
  });
  bus.emit("crew.run.started", started);
  await clock.advance(120_000);
  bus.emit("crew.run.started", started);
  await end();
  bus.emit("crew.run.started", started);
  await clock.advance(120_000);
  expect(pushed.map((snapshot) => snapshot[0]?.series[0])).toMatchObject([{ value: 1 }, { value: 1 }, { value: 2 }]);
  expect([disposed, clock.pending]).toEqual([1, 0]);
  const runs = registry.get("crew.custom.runs");
  expect(runs?.kind === "counter" && runs.value()).toBe(2);
});

test("what fails is told and harms nothing, nor does an end that never comes", async () => {
  let pushes = 0;
  const { bus, clock, end, errors, warnings } = open(({ registry, countEvents, addExporter }) => {
    countEvents({
      "crew.run.started": () => {
        throw new Error("bad mapping");
      },
    });
    addExporter({ name: "bad", push: () => Promise.reject(new Error("no luck")), dispose: async () => undefined });
    addExporter({ name: "slow", push: () => new Promise(() => undefined), dispose: async () => undefined });
    addExporter(undefined as never);
    addExporter({ name: "good", push: async () => void pushes++, dispose: async () => undefined });
    registry.registerCounter("bad name", "");
  });
  expect(errors).toEqual([expect.objectContaining({ message: expect.stringContaining('bad metric name "bad name"') })]);
  bus.emit("crew.run.started", started);
  await clock.advance(180_000);
  const ended = end();
  await clock.advance(2000);
  await ended;
  expect(pushes).toBe(4);
  expect(warnings).toEqual([
    expect.stringContaining("an exporter can't be used: "),
    "crew.run.started of run r1 could not be counted: bad mapping",
    "bad: no luck",
  ]);
  expect(clock.pending).toBe(0);
});

test("what is plugged in after the session's end does nothing", async () => {
  let ready: ForemanReady | null = null;
  const { bus, clock, end } = open((given) => {
    ready = given;
  });
  await end();
  const seen: string[] = [];
  const late = ready as ForemanReady | null;
  late?.countEvents({ "crew.run.started": () => void seen.push("event") });
  late?.addExporter({ name: "late", push: async () => void seen.push("push"), dispose: async () => undefined });
  bus.emit("crew.run.started", started);
  await clock.advance(60_000);
  expect(late).not.toBeNull();
  expect(seen).toEqual([]);
});
