import { type TaskAggregate, type TaskCell, type TaskTraits, TaskWindow } from "../metrics/task-window.ts";
import { HOUR_MS, type RowsTogether, type TimedRows } from "./task-hours.ts";
import type { TaskSegment } from "./task-segment.ts";

const REBUILD_MS = 24 * HOUR_MS;
const EXACT_MAX = 200_000;
const NO_ROWS: TimedRows = { at: new Float64Array(), seconds: new Float64Array(), trait: new Uint32Array() };

interface Reading {
  generation: number;
  rows: number;
  /** By the segment's traits; null for those of other projects. */
  cells: (TaskCell | null)[];
}

interface EdgeRow {
  at: number;
  seconds: number;
  cell: TaskCell;
}

/**
 * The tasks since a moment that moves on. New records are added as they come; those of the oldest hour stand in a queue
 * and are removed as it passes, so that asking costs the same however many there are.
 */
export class LiveWindow {
  readonly #project: string | null;
  readonly #readings = new Map<TaskSegment, Reading>();
  #window = new TaskWindow();
  #start = Number.POSITIVE_INFINITY;
  #until = Number.NEGATIVE_INFINITY;
  /** Of rows that are still to come by the clock. */
  #later: EdgeRow[] = [];
  #edge: { rows: EdgeRow[]; next: number; until: number } | null = null;
  #answer: TaskAggregate | null = null;

  constructor(project: string | null) {
    this.#project = project;
  }

  /** Of what ended from `start` to `until`. What can't be read now is left out, and taken in when it can. */
  async aggregate(
    start: number,
    until: number,
    segments: Iterable<TaskSegment>,
    again = false,
  ): Promise<TaskAggregate> {
    const touched = [...segments].filter((segment) => segment.until > Math.min(start, this.#start));
    if (this.#isStale(start, touched)) this.#reset();
    if (this.#readings.size === 0) this.#window = new TaskWindow(this.#mayBeExact(start, touched));
    this.#until = until;
    this.#takeDue();
    if (this.#start < start && !(await this.#expire(start, touched))) {
      this.#reset();
      return this.aggregate(start, until, touched, again);
    }
    this.#start = start;
    for (const segment of touched) await this.#takeNew(segment);
    this.#answer ??= this.#window.aggregate();
    // fewer by now than what made it inexact
    if (again || this.#window.exact || this.#answer.success_rate.total > EXACT_MAX) return this.#answer;
    this.#reset();
    return this.aggregate(start, until, touched, true);
  }

  #isStale(start: number, segments: readonly TaskSegment[]): boolean {
    if (start < this.#start || start - this.#start > REBUILD_MS) return true;
    return segments.some((segment) => {
      const reading = this.#readings.get(segment);
      return reading !== undefined && reading.generation !== segment.generation;
    });
  }

  /** Whole days that are too many together: their summaries do. */
  #mayBeExact(start: number, segments: readonly TaskSegment[]): boolean {
    const whole = segments.filter((segment) => this.#project === null && isWhole(segment, start));
    return whole.reduce((sum, { rows }) => sum + rows, 0) <= EXACT_MAX;
  }

  #reset(): void {
    this.#readings.clear();
    this.#start = Number.POSITIVE_INFINITY;
    this.#edge = null;
    this.#later = [];
    this.#answer = null;
  }

  async #takeNew(segment: TaskSegment): Promise<void> {
    const reading = this.#readings.get(segment) ?? { generation: segment.generation, rows: 0, cells: [] };
    this.#readings.set(segment, reading);
    if (reading.rows === 0 && this.#project === null && !this.#window.exact) await this.#takeTogether(segment, reading);
    if (reading.rows >= segment.rows) return;
    const columns = await segment.columns();
    // it may have been read anew, and be shorter
    if (columns === null || reading.rows >= segment.rows) return;
    this.#addCells(columns.traits, reading);
    this.#takeRows(columns, reading.cells, [reading.rows, segment.rows]);
    reading.rows = segment.rows;
  }

  /** What the index has added up already: all of its rows, or by the hour, with the rows of the hours that are cut. */
  async #takeTogether(segment: TaskSegment, reading: Reading): Promise<void> {
    const { summary, dayStart } = segment;
    if (summary === null || dayStart === null) return;
    if (segment.until <= this.#until && isWhole(segment, this.#start)) {
      this.#addCells(summary.traits, reading);
      this.#addTogether(summary, reading.cells);
      reading.rows = summary.rows;
      return;
    }
    const day = await segment.day();
    if (day === null) return;
    const placed = day.hours
      .map((hour) => ({ hour, start: dayStart + hour.hour * HOUR_MS }))
      .filter(({ start }) => start + HOUR_MS > this.#start);
    const isCut = (start: number) => start < this.#start || start + HOUR_MS > this.#until;
    const cut: { rows: TimedRows | null; start: number }[] = [];
    for (const { hour, start } of placed) if (isCut(start)) cut.push({ rows: await day.rows(hour), start });
    if (cut.some(({ rows }) => rows === null)) return;
    this.#addCells(summary.traits, reading);
    for (const { hour, start } of placed) if (!isCut(start)) this.#addTogether(hour, reading.cells);
    for (const { rows, start } of cut)
      if (rows) this.#takeRows(rows, reading.cells, [0, rows.at.length], [start, start + HOUR_MS]);
    reading.rows = summary.rows;
  }

  /** Of the rows `from` to before `until` those that ended within a time. */
  #takeRows(
    columns: TimedRows,
    cells: Reading["cells"],
    [from, until]: readonly [number, number],
    [since, before]: readonly [number, number] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
  ): void {
    const { trait, at } = columns;
    const [start, last, edge] = [
      Math.max(since, this.#start),
      this.#until,
      this.#edge?.until ?? Number.NEGATIVE_INFINITY,
    ];
    const isOurs = Uint8Array.from(cells, (cell) => (cell ? 1 : 0));
    const taken = new Uint32Array(until - from);
    let count = 0;
    let atEdge = 0;
    for (let row = from; row < until; row++) {
      const endedAt = at[row] as number;
      if (endedAt < start || endedAt >= before || isOurs[trait[row] as number] === 0) continue;
      if (endedAt > last) this.#put(columns, row, cells);
      else taken[count++] = row;
      if (endedAt < edge) atEdge++;
    }
    this.#window.addRows(cells, columns, taken.subarray(0, count));
    if (count > 0) this.#answer = null;
    if (atEdge > 0) this.#edge = null;
  }

  /** Aside, until its time comes. */
  #put({ at, seconds, trait }: TimedRows, row: number, cells: Reading["cells"]): void {
    const cell = cells[trait[row] as number];
    if (cell) this.#later.push({ at: at[row] as number, seconds: seconds[row] as number, cell });
  }

  #add(cell: TaskCell, at: number, seconds: number): void {
    this.#window.add(cell, seconds);
    this.#answer = null;
    if (this.#edge && at < this.#edge.until) this.#edge = null;
  }

  #takeDue(): void {
    if (!this.#later.some(({ at }) => at <= this.#until)) return;
    for (const { cell, at, seconds } of this.#later) if (at <= this.#until) this.#add(cell, at, seconds);
    this.#later = this.#later.filter(({ at }) => at > this.#until);
  }

  #addTogether({ counts, seconds, bins }: RowsTogether, cells: Reading["cells"]): void {
    for (const [id, cell] of cells.entries()) {
      if (!cell) continue;
      this.#window.count(cell, counts[id] ?? 0);
      this.#window.addSeconds(cell, seconds[id] ?? 0);
    }
    this.#window.addBins(bins);
    this.#answer = null;
  }

  #addCells(traits: readonly TaskTraits[], reading: Reading): void {
    for (const found of traits.slice(reading.cells.length)) {
      const ours = this.#project === null || found.project === this.#project;
      reading.cells.push(ours ? this.#window.cellOf(found) : null);
    }
  }

  /** False when it can't be read what is to be taken out. */
  async #expire(start: number, segments: readonly TaskSegment[]): Promise<boolean> {
    for (let from = this.#start; from < start; ) {
      this.#edge ??= await this.#collect(from, segments);
      if (this.#edge === null) return false;
      const { rows, until } = this.#edge;
      for (let row = rows[this.#edge.next]; row && row.at < start; row = rows[++this.#edge.next]) {
        this.#window.remove(row.cell, row.seconds);
        this.#answer = null;
      }
      from = until;
      if (start >= until) this.#edge = null;
    }
    return true;
  }

  /** The rows of the hour that begins at or before `from`, from there on, oldest first. */
  async #collect(from: number, segments: readonly TaskSegment[]) {
    const until = (Math.floor(from / HOUR_MS) + 1) * HOUR_MS;
    const rows: EdgeRow[] = [];
    for (const segment of segments) {
      const reading = this.#readings.get(segment);
      if (!reading?.rows || segment.until <= from || (segment.dayStart ?? from) >= until) continue;
      const found = await this.#rowsOfHour(segment, reading, until - HOUR_MS);
      if (found === null) return null;
      const { at, seconds, trait } = found;
      for (let row = 0; row < Math.min(at.length, reading.rows); row++) {
        const [endedAt, cell] = [at[row] as number, reading.cells[trait[row] as number]];
        if (cell && endedAt >= from && endedAt < until)
          rows.push({ at: endedAt, seconds: seconds[row] as number, cell });
      }
    }
    rows.sort((a, b) => a.at - b.at);
    return { rows, next: 0, until };
  }

  /** And perhaps some of others; null when they can't be read. */
  async #rowsOfHour(segment: TaskSegment, reading: Reading, start: number): Promise<TimedRows | null> {
    const { summary, dayStart } = segment;
    if (summary === null || dayStart === null || reading.rows !== summary.rows) return segment.columns();
    const day = await segment.day();
    if (day === null) return segment.columns();
    const hour = day.hours.find((one) => dayStart + one.hour * HOUR_MS === start);
    return hour ? ((await day.rows(hour)) ?? segment.columns()) : NO_ROWS;
  }
}

/** Whether all of its records end at `start` or later. */
function isWhole({ dayStart }: TaskSegment, start: number): boolean {
  return dayStart !== null && dayStart >= start;
}
