import type { MetricsSnapshot } from "../metrics/snapshot.ts";
import { messageOf } from "../system/errors.ts";
import type { Clock, Log } from "../system/world.ts";

const PUSH_EVERY_MS = 60_000;

/** Sends metrics somewhere. */
export interface Exporter {
  /** For people: in warnings and in what the doctor shows. */
  readonly name: string;
  /** Resolves when the snapshot has arrived; rejects with a sentence when it has not. */
  push(snapshot: MetricsSnapshot): Promise<void>;
  /** Resolves when nothing of it runs any more. */
  dispose(): Promise<void>;
}

export interface ExporterCounts {
  readonly name: string;
  readonly pushed: number;
  readonly failed: number;
  /** Snapshots it was not given because an earlier one was still under way. */
  readonly skipped: number;
  /** Of the last push that failed; null when there was none. */
  readonly lastError: string | null;
}

interface Member {
  readonly exporter: Exporter;
  /** As it was when it came: what others give may change, or throw when it is read. */
  readonly name: string;
  pushed: number;
  failed: number;
  skipped: number;
  lastError: string | null;
  underWay: Promise<void> | null;
}

interface ExportersParts {
  readonly clock: Pick<Clock, "every" | "sleep">;
  readonly snapshot: () => MetricsSnapshot;
  /** Hears of the first failure in a row of each exporter. */
  readonly warn: Log["warn"];
}

/**
 * Exporters that get a snapshot each minute, until the end. None waits for another, and what one of them throws is
 * counted and reaches nobody. One that is slow misses snapshots: it is never given two at once.
 */
export class Exporters {
  readonly #parts: ExportersParts;
  readonly #members: Member[] = [];
  readonly #timer: Disposable;
  #ended = false;

  constructor(parts: ExportersParts) {
    this.#parts = parts;
    this.#timer = parts.clock.every(PUSH_EVERY_MS, () => void this.push());
  }

  /** What is no exporter, or comes after the end, is not added. Never throws. */
  add(exporter: Exporter): void {
    if (this.#ended) return;
    try {
      const { name, push, dispose } = exporter;
      if (typeof name !== "string" || typeof push !== "function" || typeof dispose !== "function")
        throw new TypeError("it must have a name (text), push and dispose (functions)");
      this.#members.push({ exporter, name, pushed: 0, failed: 0, skipped: 0, lastError: null, underWay: null });
    } catch (error) {
      this.#parts.warn(`an exporter can't be used: ${messageOf(error)}`);
    }
  }

  /** Never rejects; resolves when each has ended this push. */
  async push(): Promise<void> {
    if (this.#members.length === 0) return;
    const snapshot = this.#parts.snapshot();
    await Promise.all(
      this.#members.map((member) => {
        if (member.underWay === null) return this.#pushTo(member, snapshot);
        member.skipped++;
        return undefined;
      }),
    );
  }

  counts(): ExporterCounts[] {
    return this.#members.map(({ name, pushed, failed, skipped, lastError }) => {
      return { name, pushed, failed, skipped, lastError };
    });
  }

  /**
   * A last push to each, after the one under way, for which it has `limitMs`, and its disposal. Never rejects; to be
   * called once, while the metrics are still registered. Waits for a disposal as long as it takes.
   */
  async end(limitMs: number): Promise<void> {
    this.#ended = true;
    this.#timer[Symbol.dispose]();
    if (this.#members.length === 0) return;
    const snapshot = this.#parts.snapshot();
    await Promise.all(this.#members.map((member) => this.#endOf(member, snapshot, limitMs)));
  }

  #pushTo(member: Member, snapshot: MetricsSnapshot): Promise<void> {
    const pushed = this.#call(member, async () => {
      await member.exporter.push(snapshot);
      member.pushed++;
      member.lastError = null;
    });
    member.underWay = pushed.then(() => {
      member.underWay = null;
    });
    return member.underWay;
  }

  async #endOf(member: Member, snapshot: MetricsSnapshot, limitMs: number): Promise<void> {
    const done = new AbortController();
    let late = false;
    const pushed = Promise.resolve(member.underWay)
      .then(() => (late ? undefined : this.#pushTo(member, snapshot)))
      .then(() => done.abort());
    await Promise.race([pushed, this.#parts.clock.sleep(limitMs, done.signal)]);
    late = true;
    await this.#call(member, () => member.exporter.dispose());
  }

  async #call(member: Member, call: () => Promise<void>): Promise<void> {
    try {
      await call();
    } catch (error) {
      const message = messageOf(error);
      member.failed++;
      if (member.lastError === null) this.#parts.warn(`${member.name}: ${message}`);
      member.lastError = message;
    }
  }
}
