import { visibleWidth } from "@mariozechner/pi-tui";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import type { TaskState } from "../../src/runs/run-state.ts";
import { HEALTHY_LOG } from "../../src/store/run-log-reader.ts";
import { criticalPath } from "../../src/views/critical-path.ts";
import { renderDashboard } from "../../src/views/dashboard.ts";
import { type DashboardView, PANES } from "../../src/views/dashboard-view.ts";
import { renderMetricsPane, sparkline } from "../../src/views/metrics-pane.ts";
import { fold } from "../../src/views/paint.ts";
import { renderRun } from "../../src/views/run-summary.ts";
import { renderRunsBrief, renderWidget } from "../../src/views/run-widget.ts";
import { readTranscript } from "../../src/views/transcript.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { NOW, runOf, sampleRuns, sampleView, taskSteps } from "../support/dashboard-sample.ts";

const SIZES = [
  [80, 24],
  [120, 40],
  [200, 60],
] as const;

const EVIL = "\u001b[2J\u001b]0;t\u0007\u009b1mgone\u202e\u0000";
/** What would steer a terminal, or write backwards. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: this is what is looked for
const STEERING = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/;

describe("a frame", () => {
  it.each(SIZES)("looks as it should at %i × %i", async (width, height) => {
    const screens = PANES.map((pane) => renderDashboard(sampleView({ pane, height }), width).join("\n"));
    await expect(screens.join("\n\n")).toMatchFileSnapshot(`golden/dashboard-${width}x${height}.txt`);
  });

  it("has as many lines as the terminal, none of them wider, whatever is in it", () => {
    const text = fc.oneof(
      fc.string({ unit: "grapheme" }),
      fc.constantFrom("模型".repeat(90), "🚀 ".repeat(90), "x".repeat(300), EVIL, "a\nb\tc"),
    );
    const prompt = (said: string) =>
      fc.constantFrom<DashboardView["prompt"]>(
        { kind: "none" },
        { kind: "said", text: said, tone: "error" },
        { kind: "question", text: said, answers: said },
      );
    fc.assert(
      fc.property(
        text,
        text.chain(prompt),
        fc.constantFrom(...PANES),
        fc.integer({ min: 1, max: 140 }),
        fc.integer({ min: 1, max: 50 }),
        (words, below, pane, width, height) => {
          const sample = sampleView();
          const runs = sample.runs.map((run) => ({
            ...run,
            standstill: { kind: "paused", why: words } as const,
            state: {
              ...run.state,
              goal: words,
              team: words,
              mail: run.state.mail.map((mail) => ({ ...mail, text: words })),
            },
          }));
          const letters = sample.letters.map((letter) => ({ ...letter, lastError: { kind: words, message: words } }));
          const transcript = readTranscript(`${words}\n${words}`, 50);
          const view = {
            ...sample,
            pane,
            height,
            prompt: below,
            runs,
            letters,
            transcript,
            driver: words,
            filter: words,
          };
          const lines = renderDashboard(view, width);
          expect(lines).toHaveLength(height);
          for (const line of lines) {
            expect(visibleWidth(line), line).toBeLessThanOrEqual(width);
            expect(line).not.toMatch(STEERING);
          }
        },
      ),
    );
  });

  it("shows of a thousand tasks those around the chosen one", () => {
    const names = Array.from({ length: 1000 }, (_, at) => `task-${at}`);
    const run = runOf(
      manifestOf(names.map((name) => taskSpec(name))),
      names.flatMap((name) => taskSteps(name, 0, 1000, "completed")),
    );
    for (const pane of ["agents", "progress", "mailbox"] as const) {
      const drawn = renderDashboard(sampleView({ pane, runs: [run], task: 700 }), 80).join("\n");
      expect(drawn, pane).toMatch(/^› ✓ task-700 /m);
      expect(drawn, pane).not.toContain("task-600");
    }
  });

  it.each([
    [true, "stuck"],
    [false, "dead"],
  ])("calls a worker that is silent for too long, its process there: %s, %s in every pane", (processAlive, word) => {
    const at = { taskId: "build", attempt: 1 };
    const silent = { level: "dead", previousLevel: "stale", stalenessMs: 300_000, processAlive } as const;
    const run = runOf(manifestOf([taskSpec("build", { kind: "pi" })]), [
      ...taskSteps("build", 0, 0, null),
      { after: 50_000, event: { type: "crew.task.heartbeat_level", ...at, ...silent } },
    ]);
    const drawn = (pane: DashboardView["pane"]) => renderDashboard(sampleView({ pane, runs: [run], task: 0 }), 120);
    expect(drawn("agents").join("\n")).toMatch(new RegExp(`● build .* ${word} · reading`));
    expect(drawn("health").join("\n")).toMatch(new RegExp(`^ *build +${word} `, "m"));
    expect(renderRun(run, NOW, 120).join("\n")).toMatch(new RegExp(`● build .* ${word} {2}reading`));
  });

  it("shows no silence of a worker that is gone while its task waits for the next one", () => {
    const at = { taskId: "build", attempt: 1 };
    const tokens = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
    const lost = { outcome: "lost", durationMs: 1, tokens, costUsd: 0, failureKind: "lost" } as const;
    const silent = { level: "dead", previousLevel: "stale", stalenessMs: 300_000 } as const;
    const run = runOf(manifestOf([taskSpec("build", { kind: "pi" })]), [
      ...taskSteps("build", 0, 0, null),
      { after: 50_000, event: { type: "crew.task.heartbeat_level", ...at, ...silent } },
      { after: 50_001, event: { type: "crew.task.attempt_finished", ...at, ...lost } },
    ]);
    expect(renderRun(run, NOW, 120).join("\n")).not.toMatch(/dead|stuck/);
  });

  it("counts in the health pane what the run's log lost, and what was cut off", () => {
    const run = runOf(manifestOf([taskSpec("build", { kind: "pi" })]), taskSteps("build", 0, 1, "completed"));
    const drawn = (health: Partial<typeof HEALTHY_LOG>) => {
      const runs = [{ ...run, health: { ...HEALTHY_LOG, ...health } }];
      return renderDashboard(sampleView({ pane: "health", runs }), 120).join("\n");
    };
    expect(drawn({})).not.toContain("log");
    expect(drawn({ torn: 2 })).toContain("the run's log has 2 lines cut off within the writing");
    expect(drawn({ torn: 2 })).not.toContain("degraded");
    expect(drawn({ bad: 1 })).toContain("the run's log is unreadable in part: 1 damaged line");
    expect(drawn({ bad: 1 })).toContain("degraded");
  });

  it("says that there are no runs, and has metrics and dead letters without them", () => {
    const none = (pane: DashboardView["pane"]) => renderDashboard(sampleView({ pane, runs: [] }), 80).join("\n");
    expect(none("agents")).toContain("No runs yet");
    expect(none("health")).toContain("dl-000000000001");
    expect(none("metrics")).toContain("COUNTERS");
  });

  it("shows who waits for an answer, and for what", () => {
    const sample = sampleView({ pane: "mailbox" });
    const runs = sample.runs.map((run) => ({
      ...run,
      state: {
        ...run.state,
        tasks: run.state.tasks.map((task) =>
          task.status === "running" ? { ...task, question: { attempt: 1, text: "npm\nor pnpm?", askedAt: 0 } } : task,
        ),
      },
    }));
    const drawn = renderDashboard({ ...sample, runs }, 80).join("\n");
    expect(drawn).toMatch(/^› ● build +running +asks you/m);
    expect(drawn).toMatch(/^\? build {2}npm\n {9}or pnpm\?$/m);
  });
});

describe("the mailbox", () => {
  it("tells of each message when it came, from whom to whom, and whether a worker was given it", () => {
    const manifest = manifestOf([taskSpec("a", { kind: "pi" }), taskSpec("b", { kind: "pi", dependsOn: ["a"] })]);
    const mail = (after: number, taskId: string, direction: "to-worker" | "from-worker", text: string) => {
      const [from, to] = direction === "to-worker" ? ["s", taskId] : [taskId, "user"];
      const event = { messageId: `${after}`, direction, from, to, text };
      return { after, event: { type: "crew.mailbox.message" as const, taskId, attempt: 1, ...event } };
    };
    const run = runOf(manifest, [
      ...taskSteps("a", 0, 20_000, "completed"),
      mail(5000, "a", "to-worker", "use pnpm"),
      mail(10_000, "a", "from-worker", "which\nnode?"),
      mail(25_000, "a", "to-worker", "22"),
      mail(50_000, "b", "to-worker", "x".repeat(120)),
    ]);
    const drawn = renderDashboard(sampleView({ pane: "mailbox", runs: [run], task: 0 }), 80);
    const at = drawn.findIndex((line) => line.includes("use pnpm"));
    expect(drawn.slice(at, at + 7)).toEqual([
      "    55s ago  you → a  use pnpm  (delivered to attempt 1)",
      "    50s ago  a → you  which",
      "                      node?  (a question)",
      "    35s ago  you → a  22  (came too late)",
      `    10s ago  you → b  ${"x".repeat(58)}`,
      `                      ${"x".repeat(58)}`,
      "                      xxxx  (waits for its worker)",
    ]);
  });
});

describe("the critical path", () => {
  it("is the chain of those that ended last, not the longest tasks", () => {
    const manifest = manifestOf([
      taskSpec("a"),
      taskSpec("long"),
      taskSpec("late", { dependsOn: ["a", "long"] }),
      taskSpec("end", { dependsOn: ["late"] }),
      taskSpec("unbegun", { dependsOn: ["end"] }),
    ]);
    const steps = [
      ...taskSteps("a", 0, 9000, "completed"),
      ...taskSteps("long", 0, 8000, "completed"),
      ...taskSteps("late", 10_000, 1000, "completed"),
      ...taskSteps("end", 12_000, 1000, null),
    ];
    const { state } = runOf(manifest, steps);
    const path = criticalPath(manifest, state, NOW);
    expect(path.taskIds).toEqual(["a", "late", "end"]);
    expect(path.busyMs).toBe(9000 + 1000 + 48_000);
    expect(criticalPath(manifest, runOf(manifest, []).state, NOW)).toEqual({ taskIds: [], busyMs: 0 });
  });
});

describe("the metrics pane", () => {
  const registry = createMetricRegistry();
  const counter = registry.registerCounter("crew.test.many", "h", { labels: ["n"] });
  for (let n = 1; n <= 12; n++) counter.inc({ n: String(n) }, n);
  const histogram = registry.registerHistogram("crew.other.ms", "h", { unit: "ms", buckets: [10, 100] });
  for (const value of [5, 50, 500]) histogram.observe(undefined, value);

  it("shows the greatest counters with their labels, and the spread of histograms", () => {
    const lines = renderMetricsPane(registry.snapshot(), { registry, maxCounters: 3 });
    expect(lines.slice(0, 4).map((line) => line.trim().replace(/ +/g, " "))).toEqual([
      "COUNTERS, the 3 greatest of 12",
      "crew.test.many{n=12} 12",
      "crew.test.many{n=11} 11",
      "crew.test.many{n=10} 10",
    ]);
    expect(lines.at(-1)?.replace(/ +/g, " ")).toBe("crew.other.ms 3 55ms > 100ms > 100ms");
    expect(renderMetricsPane(null, { registry })).toEqual(renderMetricsPane(registry.snapshot()));
  });

  it("shows what a filter leaves, and says when nothing is counted", () => {
    const lines = renderMetricsPane(registry.snapshot(), { filter: "crew.other.*" });
    expect(lines.join("\n")).not.toContain("crew.test");
    expect(lines.join("\n")).toContain("crew.other.ms");
    expect(renderMetricsPane(null, { registry: null })).toEqual([expect.stringContaining("observability.enabled")]);
  });

  it("draws a course, with blanks where nothing is known", () => {
    expect(sparkline([Number.NaN, 0, 1, 2, 4, 8], 60)).toBe(" ▁▂▃▅█");
    expect(sparkline([1, 2, 3], 2)).toBe("▆█");
    expect(sparkline([0, 0], 60)).toBe("▁▁");
  });
});

describe("the widget", () => {
  it("takes one to three lines, and none when nothing is under way", () => {
    const [{ state } = sampleView().runs[0] as never] = sampleView().runs;
    const runs = (count: number) => Array.from({ length: count }, () => ({ state, standstill: null }));
    expect([0, 1, 2, 3, 9].map((count) => renderWidget(runs(count), NOW, 80, sampleView().paint).length)).toEqual([
      0, 2, 2, 3, 3,
    ]);
    expect(renderRunsBrief([])).toBe("");
    expect(renderRunsBrief(runs(2))).toBe("team: 2 runs · 2 at work");
  });

  it("shows no work in a run that nobody drives, and what goes on with it", () => {
    const [{ state }] = sampleRuns();
    const left = { state, standstill: { kind: "unattended" } as const };
    const [head = "", doing = ""] = renderWidget([left], NOW, 80, sampleView().paint);
    expect(head).toMatch(/ {2}unattended$/);
    expect(doing).toBe(`  nobody drives it: /team-resume ${state.runId} goes on with it`);
    expect(renderRunsBrief([left])).toBe("team: 1 run · 1 unattended");
    expect(renderRunsBrief([left, { ...left, standstill: null }])).toBe("team: 2 runs · 1 at work · 1 unattended");
    const others = [
      { state, standstill: { kind: "stopped", pid: 12 } },
      { state, standstill: { kind: "paused", why: "" } },
    ] as const;
    expect(renderRunsBrief(others)).toBe("team: 2 runs · 1 at work · 1 paused · 1 stopped");
  });

  it.each([
    ["nothing yet", ["running", "waiting", "ready"], "░░░░░░░░░░░░ 0/3  1m 00s"],
    ["what completed", ["completed", "running", "waiting"], "████░░░░░░░░ 1/3  1m 00s"],
    ["one that failed, by its name", ["failed", "running", "waiting"], "▓▓▓▓░░░░░░░░ 0/3  t0 failed  1m 00s"],
    [
      "what failed and what that took along",
      ["failed", "running", "skipped"],
      "▓▓▓▓▓▓▓▓░░░░ 0/3  t0 failed, 1 skipped  1m 00s",
    ],
    ["several", ["failed", "completed", "failed", "cancelled"], "███▓▓▓▓▓▓▓▓▓ 1/4  2 failed, 1 cancelled  1m 00s"],
  ])("has a bar that says the same as its words: %s", (_, statuses, head) => {
    const { paint } = sampleView();
    const [{ state }] = sampleRuns();
    const used = { tokens: 0, costUsd: 0 };
    const tasks = statuses.map((status, at) => ({ ...state.tasks[0], taskId: `t${at}`, status, used }) as TaskState);
    const [line = ""] = renderWidget([{ state: { ...state, tasks }, standstill: null }], NOW, 80, paint);
    expect(line).toBe(`team ${head}  $0.024`);
  });

  it("has room for time and cost beside the longest name", () => {
    const [{ state }] = sampleRuns();
    const [task] = state.tasks.filter(({ status }) => status === "failed");
    const tasks = [{ ...task, taskId: "a".repeat(64) } as TaskState];
    const [line = ""] = renderWidget([{ state: { ...state, tasks }, standstill: null }], NOW, 80, sampleView().paint);
    expect(line).toMatch(/ 0\/1 {2}a+… failed {2}1m 00s {2}\$0\.024$/);
  });
});

describe("a transcript", () => {
  it("is what was said and done, without what says nothing", () => {
    const line = (message: object) => JSON.stringify({ type: "message_end", message });
    const log = [
      '{"type":"agent_start"}',
      line({ role: "assistant", content: [{ type: "text", text: "I am on it" }] }),
      line({ role: "toolResult", isError: true, content: [{ type: "text", text: "a\n".repeat(30) }] }),
      '{"type":"item.started","item":{"type":"command_execution","command":"ls"}}',
      '{"type":"item.completed","item":{"type":"command_execution","aggregated_output":"a.ts"}}',
      '{"type":"item.completed","item":{"type":"agent_message","text":"codex is done"}}',
      '{"type":"of a program\'s"}',
      "a plain line of a program's",
      '{"type":"torn',
    ].join("\n");
    const lines = readTranscript(log, 100);
    expect(lines[0]).toEqual({ tone: "text", text: "I am on it" });
    expect(lines[1]).toEqual({ tone: "error", text: "  a" });
    const texts = lines.map(({ text }) => text);
    for (const text of ["  … 22 more lines", "→ ls", "  a.ts", "codex is done", '{"type":"of a program\'s"}'])
      expect(texts).toContain(text);
    expect(lines.at(-2)).toEqual({ tone: "text", text: "a plain line of a program's" });
    expect(readTranscript(log, 2)).toHaveLength(2);
  });
});

describe("folding", () => {
  it("keeps every character, at blanks where it can", () => {
    expect(fold("one two  three", 7)).toEqual(["one two", "three"]);
    expect(fold("模型模型x", 4)).toEqual(["模型", "模型", "x"]);
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 10, max: 30 }), (text, width) => {
        const lines = fold(text, width);
        for (const line of lines) expect(visibleWidth(line)).toBeLessThanOrEqual(width);
        expect(lines.join("").replaceAll(" ", "")).toBe(text.replaceAll(" ", ""));
      }),
    );
  });
});
