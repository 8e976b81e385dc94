import { join } from "node:path";
import { expect, test } from "vitest";
import { createLocalBus } from "../../src/events/local-bus.ts";
import type { EventBus } from "../../src/events/publisher.ts";
import type { Exporter } from "../../src/export/exporter.ts";
import { DEFAULT_CONFIG } from "../../src/host/config.ts";
import type { Config } from "../../src/host/config-schema.ts";
import { EarlyFacts } from "../../src/host/early-facts.ts";
import { PACKAGE_FOLDER } from "../../src/host/package-folder.ts";
import { FOREMAN_READY, type ForemanReady } from "../../src/host/plugins.ts";
import type { Session } from "../../src/host/session.ts";
import { startTelemetry } from "../../src/host/telemetry.ts";
import { nodeProcesses } from "../../src/system/node-processes.ts";
import { createRedactor } from "../../src/system/redaction.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { MemoryFiles } from "../support/memory-files.ts";

type Parts = { bus?: EventBus; config?: Partial<Config>; files?: MemoryFiles };

function setup({ config = {}, files = new MemoryFiles(), ...given }: Parts = {}) {
  const clock = new FakeClock();
  const told: string[] = [];
  const tell = (message: string) => void told.push(message);
  const bus = given.bus ?? createLocalBus((error) => tell(String(error)));
  const facts = new EarlyFacts();
  const log = { debug: tell, info: tell, warn: tell, error: tell };
  const random = { next: () => 0.5, hex: () => "abcd1234" };
  const world = { clock, files, log, random, processes: nodeProcesses() };
  const places = { id: "s1", cwd: "/p", agentDir: "/agent", startedAt: clock.now() };
  const redactor = async () => createRedactor({ secretValues: [] });
  const session = { ...places, world, bus, facts, redactor } as unknown as Session;
  return { clock, told, bus, facts, files, start: () => startTelemetry(session, { ...DEFAULT_CONFIG, ...config }) };
}

const OTLP = { ...DEFAULT_CONFIG.otlp, enabled: true, endpoint: "http://127.0.0.1:9" };

test("a start that fails leaves no timer and no listener, keeps what was told, and may be tried again", async () => {
  const inner = createLocalBus(() => undefined);
  let listeners = 0;
  let broken = true;
  const bus: EventBus = {
    emit: (channel, data) => {
      if (broken) throw new Error("no bus");
      inner.emit(channel, data);
    },
    on: (channel, handler) => {
      const stop = inner.on(channel, handler);
      listeners++;
      let stopped = false;
      return () => {
        if (!stopped) listeners--;
        stopped = true;
        stop();
      };
    },
  };
  const { clock, facts, start } = setup({ bus });
  facts.tell("turnEnded", { durationMs: 5 });
  await expect(start()).rejects.toThrow("no bus");
  expect([clock.pending, listeners]).toEqual([0, 0]);
  broken = false;
  const telemetry = await start();
  const turns = telemetry.registry.snapshot().find(({ name }) => name === "crew.session.turn_duration_ms");
  expect(turns?.series).toMatchObject([{ count: 1 }]);
  await telemetry.dispose();
  expect([clock.pending, listeners]).toEqual([0, 0]);
});

test("what OTLP can't start with stops nothing else, and is told", async () => {
  const files = new MemoryFiles({ [join(PACKAGE_FOLDER, "package.json")]: "{" });
  const { start } = setup({ files, config: { otlp: OTLP } });
  const telemetry = await start();
  expect(telemetry.otlp()).toBeNull();
  expect(telemetry.problems).toEqual([expect.stringContaining("nothing is sent by OTLP: ")]);
  await telemetry.dispose();
});

test("other extensions take no name of ours, and their exporters are shown", async () => {
  const { bus, told, start } = setup();
  bus.on(FOREMAN_READY, (data) => {
    const { registry, addExporter } = data as ForemanReady;
    addExporter({ name: "plugged", push: async () => undefined, dispose: async () => undefined });
    registry.registerGauge("crew.run.active", "taken");
  });
  const telemetry = await start();
  expect(telemetry.exporters()).toMatchObject([{ name: "plugged" }]);
  await telemetry.dispose();
  expect(told).toEqual([expect.stringContaining("crew.run.active")]);
});

test("the end takes 4 s at most, whoever is stuck; then nothing is served or sampled any more", async () => {
  const { bus, clock, told, files, start } = setup({
    config: { telemetry: { enabled: true, textfile: "/metrics/crew.prom" } },
  });
  const stuck: Exporter = { name: "stuck", push: async () => undefined, dispose: () => new Promise(() => undefined) };
  bus.on(FOREMAN_READY, (data) => (data as ForemanReady).addExporter(stuck));
  const telemetry = await start();
  await clock.advance(60_000);
  expect([...files.contents.keys()].filter((path) => path.endsWith(".prom"))).toEqual([
    "/metrics/crew-s1-abcd1234.prom",
  ]);
  let ended = false;
  const end = telemetry.dispose().then(() => {
    ended = true;
  });
  await clock.advance(0);
  await clock.advance(3999);
  expect(ended).toBe(false);
  await expect(telemetry.serve(0)).rejects.toThrow("this session has ended");
  await clock.advance(1);
  await end;
  expect([...files.contents.keys()].filter((path) => path.endsWith(".prom"))).toEqual([]);
  expect(told).toEqual(["telemetry was left before it had ended"]);
  expect(clock.pending).toBe(0);
});

test("the past is kept from its first reader on", async () => {
  const { clock, start, facts } = setup();
  const telemetry = await start();
  await clock.advance(120_000);
  const history = telemetry.history();
  facts.tell("turnEnded", { durationMs: 5 });
  await clock.advance(60_000);
  expect(telemetry.history()).toBe(history);
  expect(history.trends("crew.session.turn_duration_ms")[0]?.counts?.at(-1)).toBe(1);
  expect(history.trends("crew.run.count").every(({ values }) => values.length === 2)).toBe(true);
  await telemetry.dispose();
  expect(clock.pending).toBe(0);
});

test("buckets of no histogram and facts that were too many are told", async () => {
  const buckets = { "crew.task.duration_ms": [1], "crew.task.duraton_ms": [1], "crew.own.later": [1] };
  const { facts, start } = setup({ config: { observability: { ...DEFAULT_CONFIG.observability, buckets } } });
  for (let i = 0; i < 10_003; i++) facts.tell("turnEnded", { durationMs: 1 });
  const telemetry = await start();
  telemetry.registry.registerHistogram("crew.own.later", "");
  expect(telemetry.problems).toEqual([
    "3 facts of this session were not counted: they came before its metrics, and were too many",
    "observability.buckets: no histogram is called crew.task.duraton_ms; /team-metrics lists them all",
  ]);
  await telemetry.dispose();
});
