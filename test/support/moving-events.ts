import fc from "fast-check";
import { type CrewEvent, type CrewEventType, DECLINED_REASON } from "../../src/events/crew-event.ts";
import { CREW_EVENT_TYPES } from "../../src/events/event-durability.ts";
import { createLocalBus } from "../../src/events/local-bus.ts";
import { registerLiveWork, subscribeCrewMetrics } from "../../src/metrics/crew-metrics.ts";
import { createMetricRegistry, type MetricRegistry } from "../../src/metrics/registry.ts";
import { registerSessionMetrics, type SessionMetrics } from "../../src/metrics/session-metrics.ts";
import { anyEvent } from "../events/any-event.ts";

/** Everything a session counts, and the ways to make it count. */
export function everyMetric() {
  const registry = createMetricRegistry();
  const bus = createLocalBus((error) => {
    throw error;
  });
  subscribeCrewMetrics(bus, registry);
  registerLiveWork(registry, {
    silences: () => [{ runId: "run-1", taskId: "task-1", stalenessMs: 1500 }],
    runs: () => [{ run: { state: { runId: "run-1", endedAt: null, tasks: [{ status: "running" }] } } }],
  });
  const session = registerSessionMetrics(registry);
  return { registry, session, publish: (event: CrewEvent) => bus.emit(event.type, event) };
}

const tokens = { input: 1, output: 2, cacheRead: 3, cacheWrite: 4 };

/** One example of each fact that the session tells. Does not compile when one is missing. */
export const SESSION_FACTS: { [F in keyof SessionMetrics]: Parameters<SessionMetrics[F]>[0] } = {
  turnEnded: { durationMs: 4200 },
  firstToken: { model: "m", delayMs: 300 },
  toolEnded: { tool: "bash", status: "ok", durationMs: 12 },
  usage: { model: "m", tokens, costUsd: 0.25 },
  providerError: { status: 529 },
};

export function tellSession(session: SessionMetrics, fact: keyof SessionMetrics): void {
  // the table pairs each fact with its own fields; TypeScript can't follow that through a union
  (session[fact] as (fields: unknown) => void)(SESSION_FACTS[fact]);
}

/** Events of every type, always the same ones; ends of runs also with the reason that is looked at. */
export function exampleEvents(): Map<CrewEventType, CrewEvent[]> {
  const drawn = fc.sample(anyEvent(["task-1"]), { numRuns: 1500, seed: 1 });
  const found = new Map<CrewEventType, CrewEvent[]>();
  for (const type of CREW_EVENT_TYPES) {
    const own = drawn.filter((event) => event.type === type).slice(0, 12);
    if (own.length < 5) throw new Error(`too few examples of ${type}`);
    const declined = own.slice(0, 1).map((event) => ({ ...event, reason: DECLINED_REASON }) as CrewEvent);
    found.set(type, [...own, ...declined]);
  }
  return found;
}

/** Metric → what moves it, found by trying: events before which nothing was, and those that end what had begun. */
export function movers(): Map<string, string[]> {
  const examples = exampleEvents();
  const begun = (["crew.run.started", "crew.task.started"] as const).map(
    (type) => examples.get(type)?.[0] as CrewEvent,
  );
  const found = new Map<string, string[]>();
  const add = (mover: string, names: Iterable<string>) => {
    for (const name of new Set(names)) found.set(name, [...(found.get(name) ?? []), mover]);
  };
  for (const [type, events] of examples) {
    const moved = events.flatMap((event) => [[], begun].flatMap((before) => movedBy(before, event)));
    add(type, moved);
  }
  for (const fact of Object.keys(SESSION_FACTS) as (keyof SessionMetrics)[]) {
    const { registry, session } = everyMetric();
    const move = changes(registry);
    tellSession(session, fact);
    add(fact, move());
  }
  return found;
}

function movedBy(before: readonly CrewEvent[], event: CrewEvent): string[] {
  const { registry, publish } = everyMetric();
  for (const earlier of before) publish(earlier);
  const moved = changes(registry);
  publish(event);
  return moved();
}

/** The names of the metrics that are another when the returned function is called. */
function changes(registry: MetricRegistry): () => string[] {
  const now = () => new Map(registry.snapshot().map((metric) => [metric.name, JSON.stringify(metric)]));
  const before = now();
  return () => [...now()].filter(([name, text]) => before.get(name) !== text).map(([name]) => name);
}
