import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { HEALTHY_LOG } from "../../src/store/run-log-reader.ts";
import type { OpenRun } from "../../src/store/run-store.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import type { Files } from "../../src/system/world.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { countingFiles } from "../support/counting-files.ts";
import { waitUntil } from "../support/processes.ts";
import { keepingBus, ownerOf, tempStore } from "./temp-store.ts";

async function driven(files: Files = nodeFiles()) {
  const temp = await tempStore({ files });
  const run = await temp.store.create(manifestOf([taskSpec("a")]), keepingBus().bus);
  onTestFinished(() => run.close());
  await run.claim(ownerOf("first"));
  return { ...temp, run };
}

async function progress({ publisher }: OpenRun, events: number): Promise<void> {
  for (let at = 0; at < events; at++)
    await publisher.publish({ type: "crew.task.progress", taskId: "a", attempt: 1, text: "x".repeat(200) });
}

function savedSeq(run: OpenRun): number {
  const text = readFileSync(join(run.folder, "state.json"), "utf8");
  return (JSON.parse(text) as { position: { seq: number } }).position.seq;
}

describe("the state of a run that is driven", () => {
  it("is saved with the claim, and again after some events, by nobody's asking", async () => {
    const { run } = await driven();
    expect(savedSeq(run)).toBe(2);
    for (let more = 1; more <= 4; more++) {
      await progress(run, 250);
      await waitUntil(() => 2 + more * 250 - savedSeq(run) < 250);
    }
  });

  it("is saved by reading what is new, however long the log is", async () => {
    const counting = countingFiles(nodeFiles());
    const { run, store } = await driven(counting.files);
    const spent: number[] = [];
    for (const events of [5, 1500, 5]) {
      await progress(run, events);
      await run.saveSnapshot();
      spent.push(counting.spent().bytes);
    }
    expect(spent[2]).toBeLessThan(5 * 600);
    expect((await store.view("run-1")).state).toEqual(run.state);
    expect(savedSeq(run)).toBe(1512);
  });

  it("hides no damage of the log from who asks for the log", async () => {
    const { run, store } = await driven();
    await progress(run, 3);
    await run.saveSnapshot();
    expect((await store.log("run-1")).health).toEqual(HEALTHY_LOG);
    const path = join(run.folder, "events.jsonl");
    const bytes = readFileSync(path);
    const second = bytes.indexOf("\n") + 1;
    writeFileSync(path, bytes.fill("#", second + 20, second + 21));
    expect((await store.view("run-1")).health).toEqual(HEALTHY_LOG);
    const { events, health } = await store.log("run-1");
    expect(health.bad).toBe(1);
    expect(events).toHaveLength(4);
  });

  it("harms nobody when it can't be saved, and is told in the log", async () => {
    const real = nodeFiles();
    let full = false;
    const { run, warnings, store } = await driven({
      ...real,
      replace: (path, data) => (full ? Promise.reject(new Error("ENOSPC")) : real.replace(path, data)),
    });
    full = true;
    await progress(run, 250);
    await waitUntil(() => warnings.includes("state.json was not written"));
    await expect(run.saveSnapshot()).rejects.toThrow("ENOSPC");
    full = false;
    await run.saveSnapshot();
    expect(savedSeq(run)).toBe(252);
    expect((await store.view("run-1")).state).toEqual(run.state);
  });
});
