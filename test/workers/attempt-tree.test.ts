import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { nodeWorld } from "../../src/system/node.ts";
import { AttemptTree } from "../../src/workers/attempt-tree.ts";
import { demandCheckpoint } from "../../src/workers/checkpoint-demand.ts";
import { type AttemptKind, emptyResult, type KindResult } from "../../src/workers/kind.ts";
import { runStep } from "../../src/workers/run-step.ts";
import type { StepRequest } from "../../src/workers/step-contract.ts";
import { tempFolder } from "../store/temp-store.ts";
import { makeRepo } from "../support/git-repo.ts";
import { waitUntil } from "../support/processes.ts";

const world = nodeWorld({ warn: () => undefined, error: () => undefined });
const done: KindResult = { ...emptyResult, outcome: "completed", failureKind: null, summary: "done", exitCode: 0 };

async function step(work: (folder: string, attempt: string) => Promise<KindResult>, change: Partial<StepRequest> = {}) {
  const root = await tempFolder();
  const repo = makeRepo(join(root, "repo"));
  const attemptFolder = join(root, "tasks/t/a0001");
  const request: StepRequest = {
    ...{ taskId: "t", stepId: "t:1", runId: `tree-${process.pid}-${root.slice(-6)}`, attempt: 1, stepName: "t" },
    ...{ stepKind: "own", workerKind: "own", timeoutSec: 60, createdAt: "2026-01-01T00:00:00.000Z" },
    ...{ promptSummary: "", command: "", assignment: null, verify: "" },
    checkpoint: { mode: "end", summaryHint: "halfway" },
    runtime: { repoRoot: repo, worktreePath: repo, attemptFolder, env: {} },
    ...change,
  };
  const own: AttemptKind = {
    prepare: async () => undefined,
    partial: () => null,
    run: async (_request, { claimed }) => {
      await claimed;
      return await work(request.runtime.worktreePath, attemptFolder);
    },
  };
  const result = await runStep(world, request, { workerId: `w-${process.pid}`, kinds: { own } });
  const read = (name: string) => readFileSync(join(attemptFolder, name), "utf8");
  return { result, read, attemptFolder, repo };
}

describe("an attempt's work folder", { timeout: 30_000 }, () => {
  it("is kept when somebody asks, and at the end", async () => {
    const { result, read } = await step(async (folder, attempt) => {
      writeFileSync(join(folder, "one"), "1\n");
      await demandCheckpoint(world.files, attempt);
      await waitUntil(() => existsSync(join(attempt, "checkpoints/0001.json")));
      writeFileSync(join(folder, "two"), "2\n");
      return done;
    });
    expect(result.checkpoints.map(({ seq, why, files, hint }) => [seq, why, files, hint])).toEqual([
      [1, "demand", 1, "halfway"],
      [2, "end", 2, "halfway"],
    ]);
    expect(result).toMatchObject({ checkpoint: { seq: 2 }, metrics: { checkpointCount: 2 } });
    expect(result.changes).toEqual({ locAdded: 2, locRemoved: 0, filesChanged: 2 });
    expect(JSON.parse(read("state.json"))).toMatchObject({ checkpointSeq: 2 });
    const types = result.lifecycleEvents.map(({ type }) => type).filter((type) => type.startsWith("checkpoint"));
    expect(types).toEqual([1, 2].flatMap(() => ["checkpoint_slot_reserved", "checkpoint_created"]));
  });

  it("is kept of a failure and of a crash, and costs nothing where there is no repository", async () => {
    const failed = await step(async (folder) => {
      writeFileSync(join(folder, "half"), "1\n");
      throw new Error("it broke");
    });
    expect(failed.result).toMatchObject({ ok: false, checkpoint: { files: 1 }, changes: { locAdded: 1 } });
    const nowhere = await tempFolder();
    mkdirSync(join(nowhere, "work"));
    const attemptFolder = join(nowhere, "a0001");
    const runtime = { repoRoot: nowhere, worktreePath: join(nowhere, "work"), attemptFolder, env: {} };
    const { result } = await step(async () => done, { runtime });
    expect(result).toMatchObject({ ok: true, changes: null, checkpoint: null });
    expect(readFileSync(join(attemptFolder, "stderr.log"), "utf8")).toContain("is in no git work tree.");
  });

  it("without an output that was promised fails the attempt, which keeps what else it did", async () => {
    const { result, attemptFolder } = await step(
      async (folder) => {
        writeFileSync(join(folder, "other.md"), "1\n");
        return done;
      },
      { output: ["report.md"] },
    );
    expect(result).toMatchObject({ ok: false, outcome: "failed", failureKind: "transient" });
    expect(result.error).toMatchObject({ kind: "output-missing", message: expect.stringContaining("report.md") });
    expect(result.checkpoint).toMatchObject({ files: 1 });
    expect(readdirSync(attemptFolder)).not.toContain("artifacts");
  });

  it("is watched no longer than its attempt, also by one that ended before it was ready", async () => {
    const root = await tempFolder();
    const repo = makeRepo(join(root, "repo"));
    let watching = 0;
    const clock = Object.assign(Object.create(world.clock) as typeof world.clock, {
      every: (ms: number, act: () => void) => {
        const timer = world.clock.every(ms, act);
        watching += 1;
        return {
          [Symbol.dispose]: () => {
            timer[Symbol.dispose]();
            watching -= 1;
          },
        };
      },
    });
    const request = {
      ...{ attempt: 1, checkpoint: { mode: "end" } },
      runtime: { repoRoot: repo, worktreePath: repo, attemptFolder: join(root, "tasks/t/a0001") },
    } as StepRequest;
    mkdirSync(request.runtime.attemptFolder, { recursive: true });
    const tree = new AttemptTree({ ...world, clock }, request, {
      event: () => undefined,
      stderr: () => undefined,
      sync: async () => undefined,
    });
    const begun = tree.begin(Promise.resolve());
    await tree.conclude(done, true);
    expect(await begun).toBeNull();
    expect(watching).toBe(0);
  });
});
