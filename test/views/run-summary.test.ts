import { visibleWidth } from "@mariozechner/pi-tui";
import fc from "fast-check";
import { expect, test } from "vitest";
import { initialRunState, type RunState } from "../../src/runs/run-state.ts";
import { type RunPicture, renderRun, renderRunList } from "../../src/views/run-summary.ts";
import { renderTimeline } from "../../src/views/timeline.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";

const NOW = Date.UTC(2024, 0, 1, 0, 1);

function picture(changes: Partial<RunState>, tasks = ["plan", "build"]): RunPicture {
  const manifest = manifestOf(tasks.map((task) => taskSpec(task)));
  return {
    manifest,
    state: { ...initialRunState(manifest), ...changes },
    degraded: false,
    unattended: false,
    folder: ".crew/x",
  };
}

test("a run that nobody drives is not shown as running, and says how it goes on", () => {
  const left = { ...picture({ status: "running" }), unattended: true };
  expect(renderRunList([left], NOW, 120)[0]).toMatch(/^run-1 {2}unattended /);
  const lines = renderRun(left, NOW, 120);
  expect(lines[0]).toContain("unattended");
  expect(lines[1]).toBe("nobody drives this run now: /team-resume run-1 goes on with it");
  expect(renderRun(picture({ status: "running" }), NOW, 120).join("\n")).not.toContain("nobody");
});

test("the columns of a list stand below each other, whatever the goals and counts", () => {
  const many = Array.from({ length: 12 }, (_, at) => `step-${at}`);
  const runs = [
    picture({ goal: "修复登录测试" }),
    picture({ goal: "🚀 ship it", status: "completed", costUsd: 12.5 }, many),
    { ...picture({ goal: "日本語".repeat(80) }), degraded: true },
  ];
  const lines = renderRunList(runs, NOW, 80);
  const starts = lines.map((line) => visibleWidth(line.slice(0, line.indexOf("team:"))));
  expect(new Set(starts).size).toBe(1);
  for (const line of lines) expect(visibleWidth(line)).toBeLessThanOrEqual(80);
  // the mark is not what gives way to a long goal
  expect(lines[2]).toMatch(/…\s\s\(degraded\)$/);
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
      for (const degraded of [false, true]) {
        const pictures = [{ ...run, state, degraded }];
        const lines = [
          ...renderRunList(pictures, NOW, width),
          ...renderRun({ ...run, state, degraded }, NOW, width),
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
