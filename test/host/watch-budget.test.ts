import { expect, it, onTestFinished } from "vitest";
import { createCorrelation } from "../../src/events/correlation.ts";
import { DEFAULT_CONFIG } from "../../src/host/config.ts";
import { runConfigOf } from "../../src/host/run-config.ts";
import { RunService } from "../../src/host/run-service.ts";
import type { TaskSpec } from "../../src/runs/manifest.ts";
import type { RunState } from "../../src/runs/run-state.ts";
import { Slots } from "../../src/runs/slots.ts";
import { usedInRun } from "../../src/runs/usage.ts";
import { DeadLetters } from "../../src/store/dead-letters.ts";
import { RunStore } from "../../src/store/run-store.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { keepingBus, tempFolder } from "../store/temp-store.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { attemptReport, type PretendedWorkers, ScriptedEngine } from "../support/scripted-engine.ts";

// The engine is a test double: it stands for worker processes, none is started. Store, log and files are real.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** A run that has an hour and a hundred tokens. */
function limited(tasks: readonly TaskSpec[]) {
  const limits = { ...DEFAULT_CONFIG.limits, maxTokens: 100, maxDurationMs: HOUR };
  return manifestOf(tasks, { config: runConfigOf({ ...DEFAULT_CONFIG, limits }) });
}

/** Sessions of one project, one after another. */
async function project() {
  const crewRoot = await tempFolder();
  const clock = new FakeClock();
  const quiet = () => undefined;
  const world = { ...nodeWorld({ warn: quiet, error: quiet }), clock };
  const workers: PretendedWorkers = new Map();

  function session() {
    const engine = new ScriptedEngine(() => "hold", workers);
    const { bus, told } = keepingBus();
    const service = new RunService({
      ...{ world, bus, store: new RunStore(world, crewRoot), engine, slots: new Slots(4), sessionId: "session" },
      redact: (text) => text,
      afterFailure: () => () => ({ giveUp: true, deadLetter: null }),
      correlation: createCorrelation(),
      deadLetters: new DeadLetters(world, crewRoot),
      deadLetterAlert: async () => undefined,
      notify: quiet,
    });
    onTestFinished(async () => void (await service.release("over")));
    const exceeded = () => told.filter(({ type }) => type === "crew.run.budget_exceeded");
    return { engine, service, exceeded };
  }

  return { clock, session };
}

it("a run's time is that in which it was driven: neither a clock that is set nor nobody's nights count", async () => {
  const { clock, session } = await project();
  const first = session();
  const begun = await first.service.start(limited([taskSpec("a")]));
  await first.engine.begun(1);
  clock.jump(9 * HOUR);
  await clock.advance(20 * MINUTE);
  expect(begun.loop.stop.asked).toBeNull();
  clock.jump(-9 * HOUR);
  await first.service.release("quit");
  await clock.advance(12 * HOUR);

  const second = session();
  const resumed = await second.service.takeOver("run-1");
  await clock.advance(20 * MINUTE);
  expect(resumed?.loop.stop.asked).toBeNull();
  await second.service.release("quit");
  await clock.advance(12 * HOUR);

  const third = session();
  const taken = await third.service.takeOver("run-1");
  await clock.advance(19 * MINUTE);
  expect(taken?.loop.stop.asked).toBeNull();
  await clock.advance(2 * MINUTE);
  expect(taken?.loop.stop.asked).toMatchObject({ kind: "cancel", reason: expect.stringContaining("maxDurationMs") });
  expect(await taken?.done).toEqual({ kind: "cancelled" });
  expect(third.exceeded()).toMatchObject([{ limit: "maxDurationMs", max: HOUR }]);
});

it("no step begins after the one that passed a limit, however fast it could", async () => {
  const { session } = await project();
  const { engine, service, exceeded } = session();
  const run = await service.start(limited([taskSpec("a"), taskSpec("b", { dependsOn: ["a"] })]));
  await engine.begun(1);
  engine.end("a", attemptReport({ tokens: { input: 100, output: 1, cacheRead: 0, cacheWrite: 0 } }));
  expect(await run.done).toEqual({ kind: "cancelled" });
  expect(engine.executed.map(({ taskId }) => taskId)).toEqual(["a"]);
  expect(run.run.state.tasks.map(({ status }) => status)).toEqual(["completed", "cancelled"]);
  expect(exceeded()).toMatchObject([{ limit: "maxTokens", value: 101, max: 100 }]);
});

const tokensOf = (input: number) => ({ input, output: 0, cacheRead: 0, cacheWrite: 0 });

it("what attempts under way have used counts at once, together, and once only", async () => {
  const { session } = await project();
  const { engine, service, exceeded } = session();
  const run = await service.start(limited([taskSpec("a"), taskSpec("b"), taskSpec("c", { dependsOn: ["a"] })]));
  await engine.begun(2);
  const used = (taskId: string, tokens: number) => engine.hooks.get(taskId)?.used(tokensOf(tokens), 0);
  used("a", 30);
  used("a", 60);
  engine.end("a", attemptReport({ tokens: tokensOf(60), costUsd: 0 }));
  await engine.begun(3);
  used("b", 30);
  used("c", 10);
  await expect.poll(() => usedInRun(run.run.state).tokens).toBe(100);
  expect(run.loop.stop.asked).toBeNull();
  used("c", 11);
  await expect.poll(() => run.loop.stop.asked).toMatchObject({ reason: expect.stringContaining("maxTokens") });
  expect(await run.done).toEqual({ kind: "cancelled" });
  expect(engine.aborted.sort()).toEqual(["b", "c"]);
  expect(exceeded()).toMatchObject([{ limit: "maxTokens", value: 101, max: 100 }]);
});

it("an attempt that was taken over counts from its begin", async () => {
  const { session } = await project();
  const first = session();
  await first.service.start(limited([taskSpec("a")]));
  await first.engine.begun(1);
  first.engine.hooks.get("a")?.used(tokensOf(90), 0);
  await first.service.release("quit");

  const second = session();
  const taken = await second.service.takeOver("run-1");
  await second.engine.begun(1);
  second.engine.hooks.get("a")?.used(tokensOf(90), 0);
  expect(usedInRun(taken?.run.state as RunState).tokens).toBe(90);
  expect(taken?.loop.stop.asked).toBeNull();
  second.engine.hooks.get("a")?.used(tokensOf(120), 0);
  expect(await taken?.done).toEqual({ kind: "cancelled" });
  expect(second.exceeded()).toMatchObject([{ limit: "maxTokens", value: 120, max: 100 }]);
});
