import { nodeWorld } from "../../src/system/node.ts";
import { renderDashboard } from "../../src/views/dashboard.ts";
import { PANES } from "../../src/views/dashboard-view.ts";
import type { RunPicture } from "../../src/views/run-summary.ts";
import { readTranscript } from "../../src/views/transcript.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { openComponent } from "../support/dashboard-component.ts";
import { runOf, sampleView, taskSteps } from "../support/dashboard-sample.ts";
import { row, sample } from "./timing.ts";

const ROUNDS = 41;
const FRAME_GOAL_MS = 2;
const KEY_GOAL_MS = 50;

/** Tasks of three layers, each after two of the one before, most of them at work or done. */
function bigRun(runId: string, tasks: number): RunPicture {
  const names = Array.from({ length: tasks }, (_, at) => `task-${String(at).padStart(4, "0")}`);
  const layer = Math.ceil(tasks / 3);
  const specs = names.map((name, at) =>
    taskSpec(name, { kind: "pi", dependsOn: at < layer ? [] : [names[at - layer] ?? "", names[at - layer + 1] ?? ""] }),
  );
  const steps = names
    .slice(0, Math.ceil(tasks * 0.7))
    .flatMap((name, at) => taskSteps(name, (at % 50) * 1000, 5000, at % 3 === 0 ? null : "completed"));
  return runOf(manifestOf(specs, { runId }), steps);
}

/** Frames of 50 runs, the chosen one of 1,000 tasks; then a key in the real component, until its lines are there. */
export async function benchDashboard(): Promise<void> {
  console.log("A frame of the dashboard: 50 runs, 1,000 tasks in the chosen one");
  const runs = [
    bigRun("big-run-00000000", 1000),
    ...Array.from({ length: 49 }, (_, at) => bigRun(`run-${at}-00000000`, 20)),
  ];
  const log = Array.from({ length: 500 }, (_, at) => `line ${at} of what a worker did, with some words more`).join(
    "\n",
  );
  const transcript = readTranscript(log, 500);
  for (const [width, height] of [
    [80, 24],
    [200, 60],
  ] as const)
    for (const pane of PANES) {
      const view = sampleView({ runs, pane, height, task: 500, transcript });
      row(
        `${pane}, ${width} × ${height}`,
        await sample(ROUNDS, () => renderDashboard(view, width)),
        "ms",
        FRAME_GOAL_MS,
      );
    }
  await benchKey(runs);
}

async function benchKey(runs: readonly RunPicture[]): Promise<void> {
  const shown = await openComponent(() => runs, nodeWorld({ warn: console.warn, error: console.error }).clock);
  let at = 0;
  const press = () => {
    shown.handleInput(["2", "\u001b[B", "1", "\u001b[B", "6", "5"][at++ % 6] ?? "");
    return shown.render(200);
  };
  press();
  row("a key until the lines are there, 200 × 60", await sample(ROUNDS, press), "ms", KEY_GOAL_MS);
  shown.dispose();
}
