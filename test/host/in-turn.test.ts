import { expect, it } from "vitest";
import { inTurn, onceInTurn } from "../../src/host/in-turn.ts";

it("one import begins when the one before has ended, also when that failed", async () => {
  const order: string[] = [];
  const ends: Array<() => void> = [];
  const load = (name: string, fails = false) =>
    inTurn(async () => {
      order.push(`${name} begins`);
      await new Promise<void>((done) => ends.push(done));
      order.push(`${name} ends`);
      if (fails) throw new Error(`${name} is broken`);
      return name;
    });
  const told = Promise.allSettled([load("a"), load("b", true), load("c")]);
  for (const name of ["a", "b", "c"]) {
    await expect.poll(() => order.at(-1)).toBe(`${name} begins`);
    ends.shift()?.();
  }
  expect(await told).toMatchObject([{ value: "a" }, { reason: { message: "b is broken" } }, { value: "c" }]);
  expect(order).toEqual(["a", "b", "c"].flatMap((name) => [`${name} begins`, `${name} ends`]));
});

it("what is imported once is so however many ask", async () => {
  let times = 0;
  const load = onceInTurn(async () => ++times);
  expect(await Promise.all([load(), load()])).toEqual([1, 1]);
  expect(await load()).toBe(1);
});

it("what could not be imported is tried again by who asks next", async () => {
  let times = 0;
  const load = onceInTurn(async () => {
    if (++times === 1) throw new Error("no file left to open");
    return times;
  });
  expect(await Promise.allSettled([load(), load()])).toMatchObject([{ status: "rejected" }, { status: "rejected" }]);
  expect(await load()).toBe(2);
});
