import { visibleWidth } from "@mariozechner/pi-tui";
import fc from "fast-check";
import { expect, test } from "vitest";
import { initialRunState, type RunState, type TaskState } from "../../src/runs/run-state.ts";
import { NOTHING_USED } from "../../src/runs/usage.ts";
import { HEALTHY_LOG } from "../../src/store/run-log-reader.ts";
import { PLAIN } from "../../src/views/paint.ts";
import { type RunPicture, renderRun, renderRunList } from "../../src/views/run-summary.ts";
import { renderWidget } from "../../src/views/run-widget.ts";
import type { Standstill } from "../../src/views/standstill.ts";
import { renderTimeline } from "../../src/views/timeline.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";

const NOW = Date.UTC(2024, 0, 1, 0, 1);

function picture(changes: Partial<RunState>, tasks = ["plan", "build"]): RunPicture {
  const manifest = manifestOf(tasks.map((task) => taskSpec(task)));
  return {
    manifest,
    state: { ...initialRunState(manifest), ...changes },
    health: HEALTHY_LOG,
    standstill: null,
    folder: ".crew/x",
  };
}

test("a run that nobody drives is not shown as running, and says how it goes on", () => {
  const left = { ...picture({ status: "running" }), standstill: { kind: "unattended" } as const };
  expect(renderRunList([left], NOW, 120)[0]).toMatch(/^run-1 {2}unattended /);
  const lines = renderRun(left, NOW, 120);
  expect(lines[0]).toContain("unattended");
  expect(lines[1]).toBe("nobody drives it: /team-resume run-1 goes on with it");
  const [plan] = left.state.tasks;
  const begun = { startedAt: NOW, level: "healthy", activity: null, question: null, retry: null, used: NOTHING_USED };
  const tasks = [{ ...plan, ...begun, status: "running" } as TaskState];
  const words = (standstill: Standstill | null) =>
    renderRun({ ...left, state: { ...left.state, tasks }, standstill }, NOW, 120).join("\n");
  expect(words({ kind: "unattended" })).toMatch(/plan .* nobody follows it/);
  expect(words({ kind: "stopped", pid: 12 })).toMatch(/plan .* nobody follows it/);
  for (const standstill of [null, { kind: "paused", why: "" } as const])
    expect(words(standstill)).toMatch(/plan .* starting/);
  expect(renderRun(picture({ status: "running" }), NOW, 120).join("\n")).not.toContain("nobody");
});

test("a failed task names the runs that did it again", () => {
  const run = picture({ status: "failed" });
  const [plan] = run.state.tasks.map((task) => failedTask(task, "model", "no"));
  const tasks = [{ ...plan, redrivenAs: ["run-2", "run-3"] } as TaskState];
  const lines = renderRun({ ...run, state: { ...run.state, tasks } }, NOW, 120);
  expect(lines[lines.findIndex((line) => line.includes("model: no")) + 1]).toMatch(
    /^ +done again by run run-2, run-3$/,
  );
});

test.each<[Standstill, string]>([
  [{ kind: "unattended" }, "nobody drives it: /team-resume run-1 goes on with it"],
  [{ kind: "stopped", pid: 1234 }, "its process 1234 is stopped: kill -CONT 1234 lets it go on, or fg in its terminal"],
  [{ kind: "paused", why: "its disk is full. It waits." }, "its disk is full. It waits."],
])("the list, the run's own page and the widget say the same of a run that does not go on: %o", (standstill, words) => {
  const run = { ...picture({ status: "running" }), standstill };
  expect(renderRunList([run], NOW, 120)[0]).toMatch(new RegExp(`^run-1 {2}${standstill.kind} +0/2`));
  const [head, second] = renderRun(run, NOW, 120);
  expect(head).toContain(` · ${standstill.kind} · `);
  expect(second).toBe(words);
  const [line, doing] = renderWidget([run], NOW, 120, PLAIN);
  expect(line).toMatch(new RegExp(` {2}${standstill.kind}$`));
  expect(doing).toBe(`  ${words}`);
});

test("why a run is paused is told to its end at 80 columns, with the whole path it names", () => {
  const path = `/home/somebody/work/${"deep-".repeat(4)}/.crew/state/runs/20240101-000000000-0000000a/events.jsonl`;
  const why = `the run's log can't be written: EACCES: permission denied, open '${path}'. It goes on by itself once the run's folder can be written.`;
  const run = { ...picture({ status: "running" }), standstill: { kind: "paused", why } as const };
  const withoutBlanks = (text: string) => text.replaceAll(/\s/g, "");
  for (const lines of [renderRun(run, NOW, 80), renderWidget([run], NOW, 80, PLAIN)]) {
    for (const line of lines) expect(visibleWidth(line)).toBeLessThanOrEqual(80);
    expect(withoutBlanks(lines.join(""))).toContain(withoutBlanks(why));
  }
  const endless = { ...run, standstill: { kind: "paused", why: `${"a b ".repeat(900)}${why}` } as const };
  const lines = renderWidget([endless], NOW, 80, PLAIN);
  expect(lines).toHaveLength(5);
  expect(lines.at(-1)).toMatch(/written\.$/);
});

/** A task's failure as its state has it. */
function failedTask(task: TaskState, kind: string, message: string): TaskState {
  const ended = { startedAt: NOW - 20_000, endedAt: NOW, durationMs: 20_000, error: { kind, message } };
  return { ...task, ...ended, status: "failed" };
}

const REMEDY = "Change `model` of the agent, or log in to its provider with /login.";

test.each([80, 160])(
  "nothing of why a run failed is cut at %i columns, nor the command to go on, nor a path",
  (width) => {
    const message = `"nosuch/model" is no model that can be used here. Usable here: ${"anthropic/a-model, ".repeat(8)}mock/m. ${REMEDY}`;
    const run = picture({
      status: "running",
      reason: "r".repeat(9).concat(" why").repeat(9),
      goal: "word ".repeat(40).trim(),
    });
    const [plan, build] = run.state.tasks.map((task) => failedTask(task, "model", message));
    const skipped = {
      ...build,
      startedAt: null,
      status: "skipped",
      error: { kind: "dependency", message },
    } as TaskState;
    const folder = `/home/somebody/.pi/agent/crew/projects/ro-b0aaa3c1d2e3f405/${"deep-".repeat(5)}/state/runs/20240101-000000000-0000000a`;
    const state = { ...run.state, runId: "20240101-000000000-0000000a", tasks: [plan as TaskState, skipped] };
    const lines = renderRun({ ...run, state, standstill: { kind: "unattended" }, folder }, NOW, width);
    for (const line of lines) expect(visibleWidth(line)).toBeLessThanOrEqual(width);
    const words = lines.map((line) => line.trim()).join(" ");
    expect(words).toContain(`model: ${message}`);
    expect(words).toContain(`skipped    ${message}`);
    expect(words).toContain("/team-resume 20240101-000000000-0000000a goes on with it");
    expect(words).toContain(`reason: ${state.reason}`);
    expect(words).toContain(`goal: ${state.goal}`);
    expect(lines.map((line) => line.trim()).join("")).toContain(folder);
    expect(words).not.toContain("…");
    // each goes on below its own text
    const at = lines.findIndex((line) => line.includes("model: "));
    expect(lines[at]).toMatch(/^ {7}model: "nosuch/);
    expect(lines[at + 1]).toMatch(/^ {7}\S/);
    expect(lines[lines.findIndex((line) => line.startsWith("goal: ")) + 1]).toMatch(/^ {6}word/);
  },
);

test("what is longer than some lines loses its middle, not its end", () => {
  const run = picture({ status: "failed", goal: "word ".repeat(400) });
  const tasks = run.state.tasks.map((task) => failedTask(task, "model", `${"word ".repeat(400)}${REMEDY}`));
  const lines = renderRun({ ...run, state: { ...run.state, tasks } }, NOW, 80);
  expect(lines.length).toBeLessThan(30);
  expect(lines.filter((line) => line.endsWith("…"))).toHaveLength(3);
  const at = lines.findIndex((line) => line.includes("model: "));
  expect(lines.slice(at, at + 6).at(-2)).toMatch(/^ {7}word .*…$/);
  expect(lines.slice(at, at + 6).at(-1)).toMatch(/with \/login\.$/);
});

test("a question is shown in full, what a task does in one line", () => {
  const run = picture({ status: "running" });
  const used = { tokens: 0, costUsd: 0 };
  const running = { status: "running", startedAt: NOW - 20_000, level: "healthy", retry: null, used } as const;
  const question = { attempt: 1, askedAt: NOW, text: `Which of them: ${"this or that, ".repeat(10)}or none?` };
  const activity = { text: "word ".repeat(400), tool: "", at: NOW };
  const tasks = [
    { ...run.state.tasks[0], ...running, question, activity: null },
    { ...run.state.tasks[1], ...running, question: null, activity },
  ] as TaskState[];
  const lines = renderRun({ ...run, state: { ...run.state, tasks } }, NOW, 80);
  expect(lines.map((line) => line.trim()).join(" ")).toContain(question.text);
  expect(lines.filter((line) => line.includes("word"))).toEqual([expect.stringMatching(/^● build .*…$/)]);
});

test("the columns of a list stand below each other, whatever the goals and counts", () => {
  const many = Array.from({ length: 12 }, (_, at) => `step-${at}`);
  const runs = [
    picture({ goal: "修复登录测试" }),
    picture({ goal: "cheap", costUsd: 0.0000042 }),
    picture({ goal: "🚀 ship it", status: "completed", costUsd: 12.5 }, many),
    { ...picture({ goal: "日本語".repeat(80) }), health: { ...HEALTHY_LOG, bad: 1 } },
  ];
  const lines = renderRunList(runs, NOW, 80);
  const starts = lines.map((line) => visibleWidth(line.slice(0, line.indexOf("team:"))));
  expect(new Set(starts).size).toBe(1);
  for (const line of lines) expect(visibleWidth(line)).toBeLessThanOrEqual(80);
  // the mark is not what gives way to a long goal
  expect(lines[3]).toMatch(/…\s\s\(degraded\)$/);
});

test("a run is degraded where its log lost something, and not by a writing that broke off", () => {
  const run = picture({ status: "completed" });
  const shown = (health: Partial<typeof HEALTHY_LOG>) => {
    const one = { ...run, health: { ...HEALTHY_LOG, ...health } };
    return [...renderRun(one, NOW, 200), ...renderRunList([one], NOW, 200)].join("\n");
  };
  expect(shown({ bad: 1, missing: 2, torn: 1 })).toContain(
    "degraded: this run's log is unreadable in part: 1 damaged line, 2 missing events, 1 line cut off within the writing; what is shown is what could be read",
  );
  expect(shown({ bad: 1 })).toContain("(degraded)");
  expect(shown({ torn: 2 })).not.toContain("degraded");
});

test("no line is wider than the width, whatever the run says", () => {
  const text = fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.constantFrom("模型".repeat(90), "🚀".repeat(90), "x".repeat(300)),
  );
  fc.assert(
    fc.property(text, text, fc.integer({ min: 1, max: 120 }), (goal, team, width) => {
      const run = picture({ goal, team, startedAt: NOW - 1000, reason: goal });
      const state = { ...run.state, tasks: run.state.tasks.map((task) => ({ ...task, status: "ready" as const })) };
      for (const health of [HEALTHY_LOG, { ...HEALTHY_LOG, bad: 1, torn: 2, missing: 3, newer: true }]) {
        const pictures = [{ ...run, state, health }];
        const lines = [
          ...renderRunList(pictures, NOW, width),
          ...renderRun({ ...run, state, health }, NOW, width),
          ...renderTimeline(state, NOW, width),
        ];
        for (const line of lines) expect(visibleWidth(line)).toBeLessThanOrEqual(width);
      }
    }),
  );
});

test("names and goals of strangers can't steer a terminal", () => {
  const evil = "\u001b[2J\u001b]0;t\u0007\u009b1mgone\u202e";
  const run = picture({ team: evil, workflow: evil, goal: evil, reason: evil, startedAt: NOW });
  const drawn = [...renderRunList([run], NOW, 200), ...renderRun(run, NOW, 200)].join("\n");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: this is what is looked for
  expect(drawn).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  expect(drawn).toContain("gone");
});

test("a task between two attempts says when the next one begins, and why the last one failed", () => {
  const run = picture({ status: "running" }, ["plan"]);
  const error = { kind: "rate-limit", message: "429 slow down please" };
  const ended = { status: "ended", attempt: 1, startedAt: NOW - 20_000, endedAt: NOW - 9000, outcome: "failed", error };
  const retry = { nextAttempt: 2, toldAt: NOW - 9000, delayMs: 40_000 };
  const used = { tokens: 1200, costUsd: 0.5 };
  const begun = { startedAt: NOW - 20_000, level: "healthy", activity: null, question: null, used };
  const [plan] = run.state.tasks;
  const task = { ...plan, ...begun, status: "running", attempts: [ended], retry } as unknown as TaskState;
  const lines = (now: number) => renderRun({ ...run, state: { ...run.state, tasks: [task] } }, now, 120).join("\n");
  expect(lines(NOW)).toContain("attempt 2 begins in 31s: 429 slow down please");
  expect(lines(NOW)).toMatch(/plan .* 1\.2k tokens {2}\$0\.50/);
  expect(lines(NOW)).toContain("tokens 1.2k · cost $0.50");
  expect(lines(NOW + 60_000)).toContain("attempt 2 begins: 429 slow down please");
});
