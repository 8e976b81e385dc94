import { join } from "node:path";
import { summarise } from "../metrics/day-summary.ts";
import type { MetricsSnapshot, SeriesLabels } from "../metrics/snapshot.ts";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";

const WRITE_EVERY_MS = 60_000;
const DAY_MS = 86_400_000;
const DAY_FILE = /^\d{4}-\d{2}-\d{2}\.jsonl$/;
const LINE_BYTES_MAX = 8 * 1024 * 1024;

export interface MetricSinkOptions {
  world: Pick<World, "clock" | "files" | "log">;
  /** Where the project keeps its state; null as long as there is no such place: then nothing is written. */
  crewRoot: () => Promise<string | null>;
  session: string;
  /** When the session began, which is what the metrics count from: milliseconds since 1970. */
  startedAtMs: number;
  snapshot: () => MetricsSnapshot;
  /** Masks secrets in the values of labels. */
  redact: (labels: SeriesLabels) => SeriesLabels;
  /** Days whose files stay, today not counted. */
  retentionDays: number;
}

/**
 * The session's metrics in `<crewRoot>/state/metrics/<YYYY-MM-DD>.jsonl` (UTC): every minute in which something moved
 * and at the end, one line `{exportedAt, session, startedAt, snapshots}`, one write. Values are those since
 * `startedAt`: the last line of a session holds all it counted, and sessions may be added up. Series that are zero
 * are left out. When a day or the session ends, a line `{exportedAt, session, startedAt, summary}` tells what
 * happened in the day's part of the session.
 *
 * Several processes append to the same file; a killed one may leave a torn line, which readers skip.
 */
export class MetricSink {
  readonly #options: MetricSinkOptions;
  readonly #startedAt: string;
  readonly #timer: Disposable;
  /** What the day's summary begins with. */
  #since: { day: string; at: string; snapshots: MetricsSnapshot };
  #written = "[]";
  #warned = false;
  #cleanedOn = "";
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: MetricSinkOptions) {
    this.#options = options;
    this.#startedAt = new Date(options.startedAtMs).toISOString();
    this.#since = { day: dayOf(this.#startedAt), at: this.#startedAt, snapshots: [] };
    this.#timer = options.world.clock.every(WRITE_EVERY_MS, () => void this.write());
  }

  /** Writes what has moved since the last line. Never rejects: what can't be written is told to the log, once. */
  write(): Promise<void> {
    return this.#inTurn(false);
  }

  /** Writes the last lines. To be called while the metrics are still registered; idempotent. */
  close(): Promise<void> {
    this.#timer[Symbol.dispose]();
    const written = this.#inTurn(true);
    this.#closed = true;
    return written;
  }

  #inTurn(last: boolean): Promise<void> {
    if (this.#closed) return this.#turn;
    // taken now: when its turn comes the registry may be disposed of
    const snapshots = this.#moved();
    const exportedAt = this.#now();
    this.#turn = this.#turn
      .then(() => this.#append(snapshots, exportedAt, last))
      .then(() => {
        this.#warned = false;
      })
      .catch((error: unknown) => {
        if (!this.#warned) this.#options.world.log.warn("metrics can't be kept", { error: messageOf(error) });
        this.#warned = true;
      });
    return this.#turn;
  }

  async #append(snapshots: MetricsSnapshot, exportedAt: string, last: boolean): Promise<void> {
    const text = JSON.stringify(this.#redacted(snapshots));
    const day = dayOf(exportedAt);
    const dayEnds = last || day !== this.#since.day;
    const metrics = dayEnds ? summarise(this.#since.snapshots, snapshots) : [];
    const moved = metrics.some(({ series }) => series.some(({ kind }) => kind !== "gauge"));
    if (text !== this.#written || moved) {
      const root = await this.#options.crewRoot();
      if (root === null) return;
      const folder = join(root, "state", "metrics");
      await this.#prepare(folder, day);
      const head = { exportedAt, session: this.#options.session, startedAt: this.#startedAt };
      const start = JSON.stringify(head).slice(0, -1);
      if (text !== this.#written) await this.#appendLine(folder, day, `${start},"snapshots":${text}}`);
      this.#written = text;
      const summary = { from: this.#since.at, to: exportedAt, metrics: this.#redacted(metrics) };
      if (moved) await this.#appendLine(folder, this.#since.day, JSON.stringify({ ...head, summary }));
    }
    if (dayEnds) this.#since = { day, at: exportedAt, snapshots };
  }

  async #appendLine(folder: string, day: string, line: string): Promise<void> {
    const { files } = this.#options.world;
    if (Buffer.byteLength(line) > LINE_BYTES_MAX)
      throw new Error(`a line of ${Buffer.byteLength(line)} bytes is more than ${LINE_BYTES_MAX}`);
    const path = join(folder, `${day}.jsonl`);
    const handle = files.openLines(path);
    try {
      handle.write(`${line}\n`);
    } finally {
      handle.close();
    }
  }

  /** Makes the folder and, once a day, removes the files of days that are too long ago. */
  async #prepare(folder: string, day: string): Promise<void> {
    if (this.#cleanedOn === day) return;
    const { clock, files } = this.#options.world;
    await files.makeFolder(folder);
    const facts = await files.facts(folder);
    if (facts?.kind !== "directory") throw new Error(`${folder} is a ${facts?.kind ?? "missing folder"}`);
    const oldest = dayOf(new Date(clock.now() - this.#options.retentionDays * DAY_MS).toISOString());
    for (const name of await files.list(folder))
      if (DAY_FILE.test(name) && name.slice(0, 10) < oldest) await files.remove(join(folder, name));
    this.#cleanedOn = day;
  }

  #moved(): MetricsSnapshot {
    return this.#options.snapshot().flatMap((metric): MetricsSnapshot => {
      const moved =
        metric.kind === "histogram"
          ? { ...metric, series: metric.series.filter(({ count }) => count > 0) }
          : { ...metric, series: metric.series.filter(({ value }) => value !== 0) };
      return moved.series.length === 0 ? [] : [moved];
    });
  }

  #redacted<M extends { readonly series: readonly { readonly labels: SeriesLabels }[] }>(metrics: readonly M[]): M[] {
    const { redact } = this.#options;
    return metrics.map((metric) => ({
      ...metric,
      series: metric.series.map((series) => ({ ...series, labels: redact(series.labels) })),
    }));
  }

  #now(): string {
    return new Date(this.#options.world.clock.now()).toISOString();
  }
}

/** Of an ISO time in UTC: `YYYY-MM-DD`. */
function dayOf(iso: string): string {
  return iso.slice(0, 10);
}
