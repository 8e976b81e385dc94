import { join } from "node:path";
import { Scoreboard, type ScoreboardKey, type ScoreboardRow } from "../metrics/scoreboard.ts";
import type { TaskAggregate } from "../metrics/task-window.ts";
import { codeOf } from "../system/errors.ts";
import type { Clock, Files } from "../system/world.ts";
import type { TaskColumns } from "./task-columns.ts";
import { LiveWindow } from "./task-live-window.ts";
import { dayStartOf } from "./task-scan.ts";
import { TaskSegment } from "./task-segment.ts";

export const WEEK_MS = 7 * 86_400_000;
const DAY_MS = 86_400_000;
const NAME = /^(\d{4}-\d\d-\d\d)\.(?:jsonl|kept)$/;
const LOOK_AGAIN_MS = 1000;
const LIST_AGAIN_MS = 10_000;
const WINDOWS_MAX = 8;
/** What ended later than so long after now has not ended: another machine's clock was wrong. */
export const CLOCK_SKEW_MS = 60_000;
/** Raw records stay so long; what questions need of them stays for good. */
export const RAW_DAYS = 90;

interface TaskMetricsHealth {
  records: number;
  /** Lines that hold no record: torn, damaged, or in another day's file. */
  badLines: number;
  files: number;
  /** Files and folders that could not be read. */
  unreadable: Unreadable[];
}

export interface Unreadable {
  path: string;
  /** The system's. */
  code: string;
}

/** What was kept of the tasks of one project, across sessions and processes. Questions never reject for bad files. */
export class TaskMetrics {
  readonly #world: { files: Files; clock: Clock };
  readonly #folder: string;
  readonly #segments = new Map<string, TaskSegment>();
  readonly #windows = new Map<string, LiveWindow>();
  #unlisted: Unreadable | null = null;
  #listedAt = Number.NEGATIVE_INFINITY;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(world: { files: Files; clock: Clock }, crewRoot: string) {
    this.#world = world;
    this.#folder = join(crewRoot, "metrics");
    const all = new TaskSegment(world.files, this.#folder, "tasks", null);
    this.#segments.set(all.name, all);
  }

  /** Of the tasks that ended in the last `windowMs`; zeros when there are none. */
  aggregate({ windowMs = WEEK_MS, project = null }: { windowMs?: number; project?: string | null } = {}) {
    return this.#inTurn(async (): Promise<TaskAggregate> => {
      const start = this.#world.clock.now() - windowMs;
      await this.#refresh(start);
      const until = start + windowMs + CLOCK_SKEW_MS;
      const answer = await this.#window(windowMs, project).aggregate(start, until, this.#segments.values());
      this.#release(start);
      return answer;
    });
  }

  scoreboard(asked: {
    windowMs?: number;
    project?: string | null;
    by: readonly ScoreboardKey[];
  }): Promise<ScoreboardRow[]> {
    const { windowMs = WEEK_MS, project = null, by } = asked;
    return this.#inTurn(async () => {
      const now = this.#world.clock.now();
      const start = now - windowMs;
      await this.#refresh(start);
      const board = new Scoreboard(by);
      for (const segment of this.#since(start)) {
        const columns = await segment.columns();
        if (columns !== null) addRows(board, columns, { start, until: now + CLOCK_SKEW_MS, project });
        this.#release(start);
      }
      return board.rows();
    });
  }

  health(): Promise<TaskMetricsHealth> {
    return this.#inTurn(async () => {
      await this.#refresh(Number.NEGATIVE_INFINITY);
      const segments = [...this.#segments.values()];
      this.#release(Number.POSITIVE_INFINITY);
      return {
        records: segments.reduce((sum, { rows }) => sum + rows, 0),
        badLines: segments.reduce((sum, { badLines }) => sum + badLines, 0),
        files: segments.filter(({ rows, badLines }) => rows + badLines > 0).length,
        unreadable: this.unreadable(),
      };
    });
  }

  /** What the questions so far could not read. */
  unreadable(): Unreadable[] {
    const failed = [...this.#segments.values()].filter(({ failure }) => failure !== "");
    const files = failed.map(({ path, failure }) => ({ path, code: failure }));
    return this.#unlisted ? [...files, this.#unlisted] : files;
  }

  /**
   * Removes whole days of raw records that are too old; what questions need of them stays, a tenth of it. Returns how many.
   */
  retain(rawDays = RAW_DAYS): Promise<number> {
    return this.#inTurn(async () => {
      const { clock } = this.#world;
      await this.#list(clock.now());
      let removed = 0;
      for (const segment of this.#segments.values()) {
        const age = clock.now() - segment.until;
        if (age > rawDays * DAY_MS && (await segment.retire())) removed++;
        segment.release();
      }
      return removed;
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  #since(start: number): TaskSegment[] {
    return [...this.#segments.values()].filter(({ until }) => until > start);
  }

  /** Closed days are looked at once a second; files that tasks end up in now, each time. */
  async #refresh(start: number): Promise<void> {
    const now = this.#world.clock.now();
    const isFresh = (at: number, ms = LOOK_AGAIN_MS) => now >= at && now - at < ms;
    const isAll = start === Number.NEGATIVE_INFINITY;
    if (isAll || this.#unlisted || !isFresh(this.#listedAt, LIST_AGAIN_MS)) await this.#list(now);
    for (const at of [now - DAY_MS, now]) this.#segment(new Date(at).toISOString().slice(0, 10));
    let sealed: Promise<unknown> = Promise.resolve();
    for (const segment of this.#since(start)) {
      if (segment.until <= now - DAY_MS && segment.failure === "" && isFresh(segment.lookedAt)) continue;
      segment.lookedAt = now;
      await segment.refresh();
      // one is written while the next is read; one that can't be kept costs the next start some time, nothing else
      await sealed;
      const sealing = segment.seal(segment.until <= now - DAY_MS).catch(() => undefined);
      // what nobody asks for soon
      sealed = isAll ? sealing.then(() => segment.release()) : sealing;
    }
    await sealed;
  }

  async #list(now: number): Promise<void> {
    this.#listedAt = now;
    const { files } = this.#world;
    const tasks = join(this.#folder, "tasks");
    this.#unlisted = null;
    try {
      for (const name of await files.list(tasks)) {
        const date = NAME.exec(name)?.[1];
        if (date !== undefined) this.#segment(date);
      }
      for (const path of [this.#folder, tasks])
        if (files.factsNow(path)?.kind === "file") this.#unlisted ??= { path, code: "ENOTDIR" };
    } catch (error) {
      this.#unlisted = { path: tasks, code: codeOf(error) };
    }
  }

  #segment(date: string): void {
    const dayStart = dayStartOf(date);
    if (this.#segments.has(date) || Number.isNaN(dayStart)) return;
    this.#segments.set(date, new TaskSegment(this.#world.files, join(this.#folder, "tasks"), date, dayStart));
  }

  /** Keeps in memory what the next question needs: the first day of the window, and those that still grow. */
  #release(start: number): void {
    const recent = this.#world.clock.now() - DAY_MS;
    for (const segment of this.#segments.values()) {
      const isEdge = (segment.dayStart ?? start) <= start && segment.until > start;
      if (!isEdge && segment.until <= recent) segment.release();
    }
  }

  #window(windowMs: number, project: string | null): LiveWindow {
    const key = JSON.stringify([windowMs, project]);
    const window = this.#windows.get(key) ?? new LiveWindow(project);
    this.#windows.delete(key);
    this.#windows.set(key, window);
    const [oldest] = this.#windows.keys();
    if (this.#windows.size > WINDOWS_MAX && oldest !== undefined) this.#windows.delete(oldest);
    return window;
  }
}

function addRows(
  board: Scoreboard,
  columns: TaskColumns,
  { start, until, project }: { start: number; until: number; project: string | null },
): void {
  for (let row = 0; row < columns.rows; row++) {
    const traits = columns.traits[columns.trait[row] as number];
    const at = columns.at[row] as number;
    if (!traits || at < start || at > until || (project !== null && traits.project !== project)) continue;
    const [tokens, costUsd] = [columns.tokens[row] as number, columns.costUsd[row] as number];
    const [seconds, wastedUsd] = [columns.seconds[row] as number, columns.wastedUsd[row] as number];
    board.add(traits, { seconds, tokens, costUsd, wastedUsd });
  }
}
