import assert from "node:assert/strict";
import { test } from "node:test";
import { freeSlots } from "../src/free-slots.js";

const day = { from: "08:00", to: "18:00" };

test("an empty day is free as a whole", () => {
  assert.deepEqual(freeSlots([], day), [day]);
});

test("the room is free before, between and after meetings", () => {
  const meetings = [
    { from: "13:00", to: "14:00" },
    { from: "09:00", to: "10:30" },
  ];
  assert.deepEqual(freeSlots(meetings, day), [
    { from: "08:00", to: "09:00" },
    { from: "10:30", to: "13:00" },
    { from: "14:00", to: "18:00" },
  ]);
});

test("meetings that touch leave no gap", () => {
  const meetings = [
    { from: "08:00", to: "12:00" },
    { from: "12:00", to: "17:00" },
  ];
  assert.deepEqual(freeSlots(meetings, day), [{ from: "17:00", to: "18:00" }]);
});

test("a short meeting within a long one leaves no gap", () => {
  const meetings = [
    { from: "09:00", to: "16:00" },
    { from: "10:00", to: "11:00" },
  ];
  assert.deepEqual(freeSlots(meetings, day), [
    { from: "08:00", to: "09:00" },
    { from: "16:00", to: "18:00" },
  ]);
});
