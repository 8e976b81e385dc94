/** Minutes of the local day; over midnight when the end is the smaller one. */
export interface QuietHours {
  startMinute: number;
  endMinute: number;
}

/** Of `22:00-07:00`; null for none, and where start and end are the same. */
export function parseQuietHours(text: string): QuietHours | null {
  const match = /^(\d\d):(\d\d)-(\d\d):(\d\d)$/.exec(text);
  if (!match) return null;
  const [startHour = 0, startMin = 0, endHour = 0, endMin = 0] = match.slice(1).map(Number);
  const hours = { startMinute: startHour * 60 + startMin, endMinute: endHour * 60 + endMin };
  return hours.startMinute === hours.endMinute ? null : hours;
}

/** When the quiet hours that hold at `now` end, milliseconds since 1970; null when none do. */
export function quietUntil(hours: QuietHours | null, now: number): number | null {
  if (hours === null) return null;
  const date = new Date(now);
  const minute = date.getHours() * 60 + date.getMinutes();
  const { startMinute, endMinute } = hours;
  const overMidnight = startMinute > endMinute;
  const quiet = overMidnight
    ? minute >= startMinute || minute < endMinute
    : minute >= startMinute && minute < endMinute;
  if (!quiet) return null;
  // by calendar, not by adding hours: a night in which clocks are changed is longer or shorter
  if (minute >= endMinute) date.setDate(date.getDate() + 1);
  date.setHours(Math.floor(endMinute / 60), endMinute % 60, 0, 0);
  return date.getTime();
}
