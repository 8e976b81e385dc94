import type { TaskState } from "../runs/run-state.ts";
import type { Tone } from "./paint.ts";
import { attemptPart, type BarPart, drawBar, MARKS, type TimeScale } from "./timeline.ts";
import { formatDuration } from "./units.ts";

/** A line below the chosen task: its bar stands on the axis of the tasks' bars. */
export interface WaterfallLine {
  name: string;
  tone: Tone;
  draw(scale: TimeScale): string;
}

const INDENT = "    ";
const OUTCOME_TONES: Readonly<Record<string, Tone>> = {
  completed: "success",
  running: "accent",
  failed: "error",
  lost: "error",
  blocked: "error",
};

/** What a task did: its attempts where there are several, then each of its tools, the one that took longest first. */
export function waterfallOf(task: TaskState, now: number): WaterfallLine[] {
  const attempts = task.attempts.length > 1 ? task.attempts : [];
  const lines = attempts.map((attempt): WaterfallLine => {
    const how = attempt.status === "ended" ? attempt.outcome : "running";
    return {
      name: `${INDENT}attempt ${attempt.attempt} ${how}`,
      tone: OUTCOME_TONES[how] ?? "muted",
      draw: (scale) => barOf([attemptPart(attempt, scale)], scale),
    };
  });
  return [...lines, ...toolLines(task, now)];
}

function toolLines(task: TaskState, now: number): WaterfallLine[] {
  const byTool = new Map<string, BarPart[]>();
  for (const { tool, from, to, ok } of task.toolCalls)
    byTool.set(tool, [...(byTool.get(tool) ?? []), { from, to, mark: ok ? MARKS.completed : MARKS.failed }]);
  const { tool = "", at = now } = (task.status === "running" ? task.activity : null) ?? {};
  if (tool !== "") byTool.set(tool, [...(byTool.get(tool) ?? []), { from: at, to: now, mark: MARKS.running }]);
  return [...byTool]
    .sort(([, one], [, other]) => lengthOf(other) - lengthOf(one))
    .map(([name, parts]) => ({
      name: `${INDENT}${name} ×${parts.length}`,
      tone: "muted",
      draw: (scale) => barOf(parts, scale),
    }));
}

function barOf(parts: readonly BarPart[], scale: TimeScale): string {
  return `${drawBar(parts, scale)} ${formatDuration(lengthOf(parts))}`;
}

function lengthOf(parts: readonly BarPart[]): number {
  return parts.reduce((sum, { from, to }) => sum + Math.max(0, to - from), 0);
}
