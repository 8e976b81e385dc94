import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { nodeWorld } from "../../src/system/node.ts";
import { createRedactor } from "../../src/system/redaction.ts";
import type { Files } from "../../src/system/world.ts";
import { AttemptHistory } from "../../src/workers/attempt-history.ts";
import { type AttemptKind, emptyResult } from "../../src/workers/kind.ts";
import type { StepRequest } from "../../src/workers/step-contract.ts";
import { WorkerHost } from "../../src/workers/wrapper.ts";
import type { WrapperMessage } from "../../src/workers/wrapper-messages.ts";
import { tempFolder } from "../store/temp-store.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { waitUntil } from "../support/processes.ts";

/** A worker host in this process, on real files that refuse to grow while `full`. */
async function worker() {
  const folder = await tempFolder();
  const clock = new FakeClock();
  const warned: string[] = [];
  const say = (message: string) => void warned.push(message);
  const real = nodeWorld({ warn: say, error: say });
  const disk = { full: false };
  const refuse = () => {
    if (disk.full) throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
  };
  const files: Files = {
    ...real.files,
    writeAtomic: async (path, data) => {
      refuse();
      await real.files.writeAtomic(path, data);
    },
    openAppend: (path) => {
      const handle = real.files.openAppend(path);
      const write: typeof handle.write = (data) => {
        refuse();
        handle.write(data);
      };
      return { write, sync: () => handle.sync(), close: () => handle.close() };
    },
  };
  const kind: AttemptKind = {
    prepare: async () => undefined,
    partial: () => null,
    run: async (_request, { claimed, stdout, stderr }) => {
      await claimed;
      stdout("before");
      disk.full = true;
      stdout("lost");
      stderr("lost too");
      return { ...emptyResult, outcome: "completed", summary: "the work of an hour", exitCode: 0 };
    },
  };
  const told: WrapperMessage[] = [];
  const exits: number[] = [];
  const host = new WorkerHost(
    { ...real, clock, files },
    {
      redactor: Promise.resolve(createRedactor({ secretValues: [] })),
      tell: (message) => void told.push(message),
      enter: () => () => undefined,
      exit: (code) => void exits.push(code),
    },
    { shell: kind },
    folder,
    new AttemptHistory(
      { ...real, clock, files },
      join(folder, "agent"),
      Promise.resolve(createRedactor({ secretValues: [] })),
    ),
  );
  const request: StepRequest = {
    taskId: "a",
    stepId: "a:1",
    runId: `run-${process.pid}`,
    attempt: 1,
    stepName: "a",
    stepKind: "shell",
    workerKind: "shell",
    timeoutSec: null,
    runtime: { repoRoot: folder, worktreePath: folder, attemptFolder: join(folder, "attempt"), env: {} },
    createdAt: "2026-01-01T00:00:00.000Z",
    promptSummary: "",
    command: "",
    assignment: null,
    verify: "",
  };
  const done = host.take({ type: "attempt", request, workerId: `w-${process.pid}` });
  onTestFinished(async () => {
    disk.full = false;
    for (let second = 0; second < 3; second++) await clock.advance(1000);
  });
  await waitUntil(async () => {
    await clock.advance(100);
    return warned.includes("end not recorded yet");
  });
  const minutes = async (count: number) => {
    for (let second = 0; second < count * 60; second++) await clock.advance(1000);
  };
  const state = async () => JSON.parse(await readFile(join(folder, "attempt/state.json"), "utf8"));
  return { folder, disk, host, done, told, exits, clock, minutes, state, warned };
}

describe("a worker whose disk is full", () => {
  it("keeps what it did until it can be written, for as long as it takes", async () => {
    const { folder, disk, done, exits, told, clock, minutes, state, warned } = await worker();
    await minutes(10);
    expect(exits).toEqual([]);
    const ended = () => told.some(({ type }) => type === "ended");
    expect(ended()).toBe(false);
    expect((await state()).status).toBe("running");
    expect(warned.filter((message) => message === "end not recorded yet")).toHaveLength(1);
    const waiting = { type: "waiting", why: "ENOSPC: no space left on device" };
    expect(told.filter(({ type }) => type === "waiting")).toEqual([waiting]);
    disk.full = false;
    await waitUntil(async () => {
      await clock.advance(500);
      return ended();
    });
    await done;
    const { status, result } = await state();
    expect(status).toBe("ended");
    expect(result).toMatchObject({ attemptOutcome: "completed", summary: "the work of an hour" });
    const types = result.lifecycleEvents.map(({ type }: { type: string }) => type);
    expect(types).toEqual(["run_prepared", "step_prepared", "worker_started", "worker_exited", "step_completed"]);
    expect(result.lifecycleEvents[3].detail).toContain("2 log writes dropped");
    expect(await readFile(join(folder, "attempt/stdout.log"), "utf8")).toBe("before\n");
  });

  it("ends without a record when it is told to stop", async () => {
    const { host, exits, clock } = await worker();
    host.terminate();
    await waitUntil(async () => {
      await clock.advance(250);
      return exits.length > 0;
    });
    expect(exits[0]).toBe(1);
  });
});
