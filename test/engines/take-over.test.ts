import { expect, it } from "vitest";
import { awakeMs, lastedUnseen } from "../../src/engines/take-over.ts";
import type { World } from "../../src/system/world.ts";
import { attemptPaths } from "../../src/workers/attempt-folder.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { MemoryFiles } from "../support/memory-files.ts";

const FOLDER = "/attempt";

it("lets an attempt last to its last sign of life where nobody saw its worker die", async () => {
  const clock = new FakeClock();
  const beganAt = clock.now();
  const iso = (ms: number) => new Date(beganAt + ms).toISOString();
  const { heartbeat } = attemptPaths(FOLDER);
  const files = new MemoryFiles();
  const world = { clock, files } as unknown as World;
  await clock.advance(60_000);
  const lasted = (died: boolean) => lastedUnseen(world, FOLDER, iso(0), died);
  expect(await lasted(true)).toEqual({ durationMs: 60_000, finishedAt: null });
  await files.writeAtomic(heartbeat, JSON.stringify({ workerId: "w", lastSeenAt: iso(15_000), alive: true }));
  expect(await lasted(true)).toEqual({ durationMs: 15_000, finishedAt: beganAt + 15_000 });
  expect(await lasted(false)).toEqual({ durationMs: 60_000, finishedAt: null });
  files.broken.set(heartbeat, "EIO");
  expect(await lasted(true)).toEqual({ durationMs: 60_000, finishedAt: null });
});

it("counts the time a worker was awake by its beats where its machine slept or the wall clock was set ahead", async () => {
  const HOUR = 3_600_000;
  const clock = new FakeClock();
  const startedAt = new Date(clock.now()).toISOString();
  const { heartbeat } = attemptPaths(FOLDER);
  const files = new MemoryFiles();
  const world = { clock, files } as unknown as World;
  const beat = (counter: unknown) => files.writeAtomic(heartbeat, JSON.stringify({ counter }));
  await beat(3);
  await clock.advance(12_000);
  expect(awakeMs(world, FOLDER, startedAt)).toBe(12_000);
  clock.jump(HOUR);
  expect(awakeMs(world, FOLDER, startedAt)).toBe(15_000);
  for (const strange of ["3", -1, 0, null, undefined]) {
    await beat(strange);
    expect(awakeMs(world, FOLDER, startedAt)).toBe(HOUR + 12_000);
  }
  await files.writeAtomic(heartbeat, "torn {");
  expect(awakeMs(world, FOLDER, startedAt)).toBe(HOUR + 12_000);
  files.broken.set(heartbeat, "EIO");
  expect(awakeMs(world, FOLDER, startedAt)).toBe(HOUR + 12_000);
  clock.jump(-2 * HOUR);
  expect(awakeMs(world, FOLDER, startedAt)).toBe(0);
  expect(awakeMs(world, FOLDER, "some day")).toBe(0);
});
