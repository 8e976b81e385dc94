import type { SessionMetrics } from "../metrics/session-metrics.ts";

/** Of the seconds before the metrics are loaded; a session does not do more in them. */
const FACTS_MAX = 10_000;

/** What a session did before its metrics were there, told to them when they are; and from then on at once. */
export class EarlyFacts implements SessionMetrics {
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

  tell(metrics: SessionMetrics): void {
    this.#to = metrics;
    for (const told of this.#kept.splice(0)) told(metrics);
  }

  /** Nobody counts. */
  forget(): void {
    this.#wanted = false;
    this.#kept = [];
  }

  turnEnded(fact: Parameters<SessionMetrics["turnEnded"]>[0]): void {
    this.#take((metrics) => metrics.turnEnded(fact));
  }

  firstToken(fact: Parameters<SessionMetrics["firstToken"]>[0]): void {
    this.#take((metrics) => metrics.firstToken(fact));
  }

  toolEnded(fact: Parameters<SessionMetrics["toolEnded"]>[0]): void {
    this.#take((metrics) => metrics.toolEnded(fact));
  }

  usage(fact: Parameters<SessionMetrics["usage"]>[0]): void {
    this.#take((metrics) => metrics.usage(fact));
  }

  providerError(fact: Parameters<SessionMetrics["providerError"]>[0]): void {
    this.#take((metrics) => metrics.providerError(fact));
  }

  #take(fact: (metrics: SessionMetrics) => void): void {
    if (this.#to) fact(this.#to);
    else if (!this.#wanted) return;
    else if (this.#kept.length < FACTS_MAX) this.#kept.push(fact);
    else this.#dropped++;
  }
}
