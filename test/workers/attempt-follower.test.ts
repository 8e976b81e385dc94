import { expect, it } from "vitest";
import type { AttemptProgress } from "../../src/runs/execute.ts";
import type { World } from "../../src/system/world.ts";
import { attemptPaths } from "../../src/workers/attempt-folder.ts";
import { AttemptFollower } from "../../src/workers/attempt-follower.ts";
import { lineReaderOf } from "../../src/workers/line-reader.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { MemoryFiles } from "../support/memory-files.ts";

const FOLDER = "/attempt";

const start = (id: number) => ({ type: "tool_execution_start", toolCallId: `${id}`, toolName: `t${id}` });
const end = (id: number) => ({
  type: "tool_execution_end",
  toolCallId: `${id}`,
  toolName: `t${id}`,
  isError: id === 2,
});
const words = (text: string) => ({ type: "message_end", message: { role: "assistant", content: text } });

/** What is told of an attempt whose output comes in these pieces. */
async function told(...pieces: object[][]): Promise<AttemptProgress[]> {
  return (await follow(pieces)).progress;
}

async function follow(pieces: object[][]): Promise<{ progress: AttemptProgress[]; used: number[][] }> {
  const files = new MemoryFiles();
  const clock = new FakeClock();
  const progress: AttemptProgress[] = [];
  const used: number[][] = [];
  const world = { files, clock, log: { warn: (message: string) => expect.unreachable(message) } };
  const follower = new AttemptFollower(world as unknown as World, FOLDER, lineReaderOf("pi"), {
    worker: () => undefined,
    progress: (one) => void progress.push(one),
    used: ({ tokens, costUsd }) => void used.push([tokens.input, tokens.output, costUsd]),
    isOurs: () => true,
    checkpoint: () => undefined,
  });
  const followed = follower.follow();
  let text = "";
  for (const piece of pieces) {
    text += piece.map((line) => `${JSON.stringify(line)}\n`).join("");
    await files.writeAtomic(attemptPaths(FOLDER).stdout, text);
    await clock.advance(250);
  }
  follower.childGone();
  await clock.advance(250);
  await followed;
  return { progress, used };
}

it("tells each call that ended, however close they follow each other", async () => {
  expect(await told([], [start(1), end(1), start(2), end(2), words("so"), start(3)], [end(3)])).toEqual([
    { tool: "t1", toolStatus: "ok", toolDurationMs: 0 },
    { tool: "t2", toolStatus: "error", toolDurationMs: 0, text: "so" },
    { tool: "t3", toolStatus: "running" },
    { tool: "t3", toolStatus: "ok", toolDurationMs: 250 },
  ]);
});

it("tells what was used with each reply, and all that was used before it looked", async () => {
  const usage = { input: 10, output: 1, cost: { total: 0.5 } };
  const reply = { type: "message_end", message: { role: "assistant", content: "", usage } };
  expect((await follow([[reply, start(1), reply], [end(1)], [reply]])).used).toEqual([
    [20, 2, 1],
    [30, 3, 1.5],
  ]);
});

it("tells of what was there before it looked no more than the last, and not too much at once", async () => {
  expect(await told([start(1), end(1), start(2), end(2)])).toEqual([{ tool: "t2", toolStatus: "error" }]);
  const many = Array.from({ length: 100 }, (_, id) => [start(id), end(id)]).flat();
  const all = await told([], many);
  expect(all).toHaveLength(32);
  expect(all.at(-1)).toMatchObject({ tool: "t99", toolStatus: "ok" });
});
