/** "09:30" as minutes since midnight; 24:00 is the end of the day. */
export function toMinutes(time) {
  const [, hours, minutes] = /^(\d{2}):([0-5]\d)$/.exec(time) ?? [];
  const total = Number(hours) * 60 + Number(minutes);
  if (!(total <= 24 * 60)) throw new RangeError(`not a time of day: ${time}`);
  return total;
}

/** The reverse of toMinutes. */
export function toTime(minutes) {
  const pad = (number) => String(number).padStart(2, "0");
  return `${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`;
}
