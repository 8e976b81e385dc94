import { describe, expect, it, onTestFinished } from "vitest";
import { createCorrelation } from "../../src/events/correlation.ts";
import { LogFailed } from "../../src/events/publisher.ts";
import { afterFailureUnder } from "../../src/host/after-failure.ts";
import { DEFAULT_CONFIG } from "../../src/host/config.ts";
import type { Config } from "../../src/host/config-schema.ts";
import type { Notification } from "../../src/host/notification-router.ts";
import { runConfigOf } from "../../src/host/run-config.ts";
import { RunService } from "../../src/host/run-service.ts";
import { Slots } from "../../src/runs/slots.ts";
import { DeadLetters } from "../../src/store/dead-letters.ts";
import { postRequest } from "../../src/store/inbox.ts";
import { type OpenRun, RunStore } from "../../src/store/run-store.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { keepingBus, ownerOf, tempFolder } from "../store/temp-store.ts";
import { waitUntil } from "../support/processes.ts";
import { attemptReport, failedReport, ScriptedEngine } from "../support/scripted-engine.ts";

// The engine is a test double: it stands for worker processes, none is started. Store, log and files are real.

/** A run that its owner has let go of, or that an owner elsewhere may still have. */
async function abandoned(
  owner: "none" | "elsewhere" = "none",
  script: ScriptedEngine["script"] = () => attemptReport(),
  reliability: Partial<Config["reliability"]> = {},
) {
  const crewRoot = await tempFolder();
  const quiet = () => undefined;
  const world = nodeWorld({ warn: quiet, error: quiet });
  const { bus, told } = keepingBus();
  const notices: Notification[] = [];
  const engine = new ScriptedEngine(script);
  const store = new RunStore(world, crewRoot);
  const service = new RunService({
    ...{ world, bus, store, engine, slots: new Slots(4), sessionId: "session", redact: (text: string) => text },
    afterFailure: (reliability) => afterFailureUnder(reliability, world, () => false),
    correlation: createCorrelation(),
    deadLetters: new DeadLetters(world, crewRoot),
    deadLetterAlert: async () => undefined,
    notify: (notice) => void notices.push(notice),
  });
  onTestFinished(async () => void (await service.release("over")));
  const config = runConfigOf({ ...DEFAULT_CONFIG, reliability: { ...DEFAULT_CONFIG.reliability, ...reliability } });
  const before = await store.create(manifestOf([taskSpec("a")], { config }), keepingBus().bus);
  await before.claim(owner === "none" ? { ...world.processes.self(), nonce: "n" } : ownerOf("elsewhere"));
  await before.publisher.publish({ type: "crew.run.started", team: "team", workflow: "workflow" });
  if (owner === "none") await before.publisher.publish({ type: "crew.run.released", reason: "replaced" });
  before.close();
  return { service, notices, told, engine };
}

const failing = (code: string) => new LogFailed(`the run's log can't be written: ${code}`, { cause: { code } });

describe("a run that is taken over", () => {
  it("pauses when what its new owner begins with can't be written, and begins with it again", async () => {
    const { service, notices } = await abandoned();
    let tries = 0;
    const prepare = async () => {
      tries++;
      if (tries === 1) throw failing("ENOSPC");
    };
    const taken = await service.takeOver("run-1", { prepare });
    await waitUntil(() => notices.length > 0);
    expect(notices[0]?.message).toContain("is paused");
    expect(await taken?.done).toEqual({ kind: "completed" });
    expect(tries).toBe(2);
  });

  it("is tried again as it was begun with, whatever holds for its new owner", async () => {
    const policy = { ...DEFAULT_CONFIG.reliability.retryPolicy, backoffMs: 1, jitterRatio: 0 };
    const fails = () => ({ ...failedReport(), failureKind: "transient" as const });
    const retried = await abandoned("none", fails, { autoRetry: true, retryPolicy: policy });
    expect(await (await retried.service.takeOver("run-1"))?.done).toEqual({ kind: "failed" });
    expect(retried.engine.executed.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    const once = await abandoned("none", fails);
    expect(await (await once.service.takeOver("run-1"))?.done).toEqual({ kind: "failed" });
    expect(once.engine.executed).toHaveLength(1);
  });

  it("can be taken again by the same process when its new owner could not begin", async () => {
    const { service } = await abandoned();
    const prepare = () => Promise.reject(new Error("no luck"));
    const first = await service.takeOver("run-1", { prepare });
    expect(await first?.done).toMatchObject({ kind: "lost" });
    await waitUntil(() => service.active.length === 0);
    const second = await service.takeOver("run-1");
    expect(await second?.done).toEqual({ kind: "completed" });
  });

  it("is taken once by two who want it at the same time", async () => {
    const { service, notices, told, engine } = await abandoned("none", () => "hold");
    const prepare = async (run: OpenRun) => {
      await new Promise((resolve) => setImmediate(resolve));
      expect(run.state.status).toBe("running");
    };
    const taken = await Promise.all([
      service.takeOver("run-1", { prepare }),
      service.takeOver("run-1", { prepare }),
      service.takeOver("run-1"),
    ]);
    expect(taken.filter((active) => active !== null)).toHaveLength(1);
    await engine.begun(1);
    engine.end("a");
    expect(await taken[0]?.done).toEqual({ kind: "completed" });
    expect(notices).toEqual([]);
    expect(told.filter(({ type }) => type === "crew.run.completed")).toHaveLength(1);
  });

  it("answers all that lies in its inbox, each once, though it has ended", async () => {
    const { service, told } = await abandoned("none", () => failedReport());
    await (await service.takeOver("run-1"))?.done;
    const world = nodeWorld({ warn: () => undefined, error: () => undefined });
    const { folder } = await service.view("run-1");
    const runs = ["run-2", "run-3", "run-4"];
    for (const newRunId of [...runs, ...runs])
      await postRequest(world, folder, { kind: "redrive", taskId: "a", newRunId }, "other");
    await (await service.takeOver("run-1"))?.done;
    expect((await service.view("run-1")).state.tasks[0]?.redrivenAs).toEqual(runs);
    expect(told.filter(({ type }) => type === "crew.task.redriven")).toHaveLength(runs.length);
  });

  it("is left to an owner that may be alive elsewhere, unless the user knows better", async () => {
    const { service } = await abandoned("elsewhere");
    expect(await service.takeOver("run-1")).toBeNull();
    const taken = await service.takeOver("run-1", { confirmed: true });
    expect(await taken?.done).toEqual({ kind: "completed" });
  });
});
