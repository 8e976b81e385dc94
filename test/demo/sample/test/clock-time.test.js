import assert from "node:assert/strict";
import { test } from "node:test";
import { toMinutes, toTime } from "../src/clock-time.js";

test("a time is minutes since midnight, and back", () => {
  assert.equal(toMinutes("09:30"), 570);
  assert.equal(toTime(570), "09:30");
});

test("what is no time of day is refused", () => {
  for (const wrong of ["9:30", "24:01", "12:60", "noon"]) assert.throws(() => toMinutes(wrong), RangeError);
});
