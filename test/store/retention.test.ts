import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLocalBus } from "../../src/events/local-bus.ts";
import type { RunStatus } from "../../src/runs/run-state.ts";
import { runPaths } from "../../src/store/layout.ts";
import { applyPrune, planPrune, type RunFacts, readRunFacts } from "../../src/store/retention.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { ownerOf, type TempStore, tempFolder, tempStore } from "./temp-store.ts";

const DAY = 86_400_000;
const NOW = 1_700_000_000_000;
const files = nodeFiles();

function run(runId: string, endedDaysAgo: number | null, more: Partial<RunFacts> = {}): RunFacts {
  const ended = endedDaysAgo !== null;
  return {
    runId,
    status: ended ? "completed" : "running",
    endedAt: ended ? NOW - endedDaysAgo * DAY : null,
    bytes: 10,
    resumedFrom: null,
    ...more,
  };
}

describe("what would be pruned", () => {
  it("are ended runs of that age, oldest first, with their bytes, the newest spared", () => {
    const runs = [
      run("a", 40),
      run("b", 31, { status: "failed" }),
      run("c", 29),
      run("d", null),
      run("e", 50),
      run("f", 1),
    ];
    const plan = planPrune(runs, { olderThanDays: 30, keepNewest: 0 }, NOW);
    expect(plan.remove.map(({ runId }) => runId)).toEqual(["e", "a", "b"]);
    expect(plan.bytes).toBe(30);
    const spared = planPrune(runs, { olderThanDays: 30, keepNewest: 4 }, NOW);
    expect(spared.remove.map(({ runId }) => runId)).toEqual(["e"]);
    expect(planPrune(runs, { olderThanDays: 30, keepNewest: 99 }, NOW)).toEqual({ remove: [], bytes: 0 });
  });

  it("spares what a run under way was resumed from, and nothing for an ended one", () => {
    const runs = [run("a", 40), run("b", 41), run("c", null, { resumedFrom: "a" }), run("d", 1, { resumedFrom: "b" })];
    expect(planPrune(runs, { olderThanDays: 30, keepNewest: 0 }, NOW).remove.map(({ runId }) => runId)).toEqual(["b"]);
  });

  it("is nothing when the clock went back behind all of them", () => {
    const runs = [run("a", 40), run("b", 50)];
    expect(planPrune(runs, { olderThanDays: 30, keepNewest: 0 }, NOW - 100 * DAY).remove).toEqual([]);
  });

  it("never holds a run that has not ended, nor fewer kept than asked for", () => {
    const status = fc.constantFrom<RunStatus>("queued", "running", "completed", "failed", "cancelled");
    const anyRun = fc.record({
      runId: fc.uuid(),
      status,
      endedAt: fc.option(fc.integer({ min: 0, max: 2 * NOW })),
      bytes: fc.nat(),
      resumedFrom: fc.constant<string | null>(null),
    });
    const policy = fc.record({ olderThanDays: fc.nat(1000), keepNewest: fc.nat(5) });
    fc.assert(
      fc.property(fc.array(anyRun), policy, (runs, given) => {
        const { remove } = planPrune(runs, given, NOW);
        const ended = runs.filter(
          (one) => one.endedAt !== null && ["completed", "failed", "cancelled"].includes(one.status),
        );
        expect(remove.every((one) => ended.includes(one))).toBe(true);
        expect(ended.length - remove.length).toBeGreaterThanOrEqual(Math.min(given.keepNewest, ended.length));
        for (const one of remove) expect(one.endedAt).toBeLessThan(NOW - given.olderThanDays * DAY);
      }),
    );
  });
});

/** A run in real files, ended or under way. */
async function someRun({ store }: TempStore, runId: string, ended: boolean): Promise<string> {
  const run = await store.create(
    manifestOf([taskSpec("a")], { runId }),
    createLocalBus(() => undefined),
  );
  await run.claim(ownerOf(runId));
  await run.publisher.publish({ type: "crew.run.started", team: "t", workflow: "w" });
  const end = { team: "t", workflow: "w", taskCount: 1, durationMs: 1, tokens: 0, costUsd: 0 };
  if (ended) await run.publisher.publish({ type: "crew.run.cancelled", status: "cancelled", ...end });
  run.close();
  const { folder, artifacts } = runPaths(store.crewRoot, runId);
  writeFileSync(join(artifacts, "report.md"), "x".repeat(1000));
  return folder;
}

const everything = { olderThanDays: 0, keepNewest: 0 };

describe("pruning", () => {
  it("removes what the preview named and nothing else: no other run, no metrics", async () => {
    const temp = await tempStore();
    const { store, crewRoot, clock } = temp;
    const [one, two, three] = [
      await someRun(temp, "one", true),
      await someRun(temp, "two", true),
      await someRun(temp, "three", false),
    ];
    mkdirSync(join(crewRoot, "metrics"));
    writeFileSync(join(crewRoot, "metrics", "tasks.jsonl"), "{}\n");
    await clock.advance(DAY);
    const facts = await readRunFacts(files, store);
    expect(facts.map(({ runId, status }) => [runId, status])).toEqual([
      ["two", "cancelled"],
      ["three", "running"],
      ["one", "cancelled"],
    ]);
    for (const { bytes } of facts) expect(bytes).toBeGreaterThan(1000);
    const plan = planPrune(facts, everything, clock.now());
    const onlyTwo = { ...plan, remove: plan.remove.filter(({ runId }) => runId === "two") };
    expect(await applyPrune(files, store, onlyTwo)).toEqual({
      removed: ["two"],
      bytes: onlyTwo.remove[0]?.bytes,
      skipped: [],
    });
    expect([one, two, three].map((folder) => existsSync(folder))).toEqual([true, false, true]);
    expect(readFileSync(join(crewRoot, "metrics", "tasks.jsonl"), "utf8")).toBe("{}\n");
  });

  it("spares a run that is not, or not any more, what was previewed", async () => {
    const temp = await tempStore();
    const { store } = temp;
    const ended = await someRun(temp, "ended", true);
    await someRun(temp, "live", false);
    const [live, facts] = await readRunFacts(files, store);
    if (!live || !facts) throw new Error("two runs were made");
    const remove = [
      { ...live, status: "completed" as const },
      { ...facts, endedAt: 5 },
      { ...facts, runId: "never-was" },
      { ...facts, runId: "../../metrics" },
    ];
    const { removed, skipped } = await applyPrune(files, store, { remove, bytes: 0 });
    expect(removed).toEqual([]);
    expect(skipped.map(({ why }) => why)).toEqual([
      "it is running",
      "it is not the run that was previewed",
      expect.stringContaining("gone"),
      expect.stringContaining("can't be a run id"),
    ]);
    expect(existsSync(ended)).toBe(true);
    expect(await store.ids()).toHaveLength(2);
  });

  it("follows no link: neither in a run, nor in its place, nor above it", async () => {
    const temp = await tempStore();
    const { store, crewRoot, clock } = temp;
    const elsewhere = await tempFolder();
    writeFileSync(join(elsewhere, "precious"), "x".repeat(100_000));
    const inside = await someRun(temp, "inside", true);
    symlinkSync(elsewhere, join(inside, "tasks"));
    symlinkSync(join(elsewhere, "precious"), join(inside, "artifacts", "link"));
    const moved = await someRun(temp, "moved", true);
    await clock.advance(DAY);
    const facts = await readRunFacts(files, store);
    expect(facts.find(({ runId }) => runId === "inside")?.bytes).toBeLessThan(50_000);
    renameSync(moved, join(elsewhere, "moved"));
    symlinkSync(join(elsewhere, "moved"), moved);
    const plan = planPrune(facts, everything, clock.now());
    const result = await applyPrune(files, store, plan);
    expect(result.removed).toEqual(["inside"]);
    expect(result.skipped).toEqual([{ runId: "moved", why: expect.stringContaining("symlink") }]);
    expect(readdirSync(elsewhere).sort()).toEqual(["moved", "precious"]);
    expect(readdirSync(join(elsewhere, "moved"))).toContain("manifest.json");

    await someRun(temp, "above", true);
    await clock.advance(DAY);
    const above = planPrune(await readRunFacts(files, store), everything, clock.now());
    expect(above.remove.map(({ runId }) => runId)).toEqual(["above"]);
    renameSync(join(crewRoot, "state"), join(elsewhere, "state"));
    symlinkSync(join(elsewhere, "state"), join(crewRoot, "state"));
    expect((await applyPrune(files, store, above)).removed).toEqual([]);
    expect(readdirSync(join(elsewhere, "state", "runs"))).toContain("above");
  });

  it("tells what it could not remove, removes the others, and goes on where it broke off", async () => {
    const temp = await tempStore();
    const { store, clock } = temp;
    await someRun(temp, "a", true);
    await someRun(temp, "b", true);
    await clock.advance(DAY);
    const plan = planPrune(await readRunFacts(files, store), everything, clock.now());
    const stuck = runPaths(store.crewRoot, "a").state;
    writeFileSync(stuck, "");
    const failing = {
      ...files,
      remove: (path: string) => (path === stuck ? Promise.reject(new Error("EACCES")) : files.remove(path)),
    };
    expect(await applyPrune(failing, store, plan)).toMatchObject({
      removed: ["b"],
      skipped: [{ runId: "a", why: "EACCES" }],
    });
    const again = planPrune(await readRunFacts(files, store), everything, clock.now());
    expect(await applyPrune(files, store, again)).toMatchObject({ removed: ["a"], skipped: [] });
    expect(await store.ids()).toEqual([]);
  });
});
