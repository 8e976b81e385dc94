import type { MetricsSnapshot } from "../metrics/snapshot.ts";
import { messageOf } from "../system/errors.ts";
import type { Log } from "../system/world.ts";

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
  pushed: number;
  failed: number;
  skipped: number;
  lastError: string | null;
  busy: boolean;
}

/**
 * Many exporters as one. Each gets every snapshot; none waits for another, and what one of them throws is counted and
 * reaches nobody. One that is slow misses snapshots: it is never given two at once.
 */
export class CompositeExporter implements Exporter {
  readonly name = "all exporters";
  readonly #members: Member[];
  readonly #warn: Log["warn"];

  /** `warn` hears of the first failure in a row of each exporter. */
  constructor(exporters: readonly Exporter[], warn: Log["warn"]) {
    this.#members = exporters.map((exporter) => {
      return { exporter, pushed: 0, failed: 0, skipped: 0, lastError: null, busy: false };
    });
    this.#warn = warn;
  }

  /** Never rejects; resolves when each has ended this push. */
  async push(snapshot: MetricsSnapshot): Promise<void> {
    await Promise.all(this.#members.map((member) => this.#pushTo(member, snapshot)));
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#members.map((member) => this.#disposeOf(member)));
  }

  counts(): ExporterCounts[] {
    return this.#members.map(({ exporter, pushed, failed, skipped, lastError }) => {
      return { name: exporter.name, pushed, failed, skipped, lastError };
    });
  }

  async #pushTo(member: Member, snapshot: MetricsSnapshot): Promise<void> {
    if (member.busy) {
      member.skipped++;
      return;
    }
    member.busy = true;
    try {
      await member.exporter.push(snapshot);
      member.pushed++;
      member.lastError = null;
    } catch (error) {
      this.#failed(member, error);
    } finally {
      member.busy = false;
    }
  }

  async #disposeOf(member: Member): Promise<void> {
    try {
      await member.exporter.dispose();
    } catch (error) {
      this.#failed(member, error);
    }
  }

  #failed(member: Member, error: unknown): void {
    member.failed++;
    if (member.lastError === null) this.#warn(`${member.exporter.name}: ${messageOf(error)}`);
    member.lastError = messageOf(error);
  }
}
