import { type TaskAggregate, type TaskCell, type TaskTraits, TaskWindow } from "../metrics/task-window.ts";
import type { ColumnsHead, TaskColumns } from "./task-columns.ts";
import type { TaskSegment } from "./task-segment.ts";

const HOUR_MS = 3_600_000;
const REBUILD_MS = 24 * HOUR_MS;
const EXACT_MAX = 200_000;

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
  async aggregate(start: number, until: number, segments: Iterable<TaskSegment>): Promise<TaskAggregate> {
    const touched = [...segments].filter((segment) => segment.until > Math.min(start, this.#start));
    if (this.#isStale(start, touched)) this.#reset();
    if (this.#readings.size === 0) this.#window = new TaskWindow(this.#mayBeExact(start, touched));
    this.#until = until;
    this.#takeDue();
    if (this.#start < start && !(await this.#expire(start, touched))) {
      this.#reset();
      return this.aggregate(start, until, touched);
    }
    this.#start = start;
    for (const segment of touched) await this.#takeNew(segment);
    this.#answer ??= this.#window.aggregate();
    // fewer by now than what made it inexact
    if (this.#window.exact || this.#answer.success_rate.total > EXACT_MAX) return this.#answer;
    this.#reset();
    return this.aggregate(start, until, touched);
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
    const { summary } = segment;
    const isPast = segment.until <= this.#until;
    const isSummed = this.#project === null && !this.#window.exact && isPast && isWhole(segment, this.#start);
    if (summary && isSummed && reading.rows === 0) this.#takeSummary(summary, reading);
    if (reading.rows >= segment.rows) return;
    const columns = await segment.columns();
    if (columns === null) return;
    this.#addCells(columns.traits, reading);
    this.#takeRows(columns, reading, segment.rows);
    reading.rows = segment.rows;
  }

  /** Many rows and few traits: each is counted with the others of its traits first. */
  #takeRows({ trait, at, seconds }: TaskColumns, { cells, rows }: Reading, until: number): void {
    const counts = new Float64Array(cells.length);
    for (let row = rows; row < until; row++) {
      const id = trait[row] as number;
      const cell = cells[id];
      const endedAt = at[row] as number;
      if (!cell || endedAt < this.#start) continue;
      const took = seconds[row] as number;
      if (endedAt > this.#until) {
        this.#later.push({ at: endedAt, seconds: took, cell });
        continue;
      }
      counts[id] = (counts[id] as number) + 1;
      this.#window.addDuration(cell, took);
      if (this.#edge && endedAt < this.#edge.until) this.#edge = null;
    }
    for (const [id, cell] of cells.entries()) if (cell) this.#window.count(cell, counts[id] as number);
    this.#answer = null;
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

  #takeSummary({ rows, traits, counts, seconds, bins }: ColumnsHead, reading: Reading): void {
    this.#addCells(traits, reading);
    for (const [id, cell] of reading.cells.entries()) {
      if (!cell) continue;
      this.#window.count(cell, counts[id] ?? 0);
      this.#window.addSeconds(cell, seconds[id] ?? 0);
    }
    this.#window.addBins(bins);
    this.#answer = null;
    reading.rows = rows;
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
      const columns = await segment.columns();
      if (columns === null) return null;
      for (let row = 0; row < reading.rows; row++) {
        const at = columns.at[row] as number;
        const cell = reading.cells[columns.trait[row] as number];
        if (cell && at >= from && at < until) rows.push({ at, seconds: columns.seconds[row] as number, cell });
      }
    }
    rows.sort((a, b) => a.at - b.at);
    return { rows, next: 0, until };
  }
}

/** Whether all of its records end at `start` or later. */
function isWhole({ dayStart }: TaskSegment, start: number): boolean {
  return dayStart !== null && dayStart >= start;
}
