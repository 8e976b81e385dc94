import { DurationBins } from "../metrics/duration-bins.ts";
import type { Files } from "../system/world.ts";
import { sumOf } from "./task-line.ts";

export const HOUR_MS = 3_600_000;
const HOURS = 24;

/** Many rows together: of each of the traits how many, and their seconds in all. */
export interface RowsTogether {
  counts: number[];
  seconds: number[];
  /** `DurationBins.bins`. */
  bins: number[];
}

/** What ended in one hour of a day, from 0. Its rows are among those from `first` to before `until`. */
export interface HourTogether extends RowsTogether {
  hour: number;
  first: number;
  until: number;
  /** Over these rows' times, seconds and traits. */
  sums: [at: number, seconds: number, trait: number];
}

/** The columns that questions about time need. */
export interface TimedRows {
  at: Float64Array;
  seconds: Float64Array;
  trait: Uint32Array;
}

/** Where the columns of an index begin in its file, one behind the other. */
export interface ColumnPlaces {
  at: number;
  seconds: number;
  trait: number;
}

/** Of some rows of columns; `traits` is how many of them there are. */
function togetherOf({ seconds, trait }: TimedRows, traits: number, rows: Uint32Array): RowsTogether {
  const [counts, sums] = [new Float64Array(traits), new Float64Array(traits)];
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as number;
    const id = trait[row] as number;
    counts[id] = (counts[id] as number) + 1;
    sums[id] = (sums[id] as number) + (seconds[row] as number);
  }
  const durations = new DurationBins(0);
  durations.addRows(seconds, rows);
  return { counts: [...counts], seconds: [...sums], bins: durations.bins() };
}

/** The first `rows` by the hour, those hours that have any. Without a day's start they are one hour. */
export function hoursOf(columns: TimedRows, traits: number, rows: number, dayStart: number | null): HourTogether[] {
  const hours = new Uint8Array(rows);
  const ends = new Uint32Array(HOURS);
  for (let row = 0; row < rows; row++) {
    const hour = dayStart === null ? 0 : Math.floor(((columns.at[row] as number) - dayStart) / HOUR_MS);
    hours[row] = hour;
    ends[hour] = (ends[hour] as number) + 1;
  }
  for (let hour = 1; hour < HOURS; hour++) ends[hour] = (ends[hour] as number) + (ends[hour - 1] as number);
  const next = Uint32Array.from(ends, (_, hour) => ends[hour - 1] ?? 0);
  const sorted = new Uint32Array(rows);
  for (let row = 0; row < rows; row++) {
    const hour = hours[row] as number;
    sorted[next[hour] as number] = row;
    next[hour] = (next[hour] as number) + 1;
  }
  return Array.from(ends, (end, hour) => ({ hour, its: sorted.subarray(ends[hour - 1] ?? 0, end) }))
    .filter(({ its }) => its.length > 0)
    .map(({ hour, its }) => {
      const [first, until] = [its[0] as number, (its.at(-1) as number) + 1];
      const sums = sumsOf(slice(columns, first, until));
      return { hour, first, until, sums, ...togetherOf(columns, traits, its) };
    });
}

/** Of parts that have no row in common. */
export function sumOfParts(parts: readonly RowsTogether[], traits: number): RowsTogether {
  const [counts, seconds] = [new Array<number>(traits).fill(0), new Array<number>(traits).fill(0)];
  const durations = new DurationBins(0);
  for (const part of parts) {
    for (let id = 0; id < traits; id++) {
      counts[id] = (counts[id] as number) + (part.counts[id] as number);
      seconds[id] = (seconds[id] as number) + (part.seconds[id] as number);
    }
    durations.addBins(part.bins);
  }
  return { counts, seconds, bins: durations.bins() };
}

/** Reads an hour's rows, and some of others where they came mixed. Null when they are no longer what they were. */
export async function readRows(
  files: Files,
  path: string,
  places: ColumnPlaces,
  { first, until, sums }: HourTogether,
): Promise<TimedRows | null> {
  const read = async (place: number, bytesEach: number) => {
    const bytes = await files.readRange(path, place + first * bytesEach, (until - first) * bytesEach);
    // typed arrays want them at multiples of their size
    return bytes && new Uint8Array(bytes).buffer;
  };
  const [at, seconds, trait] = [await read(places.at, 8), await read(places.seconds, 8), await read(places.trait, 4)];
  const rows = until - first;
  if (at?.byteLength !== rows * 8 || seconds?.byteLength !== rows * 8 || trait?.byteLength !== rows * 4) return null;
  const found = { at: new Float64Array(at), seconds: new Float64Array(seconds), trait: new Uint32Array(trait) };
  return sumsOf(found).every((sum, i) => sum === sums[i]) ? found : null;
}

function slice({ at, seconds, trait }: TimedRows, first: number, until: number): TimedRows {
  return { at: at.slice(first, until), seconds: seconds.slice(first, until), trait: trait.slice(first, until) };
}

function sumsOf({ at, seconds, trait }: TimedRows): HourTogether["sums"] {
  const sum = ({ buffer, length, BYTES_PER_ELEMENT }: Float64Array | Uint32Array) =>
    sumOf(new Int32Array(buffer), 0, (length * BYTES_PER_ELEMENT) >> 2, 1);
  return [sum(at), sum(seconds), sum(trait)];
}
