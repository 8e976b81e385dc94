import { messageOf } from "../system/errors.ts";
import { cutText, safeText } from "../system/safe-text.ts";
import type { Clock, Log } from "../system/world.ts";
import { DedupWindow, HeldNotices, SEVERITY_RANK } from "./notification-windows.ts";
import type { Severity } from "./output.ts";
import { type QuietHours, quietUntil } from "./quiet-hours.ts";

const BURST_MS = 5000;
const ALERTS_IN_FLIGHT_MAX = 50;
const RECORDS_IN_FLIGHT_MAX = 1000;
const MESSAGE_CHARS_MAX = 2000;
const NAME_CHARS_MAX = 200;
const SUMMARY_LINES_MAX = 5;
const SUMMARY_LINE_CHARS_MAX = 160;
/** A timer over hours would miss what the machine slept through. */
const QUIET_LOOK_MS = 60_000;
const QUIET_LOOK_MS_MIN = 1000;
const FLUSH_MS = 2000;

/** What is told to the user beside the work. */
export interface Notification {
  /** Notices with the same id are one within the dedup window, such as `dead_<runId>_<taskId>`. */
  id: string;
  severity: Severity;
  /** The part that tells, such as `heartbeat`. */
  source: string;
  message: string;
  runId?: string;
  /** Instead of the usual window, such as an hour. */
  dedupMs?: number;
}

/** A notice as sinks get it: redacted, cut, without terminal escapes. */
export interface Notice {
  id: string;
  severity: Severity;
  source: string;
  message: string;
  runId: string | null;
  /** Milliseconds since 1970. */
  at: number;
}

export interface NotificationSink {
  readonly name: string;
  /** A rejection is shown once through the other sinks. */
  send(notice: Notice): Promise<void>;
  close?(): void;
}

export interface RouterParts {
  clock: Clock;
  log: Log;
  /** Gets every notice at once, also one that waits: what waits in memory only would be lost with the process. */
  record: NotificationSink | null;
  /** Get what the user shall see now. */
  alerts: readonly NotificationSink[];
  minSeverity: Severity;
  dedupMs: number;
  quietHours: QuietHours | null;
  /** Shown one by one within 5 s; more become one summary. */
  burstMax: number;
  redact(text: string): string;
  /** Called once for each notice that went out, alone or in a summary. */
  onSent?(notice: Notice): void;
}

/** Decides what is shown, when, and how often. Windows are measured on the monotonic clock, quiet hours on the wall. */
export class NotificationRouter {
  readonly #parts: RouterParts;
  readonly #seen = new DedupWindow();
  /** Sinks whose failure was told. */
  readonly #failing = new Set<string>();
  /** Sendings under way, with the sink they go to. */
  readonly #inFlight = new Map<Promise<void>, NotificationSink>();
  readonly #deferred = new HeldNotices();
  readonly #burst = new HeldNotices();
  #burstStartMs = Number.NEGATIVE_INFINITY;
  #burstCount = 0;
  #burstTimer: Disposable | null = null;
  #quietTimer: Disposable | null = null;
  #closing: Promise<void> | null = null;

  constructor(parts: RouterParts) {
    this.#parts = parts;
  }

  /** Never throws. */
  notify(notification: Notification): void {
    const { clock, minSeverity, quietHours, record } = this.#parts;
    const { id, severity, dedupMs = this.#parts.dedupMs } = notification;
    if (this.#closing || SEVERITY_RANK[severity] < SEVERITY_RANK[minSeverity]) return;
    if (!this.#seen.admit(id, dedupMs, clock.monotonicMs())) return;
    const notice = this.#clean(notification);
    if (record) this.#send(record, notice);
    if (severity === "error" || quietUntil(quietHours, clock.now()) === null) this.#show(notice);
    else {
      this.#deferred.add(notice);
      this.#lookAtQuietEnd();
    }
  }

  /**
   * Resolves when what was sent is out, after 2 s at the latest. What still waited stands in the file already and is
   * not shown any more. Idempotent.
   */
  dispose(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #clean({ id, severity, source, message, runId }: Notification): Notice {
    // cleaned first: an escape sequence inside a secret would hide it from the redactor
    const text = (given: string, charsMax: number) =>
      cutText(this.#parts.redact(safeText(given, { multiline: charsMax > NAME_CHARS_MAX })), charsMax);
    return Object.freeze({
      id: text(id, NAME_CHARS_MAX),
      severity,
      source: text(source, NAME_CHARS_MAX),
      message: text(message, MESSAGE_CHARS_MAX),
      runId: runId ?? null,
      at: this.#parts.clock.now(),
    });
  }

  #show(notice: Notice): void {
    const now = this.#parts.clock.monotonicMs();
    if (now - this.#burstStartMs >= BURST_MS && this.#burst.count === 0) {
      this.#burstStartMs = now;
      this.#burstCount = 0;
    }
    if (++this.#burstCount <= this.#parts.burstMax) {
      this.#alert(notice, [notice]);
      return;
    }
    this.#burst.add(notice);
    const waitMs = this.#burstStartMs + BURST_MS - now;
    this.#burstTimer ??= this.#parts.clock.after(Math.max(0, waitMs), () => this.#endBurst());
  }

  #endBurst(): void {
    this.#burstTimer = null;
    this.#burstStartMs = this.#parts.clock.monotonicMs();
    this.#burstCount = 1;
    this.#summarise(this.#burst, "more notices");
  }

  #lookAtQuietEnd(): void {
    const { clock, quietHours, burstMax } = this.#parts;
    const until = quietUntil(quietHours, clock.now());
    if (until !== null) {
      // in the hour that comes twice their end may lie behind us
      const waitMs = Math.max(QUIET_LOOK_MS_MIN, Math.min(until - clock.now(), QUIET_LOOK_MS));
      this.#quietTimer?.[Symbol.dispose]();
      this.#quietTimer = clock.after(waitMs, () => this.#lookAtQuietEnd());
      return;
    }
    this.#quietTimer = null;
    if (this.#deferred.count > burstMax) this.#summarise(this.#deferred, "notices of the quiet hours");
    else for (const notice of this.#deferred.take()) this.#show(notice);
  }

  #summarise(held: HeldNotices, what: string): void {
    const { count, severity } = held;
    const notices = held.take();
    const lines = notices
      .slice(0, SUMMARY_LINES_MAX)
      .map(({ message }) => `  ${cutText(safeText(message, { multiline: false }), SUMMARY_LINE_CHARS_MAX)}`);
    if (count > lines.length) lines.push(`  and ${count - lines.length} more`);
    const message = [`${count} ${what}:`, ...lines].join("\n");
    const at = this.#parts.clock.now();
    this.#alert({ id: "summary", severity, source: "notifications", message, runId: null, at }, notices);
  }

  #alert(notice: Notice, covers: readonly Notice[]): void {
    for (const sink of this.#parts.alerts) this.#send(sink, notice);
    for (const one of covers) this.#tellSent(one);
  }

  #tellSent(notice: Notice): void {
    try {
      this.#parts.onSent?.(notice);
    } catch (error) {
      this.#parts.log.warn("a sent notice could not be counted", { id: notice.id, error: messageOf(error) });
    }
  }

  #send(sink: NotificationSink, notice: Notice): void {
    const max = sink === this.#parts.record ? RECORDS_IN_FLIGHT_MAX : ALERTS_IN_FLIGHT_MAX;
    if ([...this.#inFlight.values()].filter((one) => one === sink).length >= max) {
      this.#failed(sink, new Error("too many notices at once"));
      return;
    }
    const sending = sendSafely(sink, notice)
      .catch((error: unknown) => this.#failed(sink, error))
      .finally(() => this.#inFlight.delete(sending));
    this.#inFlight.set(sending, sink);
  }

  #failed(sink: NotificationSink, error: unknown): void {
    if (this.#failing.has(sink.name)) return;
    this.#failing.add(sink.name);
    const { alerts, log, redact } = this.#parts;
    log.warn("a notice could not be sent", { sink: sink.name, error: redact(messageOf(error)) });
    const notice = this.#clean({
      id: `sink_failed_${sink.name}`,
      severity: "warning",
      source: "notifications",
      message: `Notices don't reach ${sink.name}: ${messageOf(error)}`,
    });
    for (const other of alerts) if (other !== sink && !this.#closing) this.#send(other, notice);
  }

  async #close(): Promise<void> {
    this.#burstTimer?.[Symbol.dispose]();
    this.#quietTimer?.[Symbol.dispose]();
    const done = new AbortController();
    const flushed = Promise.all(this.#inFlight.keys()).finally(() => done.abort());
    await Promise.race([flushed, this.#parts.clock.sleep(FLUSH_MS, done.signal)]);
    for (const sink of [this.#parts.record, ...this.#parts.alerts]) sink?.close?.();
  }
}

/** Also what a sink throws before its first await. */
async function sendSafely(sink: NotificationSink, notice: Notice): Promise<void> {
  await sink.send(notice);
}
