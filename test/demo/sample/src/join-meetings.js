/** Joins meetings that overlap or touch. The result is sorted and has a gap between any two of its parts. */
export function joinMeetings(meetings) {
  const sorted = [...meetings].sort((a, b) => a.start - b.start);
  const joined = [];
  for (const meeting of sorted) {
    const last = joined.at(-1);
    if (last && meeting.start <= last.end) {
      last.end = meeting.end;
    } else {
      joined.push({ ...meeting });
    }
  }
  return joined;
}
