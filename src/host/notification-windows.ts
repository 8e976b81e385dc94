import type { Notice } from "./notification-router.ts";
import type { Severity } from "./output.ts";

const IDS_MAX = 1000;
const HELD_MAX = 200;

export const SEVERITY_RANK: Readonly<Record<Severity, number>> = { info: 0, warning: 1, error: 2 };

/** Which ids were told lately. Times are monotonic milliseconds: a wall clock that is set must not open or close it. */
export class DedupWindow {
  /** Until when an id is not repeated; in the order of telling. */
  readonly #until = new Map<string, number>();

  /** True at most once in `windowMs` for an id; what is refused does not make the window longer. */
  admit(id: string, windowMs: number, nowMs: number): boolean {
    if ((this.#until.get(id) ?? Number.NEGATIVE_INFINITY) > nowMs) return false;
    this.#until.delete(id);
    if (this.#until.size >= IDS_MAX) this.#makeRoom(nowMs);
    this.#until.set(id, nowMs + windowMs);
    return true;
  }

  #makeRoom(nowMs: number): void {
    for (const [id, until] of this.#until) if (until <= nowMs) this.#until.delete(id);
    for (const oldest of this.#until.keys()) {
      if (this.#until.size < IDS_MAX) return;
      this.#until.delete(oldest);
    }
  }
}

/** Notices that wait; the newest are only counted when there are too many. */
export class HeldNotices {
  #notices: Notice[] = [];
  #count = 0;
  #severity: Severity = "info";

  get count(): number {
    return this.#count;
  }

  /** Of the most severe one. */
  get severity(): Severity {
    return this.#severity;
  }

  add(notice: Notice): void {
    this.#count++;
    if (this.#notices.length < HELD_MAX) this.#notices.push(notice);
    if (SEVERITY_RANK[notice.severity] > SEVERITY_RANK[this.#severity]) this.#severity = notice.severity;
  }

  take(): Notice[] {
    const notices = this.#notices;
    this.#notices = [];
    this.#count = 0;
    this.#severity = "info";
    return notices;
  }
}
