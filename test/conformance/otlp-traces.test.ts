import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { spanIdsOf } from "../../src/events/correlation.ts";
import type { CrewEvent, NewEvent } from "../../src/events/crew-event.ts";
import { createLocalBus } from "../../src/events/local-bus.ts";
import { GenAiMetrics } from "../../src/export/gen-ai-metrics.ts";
import { OtlpMetricsEncoder } from "../../src/export/otlp-metrics.ts";
import { resourceAttributes } from "../../src/export/otlp-resource.ts";
import { OtlpSpansEncoder, type Span } from "../../src/export/otlp-spans.ts";
import { type RoleOfTask, RunSpans } from "../../src/export/otlp-traces.ts";
import { subscribeMetricTable } from "../../src/metrics/metric-table.ts";
import { anyEvent } from "../events/any-event.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { ownerOf, tempStore } from "../store/temp-store.ts";
import { attributesOf, faultsOf, metricsIn, spansIn } from "./otlp-judge.ts";

const TELLER = {
  resource: resourceAttributes({ version: "0", instanceId: "i" }, { serviceName: null, resourceAttributes: {} }),
  scope: { name: "pi-foreman", version: "0" },
};
const START_MS = 1_700_000_000_000;
const PLACE = { team: "team", role: "builder", stepName: "a", workerKind: "pi" as const };
const TASK_END = { team: "team", role: "builder", taskType: "code", tokens: 100, costUsd: 0.5 };
const RUN_END = { team: "team", workflow: "flow", taskCount: 1, tokens: 100, costUsd: 0.5 };
const TOKENS = { input: 10, output: 20, cacheRead: 30, cacheWrite: 40 };
const AGENT = { "gen_ai.operation.name": { stringValue: "invoke_agent" } };
const A = { taskId: "a", attempt: 1 };

/** Spans of what a bus tells, and the request they make. */
function collecting(roleOfTask: RoleOfTask = () => "") {
  const problems: string[] = [];
  const spans: Span[] = [];
  const bus = createLocalBus((error) => problems.push(String(error)));
  const { table } = new RunSpans((span) => spans.push(span), roleOfTask);
  subscribeMetricTable(bus, table, (message) => problems.push(message));
  return { bus, spans, problems, body: () => textOf(spans) };
}

function textOf(spans: readonly Span[]): string {
  return Buffer.from(new OtlpSpansEncoder(TELLER).encode(spans)).toString("utf8");
}

type Collecting = ReturnType<typeof collecting>;

/** A run whose events are written, placed and told by the real store; `waitMs` passes before each. */
async function told(bus: Collecting["bus"], events: readonly [waitMs: number, event: NewEvent][]) {
  const { store, clock } = await tempStore();
  const run = await store.create(manifestOf([taskSpec("a")]), bus);
  await run.claim(ownerOf("o"));
  for (const [waitMs, event] of events) {
    await clock.advance(waitMs);
    await run.publisher.publish(event);
  }
  await run.close();
}

/** A run with one task in two attempts. */
const RUN: readonly [number, NewEvent][] = [
  [0, { type: "crew.run.started", team: "team", workflow: "flow" }],
  [100, { type: "crew.task.started", taskId: "a", ...PLACE }],
  [10, { type: "crew.task.attempt_started", ...A, workerId: "w1", workerKind: "pi" }],
  [500, { type: "crew.task.progress", ...A, text: "my secret plan", tool: "bash", toolStatus: "running" }],
  [400, { type: "crew.task.progress", ...A, tool: "bash", toolStatus: "error", toolDurationMs: 400 }],
  [
    90,
    {
      type: "crew.task.attempt_finished",
      ...A,
      outcome: "failed",
      durationMs: 950,
      model: "google/gemini-3/pro",
      tokens: TOKENS,
      costUsd: 0.5,
      exitCode: 1,
      failureKind: "transient",
      error: { kind: "provider", message: "overloaded, key [REDACTED:known-value]" },
      summary: "a private summary",
    },
  ],
  [1000, { type: "crew.task.attempt_started", ...A, attempt: 2, workerId: "w2", workerKind: "pi" }],
  [
    2000,
    {
      type: "crew.task.attempt_finished",
      ...A,
      attempt: 2,
      outcome: "completed",
      durationMs: 1999,
      model: "anthropic/opus",
      tokens: TOKENS,
      costUsd: 0,
    },
  ],
  [5, { type: "crew.task.completed", taskId: "a", ...TASK_END, status: "completed", durationMs: 4005, attempts: 2 }],
  [5, { type: "crew.run.completed", ...RUN_END, status: "completed", durationMs: 4110 }],
];

describe("the spans of a run", () => {
  it("are one tree of run, task, attempts and tool calls, with the ids workers were given", async () => {
    const { bus, body, problems } = collecting();
    await told(bus, RUN);
    expect(faultsOf("traces", body())).toEqual([]);
    const spans = spansIn(body());
    const times = spans.map(({ name, startTimeUnixNano, endTimeUnixNano }) => [
      name,
      Number(BigInt(startTimeUnixNano) / 1_000_000n) - START_MS,
      Number(BigInt(endTimeUnixNano) / 1_000_000n) - START_MS,
    ]);
    expect(times).toEqual([
      ["execute_tool bash", 610, 1010],
      ["invoke_agent builder", 110, 1100],
      ["invoke_agent builder", 2100, 4100],
      ["task a", 100, 4105],
      ["invoke_workflow flow", 0, 4110],
    ]);
    const place = { runId: "run-1", taskId: "a" };
    const [tool, first, second, task, run] = spans;
    const of = (ids: object) => expect.objectContaining(ids);
    expect(run).toEqual(of(spanIdsOf({ runId: "run-1" })));
    expect(run).not.toHaveProperty("parentSpanId");
    expect([first, second, task]).toEqual([
      of(spanIdsOf({ ...place, attempt: 1 })),
      of(spanIdsOf({ ...place, attempt: 2 })),
      of(spanIdsOf(place)),
    ]);
    expect(tool?.parentSpanId).toBe(first?.spanId);
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1);
    expect(problems).toEqual([]);
  });

  it("say what was done by whom with what, in the conventions' names, and nothing of what was written", async () => {
    const { bus, body } = collecting();
    await told(bus, RUN);
    const [tool, first, second, task, run] = spansIn(body());
    expect(attributesOf(first?.attributes)).toEqual({
      "gen_ai.operation.name": "invoke_agent",
      "gen_ai.agent.name": "builder",
      "gen_ai.provider.name": "gcp.gemini",
      "gen_ai.request.model": "gemini-3/pro",
      "gen_ai.usage.input_tokens": "80",
      "gen_ai.usage.output_tokens": "20",
      "gen_ai.usage.cache_read.input_tokens": "30",
      "gen_ai.usage.cache_creation.input_tokens": "40",
      "error.type": "provider",
      "crew.run.id": "run-1",
      "crew.task.id": "a",
      "crew.attempt": "1",
      "crew.attempt.outcome": "failed",
      "crew.attempt.failure_kind": "transient",
      "crew.attempt.cost_usd": 0.5,
      "crew.worker.kind": "pi",
      "process.exit.code": "1",
    });
    expect(first?.status).toEqual({ code: 2, message: "overloaded, key [REDACTED:known-value]" });
    expect(tool?.status).toEqual({ code: 2, message: "bash ended with an error" });
    expect(attributesOf(tool?.attributes)).toMatchObject({
      "gen_ai.operation.name": "execute_tool",
      "gen_ai.tool.name": "bash",
      "gen_ai.agent.name": "builder",
    });
    expect(attributesOf(run?.attributes)).toMatchObject({
      "gen_ai.operation.name": "invoke_workflow",
      "gen_ai.workflow.name": "flow",
    });
    expect([second?.status, task?.status, run?.status]).toEqual([{}, {}, {}]);
    for (const kept of ["secret plan", "private summary", "the goal"]) expect(body()).not.toContain(kept);
  });

  it("of failed and cancelled work: the one is an error, the other is not", async () => {
    const { bus, body } = collecting();
    const error = { kind: "timeout", message: "too long" };
    const end = { ...A, durationMs: 5, tokens: TOKENS, costUsd: 0 };
    await told(bus, [
      [0, { type: "crew.task.attempt_finished", ...end, outcome: "cancelled", error: { kind: "c", message: "c" } }],
      [0, { type: "crew.task.attempt_finished", ...end, attempt: 2, outcome: "lost" }],
      [0, { type: "crew.task.failed", taskId: "a", ...TASK_END, status: "failed", durationMs: 9, attempts: 2, error }],
      [
        0,
        { type: "crew.task.skipped", taskId: "b", ...TASK_END, status: "skipped", durationMs: 0, attempts: 0, error },
      ],
      [0, { type: "crew.run.failed", ...RUN_END, status: "failed", durationMs: 9, reason: "a failed" }],
    ]);
    expect(faultsOf("traces", body())).toEqual([]);
    const statuses = spansIn(body()).map(({ name, status }) => [name, status.message ?? null]);
    expect(statuses).toEqual([
      ["attempt 1", null],
      ["attempt 2", "lost"],
      ["task a", "too long"],
      ["task b", null],
      ["invoke_workflow flow", "a failed"],
    ]);
  });

  it("that began under a former owner keep their place, their measured length and the agent's name", async () => {
    const { bus, body } = collecting((_runId, taskId) => (taskId === "a" ? "builder" : ""));
    await told(bus, [
      [5000, { type: "crew.subagent.adopted", ...A, workerId: "w", pid: 4, workerKind: "pi" }],
      [
        1000,
        {
          type: "crew.task.attempt_finished",
          ...A,
          outcome: "completed",
          durationMs: 4000,
          tokens: TOKENS,
          costUsd: 0,
        },
      ],
      [
        0,
        { type: "crew.task.completed", taskId: "a", ...TASK_END, status: "completed", durationMs: 4500, attempts: 1 },
      ],
      [0, { type: "crew.run.completed", ...RUN_END, status: "completed", durationMs: 6000 }],
    ]);
    expect(faultsOf("traces", body())).toEqual([]);
    const spans = spansIn(body());
    const starts = spans.map(({ name, startTimeUnixNano }) => [
      name,
      Number(BigInt(startTimeUnixNano) / 1_000_000n) - START_MS,
    ]);
    expect(starts).toEqual([
      ["invoke_agent builder", 2000],
      ["task a", 1500],
      ["invoke_workflow flow", 0],
    ]);
    expect(spans.map(({ spanId }) => spanId)).toEqual(
      [{ ...A, runId: "run-1" }, { taskId: "a", runId: "run-1" }, { runId: "run-1" }].map((it) => spanIdsOf(it).spanId),
    );
  });

  it("end where the work did, however late that is told, and hold the spans in them", async () => {
    const at = (ms: number) => START_MS + ms;
    const finished = {
      ...A,
      type: "crew.task.attempt_finished",
      outcome: "completed",
      tokens: TOKENS,
      costUsd: 0,
    } as const;
    const completed = { ...TASK_END, type: "crew.task.completed", taskId: "a", status: "completed" } as const;
    const tool = { type: "crew.task.progress", ...A, tool: "bash", toolStatus: "ok", toolDurationMs: 100 } as const;
    const runEnded = { type: "crew.run.completed", ...RUN_END, status: "completed", durationMs: 61_000 } as const;
    const timesOf = async (events: Parameters<typeof told>[1]) => {
      const { bus, spans, body } = collecting();
      await told(bus, events);
      expect(faultsOf("traces", body())).toEqual([]);
      for (const { spanId, endMs } of spans)
        for (const child of spans.filter(({ parentSpanId }) => parentSpanId === spanId))
          expect(child.endMs).toBeLessThanOrEqual(endMs);
      return spans.map(({ name, startMs, endMs }) => [name.split(" ")[0], startMs - START_MS, endMs - START_MS]);
    };
    const adopted = { type: "crew.subagent.adopted", ...A, workerId: "w", pid: 4, workerKind: "pi" } as const;
    expect(
      await timesOf([
        [60_000, adopted],
        [0, { ...finished, durationMs: 18_000, finishedAt: at(19_600) }],
        [0, { ...completed, durationMs: 19_500, finishedAt: at(19_600), attempts: 1 }],
        [1000, runEnded],
      ]),
    ).toEqual([
      ["invoke_agent", 1600, 19_600],
      ["task", 100, 19_600],
      ["invoke_workflow", 0, 61_000],
    ]);
    // a call is told a moment after its end; here by who came to the task when it was under way
    expect(
      await timesOf([
        [1000, adopted],
        [1000, tool],
        [10, { ...finished, durationMs: 1900, finishedAt: at(1990) }],
        [10, { ...completed, durationMs: 1990, finishedAt: at(1990), attempts: 1 }],
        [58_980, runEnded],
      ]),
    ).toEqual([
      ["execute_tool", 1900, 2000],
      ["invoke_agent", 100, 2000],
      ["task", 10, 2000],
      ["invoke_workflow", 0, 61_000],
    ]);
  });

  it("of a run that was let go are not told, and nothing of it is remembered", async () => {
    const { bus, spans } = collecting();
    await told(bus, [...RUN.slice(0, 3), [0, { type: "crew.run.released", reason: "quit" }]]);
    expect(spans).toEqual([]);
    const end = { ...TASK_END, status: "completed", durationMs: 7, attempts: 1 } as const;
    const { ts: _start, type: _type, ...place } = startOf("a", "run-1");
    bus.emit("crew.task.completed", { ...place, ...end, ts: START_MS * 2, type: "crew.task.completed" } as CrewEvent);
    expect(spans.map(({ startMs, endMs }) => endMs - startMs)).toEqual([7]);
  });

  it("are without fault whatever comes, in any order, and what is remembered has a limit", () => {
    const events = fc.array(anyEvent(["a", "b"]), { maxLength: 60 });
    fc.assert(
      fc.property(events, (list) => {
        const { bus, body, spans, problems } = collecting();
        for (const event of list) bus.emit(event.type, event);
        expect(problems).toEqual([]);
        // the same attempt may end twice here, as it never does in a log
        const once = new Map(spans.map((span) => [span.spanId, span]));
        expect(faultsOf("traces", textOf([...once.values()]))).toEqual([]);
        expect(body().length).toBeGreaterThan(0);
      }),
    );
    const { bus, spans } = collecting();
    for (let n = 0; n < 5000; n++) bus.emit("crew.task.started", startOf(`t${n}`));
    for (let n = 0; n < 5000; n++) {
      const end = { ...startOf(`t${n}`), ...TASK_END, status: "completed", durationMs: 7, attempts: 1 };
      bus.emit("crew.task.completed", { ...end, ts: 1000, type: "crew.task.completed" } as CrewEvent);
    }
    // one that was forgotten has its measured length, and not its start
    expect(spans.filter(({ startMs }) => startMs === 1)).toHaveLength(4096);
    expect(spans.slice(0, 904).every(({ startMs }) => startMs === 993)).toBe(true);
  });
});

function startOf(taskId: string, runId = "r"): CrewEvent {
  const ids = spanIdsOf({ runId, taskId });
  return { v: 1, seq: 1, epoch: 1, ts: 1, type: "crew.task.started", runId, taskId, ...ids, ...PLACE };
}

describe("the metrics of the generative AI conventions", () => {
  it("are measured from the spans, in seconds, and the tokens from the attempts", async () => {
    const genAi = new GenAiMetrics(() => undefined);
    const { bus, spans } = collecting();
    const usage = { "crew.task.attempt_finished": genAi.countUsage.bind(genAi) };
    subscribeMetricTable(bus, usage, (message) => expect.fail(message));
    await told(bus, [...RUN, [0, { type: "crew.run.cancelled", ...RUN_END, status: "cancelled", durationMs: 7 }]]);
    for (const span of spans) genAi.countSpan(span);
    const encoder = new OtlpMetricsEncoder(TELLER, START_MS);
    const body = Buffer.from(encoder.encode(genAi.snapshot(), START_MS + 1).body).toString("utf8");
    expect(faultsOf("metrics", body)).toEqual([]);
    const metrics = metricsIn(body).map(({ name, unit, histogram }) => [
      name,
      unit,
      ...histogram!.dataPoints.map(({ attributes, sum }) => [sum, Object.values(attributesOf(attributes)).join(" ")]),
    ]);
    expect(metrics).toEqual([
      ["gen_ai.workflow.duration", "s", [4.11, "flow"]],
      ["gen_ai.invoke_agent.duration", "s", [0.99, "builder gemini-3/pro provider"], [2, "builder opus"]],
      [
        "gen_ai.client.operation.duration",
        "s",
        [0.99, "invoke_agent gcp.gemini gemini-3/pro provider"],
        [2, "invoke_agent anthropic opus"],
      ],
      ["gen_ai.execute_tool.duration", "s", [0.4, "bash builder tool_error"]],
      [
        "gen_ai.client.token.usage",
        "{token}",
        [80, "invoke_agent gcp.gemini gemini-3/pro input"],
        [20, "invoke_agent gcp.gemini gemini-3/pro output"],
        [80, "invoke_agent anthropic opus input"],
        [20, "invoke_agent anthropic opus output"],
      ],
    ]);
  });

  it("count tokens whose model is not known, with a provider called unknown", async () => {
    const genAi = new GenAiMetrics(() => undefined);
    const { bus, spans } = collecting();
    subscribeMetricTable(bus, { "crew.task.attempt_finished": genAi.countUsage.bind(genAi) }, expect.fail);
    const end = { ...A, type: "crew.task.attempt_finished", outcome: "failed", durationMs: 5, costUsd: 0 } as const;
    const none = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
    await told(bus, [
      [0, { ...end, tokens: TOKENS }],
      [0, { ...end, attempt: 2, tokens: TOKENS, model: "unknown/unknown" }],
      [0, { ...end, attempt: 3, tokens: none }],
    ]);
    for (const span of spans) genAi.countSpan({ ...span, attributes: { ...span.attributes, ...AGENT } });
    const seriesOf = (metric: string) => genAi.snapshot().find(({ name }) => name === metric)?.series;
    const labels = { "gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "unknown" };
    expect(seriesOf("gen_ai.client.operation.duration")).toMatchObject([{ labels, count: 3 }]);
    expect(seriesOf("gen_ai.client.token.usage")).toMatchObject([
      { labels: { ...labels, "gen_ai.request.model": "", "gen_ai.token.type": "input" }, count: 2, sum: 160 },
      { labels: { ...labels, "gen_ai.request.model": "", "gen_ai.token.type": "output" }, count: 2, sum: 40 },
    ]);
  });
});
