import type { SessionMetrics } from "../metrics/session-metrics.ts";

/** Of the seconds before the metrics are loaded; a session does not do more in them. */
const FACTS_MAX = 10_000;

/** One thing that a session did. */
export type TellFact = <F extends keyof SessionMetrics>(what: F, fact: Parameters<SessionMetrics[F]>[0]) => void;

/** What a session did before its metrics were there, told to them when they are; and from then on at once. */
export class EarlyFacts {
  #to: SessionMetrics | null = null;
  #kept: Array<(metrics: SessionMetrics) => void> = [];
  #wanted = true;
  #dropped = 0;

  /** Facts that nobody will count: there were too many before the metrics came. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Whether something was done that nobody has counted yet. */
  get waiting(): boolean {
    return this.#kept.length > 0;
  }

  readonly tell: TellFact = (what, fact) => {
    // each name is told with its own fields; TypeScript can't follow that through a union
    const move = (metrics: SessionMetrics) => (metrics[what] as (fields: typeof fact) => void)(fact);
    if (this.#to) move(this.#to);
    else if (!this.#wanted) return;
    else if (this.#kept.length < FACTS_MAX) this.#kept.push(move);
    else this.#dropped++;
  };

  countWith(metrics: SessionMetrics): void {
    this.#to = metrics;
    for (const told of this.#kept.splice(0)) told(metrics);
  }

  /** Nobody counts. */
  forget(): void {
    this.#wanted = false;
    this.#kept = [];
  }
}
