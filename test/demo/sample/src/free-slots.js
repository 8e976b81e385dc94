import { toMinutes, toTime } from "./clock-time.js";
import { joinMeetings } from "./join-meetings.js";

/** The times of a day in which the room is free, as { from, to } like its parameters. */
export function freeSlots(meetings, day) {
  const closes = toMinutes(day.to);
  const busy = joinMeetings(meetings.map(({ from, to }) => ({ start: toMinutes(from), end: toMinutes(to) })));
  const slots = [];
  let free = toMinutes(day.from);
  for (const { start, end } of busy) {
    if (start > free) slots.push({ from: toTime(free), to: toTime(Math.min(start, closes)) });
    free = Math.max(free, end);
    if (free >= closes) return slots;
  }
  slots.push({ from: toTime(free), to: toTime(closes) });
  return slots;
}
