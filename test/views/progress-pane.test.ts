import { visibleWidth } from "@mariozechner/pi-tui";
import { describe, expect, it } from "vitest";
import type { NewEvent } from "../../src/events/crew-event.ts";
import { renderDashboard } from "../../src/views/dashboard.ts";
import { drawAxis } from "../../src/views/timeline.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { runOf, sampleView, taskSteps } from "../support/dashboard-sample.ts";

const SPECS = [taskSpec("plan", { kind: "pi" }), taskSpec("build", { kind: "pi", dependsOn: ["plan"] })];

function used(after: number, attempt: number, tool: string, toolDurationMs: number, toolStatus: "ok" | "error" = "ok") {
  const event: NewEvent = { type: "crew.task.progress", taskId: "build", attempt, tool, toolStatus, toolDurationMs };
  return { after, event };
}

/** 60 s in: build failed once, waits 4 s, and is at its second attempt, in which a tool runs. */
function secondAttempt() {
  const first = taskSteps("build", 10_000, 10_000, "failed").slice(0, -1);
  const at = { taskId: "build", attempt: 2 };
  return runOf(manifestOf(SPECS), [
    ...taskSteps("plan", 0, 10_000, "completed"),
    ...first.slice(0, -1),
    used(15_000, 1, "bash", 2500),
    used(18_000, 1, "read", 1000, "error"),
    ...first.slice(-1),
    { after: 24_000, event: { type: "crew.task.attempt_started", ...at, workerId: "w2", workerKind: "pi" } },
    used(40_000, 2, "bash", 10_000),
    { after: 52_000, event: { type: "crew.task.progress", ...at, tool: "write", toolStatus: "running" } },
  ]);
}

const drawn = (width: number, height: number, task = 1) =>
  renderDashboard(sampleView({ pane: "progress", runs: [secondAttempt()], task, height }), width);

/** Where the marks stand in the line that begins so, in hundredths of the axis. */
function placesOf(lines: readonly string[], name: string, mark: string): number[] {
  const axis = lines.find((line) => line.includes("┊0")) ?? "";
  const zero = axis.indexOf("┊0");
  const minute = zero + ((axis.indexOf("┊20s") - zero) / 20) * 60;
  const line = lines.find((it) => it.replace(/^[› ✗✓●○└]+/, "").startsWith(name)) ?? "";
  const hundredths = (at: number) => Math.round(((at - zero) / (minute - zero)) * 100);
  return [hundredths(line.indexOf(mark)), hundredths(line.lastIndexOf(mark) + 1)];
}

describe("the waterfall", () => {
  it.each([
    [80, 24],
    [120, 40],
    [200, 60],
  ])("has the tasks, the chosen one's attempts and its tools on one axis, at %i × %i", (width, height) => {
    const lines = drawn(width, height);
    const near = (found: number[], wanted: number[]) =>
      found.forEach((place, at) => {
        expect(Math.abs(place - (wanted[at] ?? 0)), `${place} of ${wanted}`).toBeLessThanOrEqual(4);
      });
    near(placesOf(lines, "plan", "█"), [0, 17]);
    near(placesOf(lines, "build", "▓"), [17, 33]);
    near(placesOf(lines, "build", "·"), [33, 40]);
    near(placesOf(lines, "build", "▒"), [40, 100]);
    near(placesOf(lines, "attempt 1 failed", "▓"), [17, 33]);
    near(placesOf(lines, "attempt 2 running", "▒"), [40, 100]);
    near(placesOf(lines, "bash ×2", "█"), [21, 67]);
    near(placesOf(lines, "read ×1", "▓"), [28, 30]);
    near(placesOf(lines, "write ×1", "▒"), [87, 100]);
    const text = lines.join("\n");
    expect(text).toMatch(/bash ×2 .* 13s *$/m);
    for (const name of ["plan", "build"]) expect(text).toMatch(new RegExp(`${name} .*◆`));
    expect(text).toContain("◆ critical path  1m 00s of 1m 00s: plan → build");
    expect(text).toContain("▓ failed");
    for (const line of lines) expect(visibleWidth(line)).toBeLessThanOrEqual(width);
  });

  it("leaves the room to the tasks where there is little, and shows nothing below a task that did nothing", () => {
    expect(drawn(80, 10).join("\n")).toMatch(/build .*◆/);
    expect(drawn(80, 40, 0).join("\n")).not.toContain("×");
  });

  it("keeps of a task's tool calls the longest, in their order", () => {
    const calls = Array.from({ length: 100 }, (_, at) =>
      used(20_000 + at * 10, 1, `t${at}`, at % 5 === 0 ? at + 1 : 0),
    );
    const { state } = runOf(manifestOf(SPECS), [...taskSteps("build", 0, 0, null), ...calls]);
    const { toolCalls = [] } = state.tasks[1] ?? {};
    expect(toolCalls).toHaveLength(24);
    const long = toolCalls.filter(({ from, to }) => to > from).map(({ tool }) => tool);
    expect(long).toEqual(Array.from({ length: 20 }, (_, at) => `t${at * 5}`));
  });
});

describe("the axis", () => {
  it("has round times where they belong, and none that does not fit", () => {
    expect(drawAxis({ start: 0, end: 60_000, cells: 60 })).toBe(
      "┊0                  ┊20s                ┊40s                ".padEnd(60),
    );
    expect(
      drawAxis({ start: 5, end: 5 + 7_200_000, cells: 48 })
        .replace(/ +(?=┊)/g, " ")
        .trim(),
    ).toBe("┊0 ┊30m 00s ┊1h 00m ┊1h 30m");
    // the last one would be cut
    expect(drawAxis({ start: 0, end: 65_000, cells: 78 }).trim()).toMatch(/┊50s$/);
    expect(drawAxis({ start: 0, end: 1, cells: 8 }).trim()).toBe("┊0");
  });
});
