import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { nodeWorld } from "../../src/system/node.ts";
import { createRedactor } from "../../src/system/redaction.ts";
import { AttemptFollower } from "../../src/workers/attempt-follower.ts";
import { AttemptLogs } from "../../src/workers/attempt-logs.ts";
import { AttemptOutput } from "../../src/workers/attempt-output.ts";
import { lineReaderOf } from "../../src/workers/line-reader.ts";
import { newestSegment, readLogEnd } from "../../src/workers/log-tail.ts";
import type { PiTally } from "../../src/workers/pi-events.ts";
import { tempFolder } from "../store/temp-store.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { stepBench } from "./step-bench.ts";

const world = nodeWorld({ warn: (message) => expect.unreachable(message), error: () => undefined });
const SECRET = "hunter2-is-my-secret";

/** Follows an attempt's files until its worker is said to be gone. */
function follow(folder: string): { follower: AttemptFollower; tally: Promise<PiTally | null> } {
  const follower = new AttemptFollower(world, folder, lineReaderOf("pi"), {
    worker: () => undefined,
    progress: () => undefined,
    used: () => undefined,
    checkpoint: () => undefined,
    isOurs: () => true,
  });
  const tally = follower.follow().then((end) => (end.kind === "gone" ? end.tally : null));
  return { follower, tally };
}

describe("the logs of an attempt that says more than they hold", { timeout: 120_000 }, () => {
  it("give each reply to whoever follows once, before, during and after the log is full", async () => {
    const folder = await tempFolder();
    const logs = new AttemptLogs(world, folder, true, { bytesMax: 20_000, segmentBytesMax: 8000 });
    logs.open([]);
    const usage = { input: 3, output: 2, cost: { total: 0.5 } };
    const content = [{ type: "text", text: "word ".repeat(100) }];
    const say = (id: number) =>
      logs.stdout(JSON.stringify({ type: "message_end", message: { role: "assistant", id, content, usage } }));
    const first = follow(folder);
    for (let id = 0; id < 100; id++) {
      say(id);
      if (id % 10 === 0) await world.clock.sleep(20);
    }
    const adopter = follow(folder);
    for (let id = 100; id < 300; id++) say(id);
    logs.stdout(JSON.stringify({ type: "auto_retry_start", attempt: 1 }));
    await logs.sync();
    for (const { follower } of [first, adopter]) follower.childGone();
    for (const tally of await Promise.all([first.tally, adopter.tally, lateTally(folder)])) {
      expect(tally).toMatchObject({ turns: 300, hostRetries: 1, tokens: { input: 900, output: 600 }, costUsd: 150 });
    }
    logs.close();
    const segments = readdirSync(folder).filter((name) => /^stdout\.\d+\.log$/.test(name));
    expect(segments).toHaveLength(2);
    const stdout = join(folder, "stdout.log");
    const end = await readLogEnd(world.files, stdout, await newestSegment(world.files, stdout), 10_000);
    // the newest replies are there with their words
    expect(end.toString()).toContain(`"id":299,"content":[{"type":"text","text":"word word`);
    expect(end.toString()).toContain(`"id":290,"content":[{"type":"text"`);
  });

  it("hold a program's begin and its end, in order and without secrets, and not much more than their limits", async () => {
    const folder = await tempFolder();
    const logs = new AttemptLogs(world, folder, false, { bytesMax: 100_000, segmentBytesMax: 200_000 });
    logs.open([]);
    const clock = new FakeClock();
    const output = new AttemptOutput(clock, logs, createRedactor({ secretValues: [SECRET] }));
    const line = (number: number) => `line ${number} ${number % 7 === 0 ? SECRET : "is harmless"}\n`;
    const count = 200_000;
    const piece = Buffer.alloc(4099);
    for (let number = 0; number < count; number += 1000) {
      const lines = Array.from({ length: 1000 }, (_, at) => line(number + at)).join("");
      // pieces as a pipe gives them, wherever they break, each in the memory of the one before
      for (let at = 0; at < lines.length; at += piece.byteLength) {
        const bytes = piece.write(lines.slice(at, at + piece.byteLength));
        output.push("stdout", piece.subarray(0, bytes));
      }
      if (number % 50_000 === 0) await clock.advance(1200);
    }
    output.push("stdout", Buffer.from("the very end, without a line feed"));
    output.flush();
    output.close();
    await logs.sync();
    const path = join(folder, "stdout.log");
    const head = readFileSync(path, "utf8");
    expect(head.startsWith("line 0 ")).toBe(true);
    expect(head).toContain("[cut at 100000 bytes");
    const names = readdirSync(folder).filter((name) => name.startsWith("stdout"));
    const all = names.map((name) => readFileSync(join(folder, name), "utf8")).join("");
    // half of it neither: a line that lost its begin or its end is left out
    expect(all).not.toContain("hunter");
    expect(all.split("\n").filter((text) => !/^(line \d+( |$)|\[|the very end|$)/.test(text))).toEqual([]);
    const end = (await readLogEnd(world.files, path, await newestSegment(world.files, path), 100_000)).toString();
    expect(end.endsWith(`line ${count - 1} is harmless\nthe very end, without a line feed`)).toBe(true);
    const numbers = [...end.matchAll(/^line (\d+) /gm)].map(([, number]) => Number(number)).slice(1);
    expect(numbers).toEqual(numbers.map((_, at) => (numbers[0] ?? 0) + at));
    expect(all).toMatch(/\[\d+ bytes left out\]/);
    const bytes = names.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    expect(names.length).toBeLessThanOrEqual(3);
    expect(bytes).toBeLessThan(100_000 + 2 * (200_000 + 1024 * 1024) + 1000);
    // all that came is counted, masked or not
    expect(logs.summary).toMatchObject({ cut: true, droppedWrites: 0 });
    expect(logs.summary.stdoutBytes).toBeGreaterThan(count * 15);
    logs.close();
  });

  it("show the end of a command that printed more than fifty megabytes", async () => {
    const step = await stepBench({ command: "head -c 60000000 /dev/zero | tr '\\0' '\\n'; echo; echo the last word" });
    const result = await step.run();
    expect(result).toMatchObject({ ok: true, logSummary: { cut: true, droppedWrites: 0 } });
    const stdout = join(step.request.runtime.attemptFolder, "stdout.log");
    expect(statSync(stdout).size).toBeLessThan(50 * 1024 * 1024 + 1000);
    const end = await readLogEnd(world.files, stdout, await newestSegment(world.files, stdout), 100);
    expect(end.toString().endsWith("\nthe last word\n")).toBe(true);
  });
});

/** As of somebody who comes when all is over. */
async function lateTally(folder: string): Promise<PiTally | null> {
  const { follower, tally } = follow(folder);
  follower.childGone();
  return tally;
}
