import { expect, it } from "vitest";
import { requestTaken } from "../../src/store/inbox-answer.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { MemoryFiles } from "../support/memory-files.ts";

it("an asked owner has three seconds to deal with a request", async () => {
  const world = {
    clock: new FakeClock(),
    files: new MemoryFiles({ "/run/inbox/1.json": "{}", "/run/inbox/2.json": "{}" }),
  };
  const [first, second] = [requestTaken(world, "/run", "1"), requestTaken(world, "/run", "2")];
  await world.clock.advance(1000);
  await world.files.remove("/run/inbox/1.json");
  await world.clock.advance(2100);
  expect(await first).toBe(true);
  expect(await second).toBe(false);
  expect(world.clock.pending).toBe(0);
});
