import fc from "fast-check";
import { expect, test } from "vitest";
import type { CrewEvent, CrewEventFields, CrewEventType } from "../../src/events/crew-event.ts";
import { CREW_EVENT_TYPES } from "../../src/events/event-durability.ts";
import {
  crewMetricTable,
  registerCrewInstruments,
  registerLiveWork,
  subscribeCrewMetrics,
} from "../../src/metrics/crew-metrics.ts";
import { type MetricTable, subscribeMetricTable } from "../../src/metrics/metric-table.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import { applyEvent } from "../../src/runs/apply-event.ts";
import { initialRunState, type RunState } from "../../src/runs/run-state.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";

/** A bus with the manners of `pi.events`: `on` returns the unsubscribe, and there is no `off`. */
class Bus {
  readonly handlers = new Map<string, Set<(data: unknown) => void>>();

  on(channel: string, handler: (data: unknown) => void): () => void {
    const set = this.handlers.get(channel) ?? new Set();
    this.handlers.set(channel, set.add(handler));
    return () => set.delete(handler);
  }

  emit(channel: string, data: unknown): void {
    for (const handler of this.handlers.get(channel) ?? []) handler(data);
  }

  get listeners(): number {
    return [...this.handlers.values()].reduce((sum, set) => sum + set.size, 0);
  }
}

function session() {
  const bus = new Bus();
  const warnings: string[] = [];
  const registry = createMetricRegistry({ warn: (message) => void warnings.push(message) });
  const stop = subscribeCrewMetrics(bus, registry);
  let seq = 0;
  /** Publishes as the real publisher does: one flat object under its name. */
  const tell = <T extends CrewEventType>(
    type: T,
    fields: CrewEventFields[T],
    at: { runId?: string; taskId?: string } = {},
  ) =>
    bus.emit(type, { v: 1, seq: ++seq, epoch: 1, ts: 0, runId: "r1", traceId: "", spanId: "", type, ...at, ...fields });
  /** Values of all series that are not zero, as `name{label=value}`. */
  const moved = () => {
    const found: Record<string, number> = {};
    for (const metric of registry.snapshot()) {
      for (const series of metric.series) {
        const value = "value" in series ? series.value : series.count;
        const labels = Object.entries(series.labels).map(([name, text]) => `${name}=${text}`);
        if (value !== 0) found[`${metric.name.replace("crew.", "")}{${labels.join(",")}}`] = value;
      }
    }
    return found;
  };
  return { bus, registry, warnings, stop, tell, moved };
}

const owner = { hostId: "", bootId: "", pidNs: "", pid: 1, processStart: "", nonce: "" };
const runEnd = { team: "t", workflow: "w", taskCount: 1, durationMs: 90_000, tokens: 5, costUsd: 1 };
const taskEnd = { team: "t", role: "executor", taskType: "code", durationMs: 2000, attempts: 1, tokens: 5, costUsd: 1 };
const place = { team: "t", role: "executor", stepName: "s", workerKind: "pi" } as const;
const tokens = { input: 100, output: 20, cacheRead: 3000, cacheWrite: 0 };

test("a run with one task that failed twice and then succeeded", () => {
  const { tell, moved, registry } = session();
  tell("crew.run.claimed", { owner });
  tell("crew.run.started", { team: "t", workflow: "w" });
  tell("crew.task.started", place, { taskId: "a" });
  for (const attempt of [1, 2, 3]) {
    tell("crew.task.attempt_started", { workerId: "w", workerKind: "pi" }, { taskId: "a" });
    const outcome = attempt === 3 ? "completed" : "failed";
    tell("crew.task.attempt_finished", { outcome, durationMs: 1, model: "m", tokens, costUsd: 0.5 }, { taskId: "a" });
    tell("crew.subagent.completed", { workerId: "w", status: outcome, durationMs: 1 }, { taskId: "a" });
    if (attempt < 3)
      tell("crew.task.retry_attempt", { nextAttempt: attempt + 1, delayMs: 1200, failureKind: "transient" });
  }
  tell("crew.task.completed", { ...taskEnd, status: "completed", attempts: 3 }, { taskId: "a" });
  tell("crew.run.completed", { ...runEnd, status: "completed" });
  expect(moved()).toEqual({
    "run.count{status=completed,team=t}": 1,
    "run.duration_ms{team=t}": 1,
    "task.count{status=completed,team=t,role=executor}": 1,
    "task.duration_ms{team=t,role=executor}": 1,
    "task.retry_count{team=t}": 1,
    "task.retry_attempt_total{}": 2,
    "task.retry_delay_ms{}": 2,
    "task.tokens_total{model=m}": 9360,
    "task.token_count{model=m,kind=input}": 300,
    "task.token_count{model=m,kind=output}": 60,
    "task.token_count{model=m,kind=cache_read}": 9000,
    "task.cost_usd{model=m}": 1.5,
    "subagent.count{status=failed}": 2,
    "subagent.count{status=completed}": 1,
  });
  const attempts = registry.get("crew.task.retry_count");
  expect(attempts?.kind === "histogram" && [attempts.sum(), attempts.quantile(undefined, 1)]).toEqual([3, 3]);
});

test("the other team metrics", () => {
  const { tell, moved } = session();
  tell("crew.task.deadletter", { reason: "max-retries", attempts: 3 });
  tell("crew.task.heartbeat_level", { level: "stale", previousLevel: "warn", stalenessMs: 1 });
  // told again, because the silent process is gone by now
  tell("crew.task.heartbeat_level", { level: "dead", previousLevel: "dead", stalenessMs: 1, processAlive: false });
  tell("crew.task.heartbeat_dead", { stalenessMs: 1 });
  tell("crew.mailbox.message", { messageId: "1", direction: "to-worker", from: "a", to: "b", text: "t" });
  tell("crew.notification.sent", { severity: "error", source: "s", id: "1" });
  expect(moved()).toEqual({
    "task.deadletter_total{reason=max-retries}": 1,
    "heartbeat.level_total{level=stale}": 1,
    "heartbeat.dead_total{}": 1,
    "mailbox.count{direction=to-worker}": 1,
    "notification.count{severity=error}": 1,
  });
});

test("an interrupted run that is resumed or declined is counted as such", () => {
  const { tell, moved } = session();
  tell("crew.run.claimed", { owner });
  tell("crew.run.interrupted", { reason: "owner-gone" });
  tell("crew.run.resumed", { recoveredFromSeq: 9, resumableTasks: ["a"], adoptedTasks: ["b", "c"] });
  tell("crew.subagent.adopted", { workerId: "w", pid: 1, workerKind: "pi" }, { taskId: "b" });
  expect(moved()).toEqual({ "recovery.count{outcome=resumed}": 1 });
  tell("crew.run.claimed", { owner }, { runId: "r2" });
  tell("crew.run.cancelled", { ...runEnd, status: "cancelled", reason: "interrupted-not-resumed" }, { runId: "r2" });
  expect(moved()).toMatchObject({
    "recovery.count{outcome=declined}": 1,
    "run.count{status=cancelled,team=t}": 1,
  });
  tell("crew.run.cancelled", { ...runEnd, status: "cancelled", reason: "user" });
  expect(moved()).toMatchObject({ "recovery.count{outcome=declined}": 1, "run.count{status=cancelled,team=t}": 2 });
});

test("a task cancelled or skipped before it started observes no duration and no attempts", () => {
  const { tell, moved } = session();
  tell("crew.run.started", { team: "t", workflow: "w" });
  tell("crew.task.started", place, { taskId: "a" });
  tell("crew.task.skipped", { ...taskEnd, status: "skipped", attempts: 0, durationMs: 0 }, { taskId: "b" });
  tell("crew.task.cancelled", { ...taskEnd, status: "cancelled", attempts: 0, durationMs: 0 }, { taskId: "c" });
  expect(moved()).toEqual({
    "task.count{status=skipped,team=t,role=executor}": 1,
    "task.count{status=cancelled,team=t,role=executor}": 1,
  });
});

test("a worker without a model makes no token series; tokens without a model are unknown's", () => {
  const { tell, moved } = session();
  const none = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
  tell(
    "crew.task.attempt_finished",
    { outcome: "completed", durationMs: 1, tokens: none, costUsd: 0 },
    { taskId: "a" },
  );
  expect(moved()).toEqual({});
  tell("crew.task.attempt_finished", {
    outcome: "completed",
    durationMs: 1,
    tokens: { ...none, output: 2 },
    costUsd: 0,
  });
  expect(moved()).toEqual({ "task.tokens_total{model=unknown}": 2, "task.token_count{model=unknown,kind=output}": 2 });
});

test("what is not an event of ours is ignored, whatever is sent on whichever channel", () => {
  const channel = fc.constantFrom(...CREW_EVENT_TYPES);
  const envelope = { v: 1, seq: 1, runId: "r", type: "crew.task.heartbeat_dead" };
  const { bus, moved, warnings } = session();
  fc.assert(fc.property(channel, fc.anything(), (type, data) => void bus.emit(type, data)));
  for (const wrong of [
    { v: 2 },
    { seq: "1" },
    { seq: Number.NaN },
    { runId: 5 },
    { type: "crew.run.started" },
    { v: undefined },
  ]) {
    bus.emit("crew.task.heartbeat_dead", { ...envelope, ...wrong });
  }
  expect(moved()).toEqual({});
  expect(warnings).toEqual([]);
  bus.emit("crew.task.heartbeat_dead", envelope);
  expect(moved()).toEqual({ "heartbeat.dead_total{}": 1 });
});

test("an envelope of ours around fields that can't be counted is told once and never thrown into the bus", () => {
  const { bus, moved, warnings } = session();
  const envelope = { v: 1, seq: 1, runId: "r", taskId: "a" };
  for (let i = 0; i < 3; i++) {
    bus.emit("crew.task.retry_attempt", { ...envelope, type: "crew.task.retry_attempt", delayMs: "5" });
    bus.emit("crew.task.attempt_finished", { ...envelope, type: "crew.task.attempt_finished" });
    bus.emit("crew.run.completed", { ...envelope, type: "crew.run.completed", status: "completed" });
  }
  expect(moved()).toEqual({});
  expect(warnings).toHaveLength(3);
  expect(warnings[0]).toContain("crew.task.retry_attempt of run r could not be counted");
});

test("three start and stop cycles leave no listener, and stopping twice does no harm", () => {
  const bus = new Bus();
  for (let cycle = 0; cycle < 3; cycle++) {
    const stop = subscribeCrewMetrics(bus, createMetricRegistry());
    expect(bus.listeners).toBeGreaterThan(10);
    stop();
    stop();
    expect(bus.listeners).toBe(0);
  }
});

test("a user's own mapping is a part of a table", () => {
  const bus = new Bus();
  const registry = createMetricRegistry();
  const goals = registry.registerCounter("crew.own.goals", "Runs created", { labels: ["team"] });
  subscribeMetricTable(bus, { "crew.run.created": (event) => goals.inc({ team: event.team }) }, () => undefined);
  bus.emit("crew.run.created", { v: 1, seq: 1, runId: "r", type: "crew.run.created", team: "t" });
  expect(goals.value()).toBe(1);
});

test("what is under way is read from the runs that are shown, and is right whatever was missed", () => {
  const registry = createMetricRegistry();
  const bench = [
    manifestOf([taskSpec("a"), taskSpec("b"), taskSpec("c")]),
    manifestOf([taskSpec("a")], { runId: "run-2" }),
  ];
  let [first, second] = bench.map(initialRunState) as [RunState, RunState];
  const tell = (state: RunState, type: CrewEventType, fields: object) =>
    applyEvent(state, { v: 1, seq: 1, epoch: 1, ts: 5, runId: state.runId, type, ...fields } as CrewEvent);
  let silences = [{ runId: "run-1", taskId: "a", stalenessMs: 40 }];
  let shown = () => [first, second, first];
  registerLiveWork(registry, { silences: () => silences, runs: () => shown().map((state) => ({ run: { state } })) });
  const read = () =>
    ["crew.run.active", "crew.task.active", "crew.heartbeat.staleness_ms"].map((name) => {
      const metric = registry.get(name);
      return metric?.kind === "gauge" ? metric.value() : null;
    });
  expect(read()).toEqual([2, 0, 40]);
  for (const taskId of ["a", "b"]) first = tell(first, "crew.task.started", { ...place, taskId });
  second = tell(second, "crew.task.started", { ...place, taskId: "a" });
  expect(read()).toEqual([2, 3, 40]);
  first = tell(first, "crew.task.failed", { ...taskEnd, status: "failed", taskId: "a" });
  second = tell(second, "crew.run.cancelled", { ...runEnd, status: "cancelled" });
  expect(read()).toEqual([1, 1, 40]);
  // another process drives it by now, and nothing told of that
  shown = () => [];
  silences = [];
  expect(read()).toEqual([0, 0, Number.NaN]);
});

test("a table without a decision about every event does not compile", () => {
  const complete = crewMetricTable(registerCrewInstruments(createMetricRegistry()));
  const { "crew.run.created": _, ...incomplete } = complete;
  // @ts-expect-error crew.run.created has no decision
  const table: MetricTable = incomplete;
  // @ts-expect-error an event that does not exist
  const invented: MetricTable = { ...complete, "crew.run.invented": null };
  expect(Object.keys(complete).sort()).toEqual([...CREW_EVENT_TYPES].sort());
  expect([table, invented]).toHaveLength(2);
});

test("a mapping with labels that were not declared does not compile", () => {
  const metrics = registerCrewInstruments(createMetricRegistry());
  const table: Partial<MetricTable> = {
    // @ts-expect-error runId is no label of crew.notification.count
    "crew.notification.sent": (event) => metrics.notices.inc({ severity: event.severity, runId: event.runId }),
  };
  expect(Object.keys(table)).toHaveLength(1);
});
