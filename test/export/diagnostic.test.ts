import { describe, expect, it } from "vitest";
import type { CrewEvent } from "../../src/events/crew-event.ts";
import { type DiagnosticFacts, diagnosticOf } from "../../src/export/diagnostic.ts";
import { diagnosticHtml } from "../../src/export/diagnostic-html.ts";
import type { MetricsSnapshot } from "../../src/metrics/snapshot.ts";
import { initialRunState, type RunState } from "../../src/runs/run-state.ts";
import { createRedactor } from "../../src/system/redaction.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";

const START = Date.UTC(2026, 10, 20, 9, 30);
const HOSTILE = `</pre><script>alert(1)</script><img src=x onerror="alert(2)">'&amp;\u001b[31m\u202e`;

const METRICS: MetricsSnapshot = [
  {
    ...{
      kind: "counter",
      name: "crew.task.tokens_total",
      help: "",
      unit: "tokens",
      labelNames: ["auth_token", "role"],
    },
    series: [{ labels: { auth_token: "t0psecret", role: "writer" }, value: 81_234 }],
  },
  {
    ...{ kind: "histogram", name: "crew.task.duration_ms", help: "", unit: "ms", labelNames: [], bounds: [100, 1000] },
    series: [{ labels: {}, count: 4, sum: 900, buckets: [2, 2, 0] }],
  },
];

/** How notices go out, by the environment. */
const HOOKS = {
  PI_FOREMAN_NOTIFICATIONS_COMMAND: '["tell","hush-hush"]',
  PI_FOREMAN_NOTIFICATIONS_WEBHOOK_URL: "https://hooks.example/hush-hush",
};

function facts(given: Partial<DiagnosticFacts> = {}): DiagnosticFacts {
  const manifest = manifestOf(
    [taskSpec("plan"), taskSpec("write", { dependsOn: ["plan"] }), taskSpec("review", { dependsOn: ["write"] })],
    {
      goal: `Mend the upload form. ${HOSTILE}`,
    },
  );
  const state = stateOf(initialRunState(manifest));
  const health = { bad: 0, torn: 0, missing: 0, fenced: 0, ignored: 0, newer: false };
  const error = { kind: "model-request", message: `401 wrong key\n${HOSTILE}` };
  const id = "dl-00112233aabb";
  return {
    now: START + 200_000,
    view: { manifest, state, health, degraded: false, folder: ".crew/state/runs/x" },
    events: [],
    deadLetters: [
      {
        ...{ id, runId: manifest.runId, taskId: "write", reason: "max-retries", attempts: 2, lastError: error },
        ...{ timestamp: new Date(START + 160_000).toISOString(), status: "open" },
      },
    ],
    workers: [
      {
        ...{ taskId: "write", attempt: 2, lastSeenAt: new Date(START + 150_000).toISOString(), silentMs: 50_000 },
        ...{ process: "dead", ended: true },
      },
    ],
    env: { PI_OFFLINE: "1", EDITOR: "vi", SHOP_TOKEN: "5ecret", OTEL_EXPORTER_OTLP_HEADERS: "x-team=ours", ...HOOKS },
    about: { "pi-foreman": "1.0.0", node: "v20.6.0" },
    metrics: METRICS,
    ...given,
  };
}

function stateOf(state: RunState): RunState {
  const [plan, write, review] = state.tasks;
  if (!plan || !write || !review) throw new Error("three tasks");
  const common = { workerId: "w-1", workerKind: "pi" as const, pid: 4711, artifacts: [], changes: null, commit: null };
  const tokenCounts = { input: 12_000, output: 400, cacheRead: 0, cacheWrite: 0 };
  const ended = (attempt: number, from: number, ms: number, failed: boolean) => ({
    ...{ ...common, status: "ended" as const, attempt, startedAt: START + from, endedAt: START + from + ms },
    ...{ durationMs: ms, model: "mock/mock-1", tokens: 12_400, tokenCounts, costUsd: 0.031 },
    outcome: failed ? ("failed" as const) : ("completed" as const),
    failureKind: failed ? ("transient" as const) : null,
    error: failed ? { kind: "model-request", message: `401 wrong key\n${HOSTILE}` } : null,
    summary: failed ? "" : `Three steps: form, server, test. ${HOSTILE}`,
  });
  const sums = { tokens: 12_400, costUsd: 0.031 };
  return {
    ...state,
    ...{ status: "failed", startedAt: START, endedAt: START + 180_000, reason: "write failed", lastEventAt: START },
    ...{ tokens: 37_200, costUsd: 0.093 },
    tasks: [
      {
        ...{
          ...plan,
          ...sums,
          status: "completed" as const,
          startedAt: START,
          endedAt: START + 42_000,
          durationMs: 42_000,
        },
        ...{
          error: null,
          summary: "Three steps.",
          artifacts: [],
          commit: null,
          attempts: [ended(1, 0, 42_000, false)],
        },
      },
      {
        ...{ ...write, ...sums, status: "failed" as const, startedAt: START + 43_000, endedAt: START + 160_000 },
        ...{ durationMs: 117_000, error: { kind: "model-request", message: `401 wrong key\n${HOSTILE}` } },
        attempts: [ended(1, 43_000, 61_000, true), ended(2, 110_000, 50_000, true)],
      },
      { ...review, status: "skipped", startedAt: null, endedAt: START + 160_000, durationMs: 0, error: null },
    ],
  };
}

function exported(given: Partial<DiagnosticFacts> = {}) {
  const redactor = createRedactor({ secretValues: [] });
  return { diagnostic: diagnosticOf(facts(given), redactor), redactor };
}

describe("the JSON", () => {
  it("has a version and metrics together, or neither", () => {
    expect(exported().diagnostic).toMatchObject({
      schemaVersion: 2,
      metricsSnapshot: METRICS.map(({ name }) => ({ name })),
    });
    const without = Object.keys(exported({ metrics: null }).diagnostic);
    expect(without).not.toContain("schemaVersion");
    expect(without).not.toContain("metricsSnapshot");
    expect(without).toEqual(
      expect.arrayContaining("runId exportedAt manifest tasks recentEvents heartbeat agents envRedacted".split(" ")),
    );
  });

  it("masks by key and by value, counts it, and leaves names of measures alone", () => {
    const { diagnostic, redactor } = exported();
    expect(diagnostic.metricsSnapshot?.[0]).toMatchObject({
      name: "crew.task.tokens_total",
      series: [{ labels: { auth_token: "***", role: "writer" }, value: 81_234 }],
    });
    expect(diagnostic.envRedacted).toEqual({
      ...{ EDITOR: "(set)", OTEL_EXPORTER_OTLP_HEADERS: "***", PI_OFFLINE: "1", SHOP_TOKEN: "***" },
      ...{ PI_FOREMAN_NOTIFICATIONS_COMMAND: "***", PI_FOREMAN_NOTIFICATIONS_WEBHOOK_URL: "***" },
    });
    expect(redactor.count()).toEqual({ key: 2 });
  });

  it("is bounded: the newest events, texts cut after they were masked", () => {
    const secret = ["gh", "p_", "a1B2".repeat(9)].join("");
    // the cut would go through the secret
    const text = `${"x ".repeat(495)}${secret}${" y".repeat(4000)}`;
    const event = (seq: number) => ({ seq, type: "crew.task.progress", ts: START, text }) as unknown as CrewEvent;
    const { diagnostic } = exported({ events: Array.from({ length: 700 }, (_, at) => event(at + 1)) });
    expect(diagnostic.recentEvents.map(({ seq }) => seq)).toEqual(Array.from({ length: 500 }, (_, at) => at + 201));
    const all = JSON.stringify(diagnostic);
    expect(all).not.toContain(secret.slice(0, 8));
    expect(all).toContain("characters left out");
    expect(all.length).toBeLessThan(500 * 4600);
  });
});

describe("the page", () => {
  it("runs nothing and loads nothing, whatever the texts hold", () => {
    const page = diagnosticHtml(exported().diagnostic);
    expect(page).not.toMatch(/<(?:script|img|iframe|link|object|form)|\son\w+=["']|\sstyle=|javascript:|https?:/i);
    for (const unseen of ["\u001b", "\u202e"]) expect(page).not.toContain(unseen);
    expect(page).toContain("&lt;script&gt;alert(1)&lt;/script&gt;");
    expect(page).toMatch(/content="default-src 'none'; style-src 'sha256-[\w+/]{43}='; base-uri 'none'/);
  });

  it("shows tasks with attempts and errors, the dead letter, metrics and the environment", () => {
    const page = diagnosticHtml(exported().diagnostic);
    for (const text of ["write failed", "attempt 2", "401 wrong key", "dl-00112233aabb", "p95", "SHOP_TOKEN", "81,234"])
      expect(page).toContain(text);
  });

  it.each([
    [0, "$0.00"],
    [0.00000423, "$0.0000042"],
    [0.018, "$0.018"],
    [12.3, "$12.30"],
  ])("shows that a run cost %d dollars as %s", (costUsd, text) => {
    const whole = facts();
    const page = diagnosticHtml(
      exported({ ...whole, view: { ...whole.view, state: { ...whole.view.state, costUsd } } }).diagnostic,
    );
    expect(page).toContain(`<b>${text}</b>`);
  });

  it("counts what was found amiss in the log", () => {
    const { view } = facts();
    const health = { ...view.health, torn: 2, fenced: 1 };
    const page = diagnosticHtml(exported({ view: { ...view, health } }).diagnostic);
    expect(page).toContain("In the run’s log: lines cut off within the writing: 2 · lines of a former owner: 1");
  });

  it("does without what is not there", () => {
    const bare = facts({ deadLetters: [], workers: [], metrics: null, env: {} });
    const state = initialRunState(bare.view.manifest);
    const page = diagnosticHtml(exported({ ...bare, view: { ...bare.view, state, degraded: true } }).diagnostic);
    expect(page).not.toContain("In the run’s log");
    for (const text of ["was not started", "None.", "Nothing is counted", "unreadable"]) expect(page).toContain(text);
    expect(page).not.toMatch(/undefined|NaN|\[object/);
  });
});
