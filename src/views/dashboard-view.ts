import type { MetricHistory } from "../metrics/history.ts";
import type { MetricsSnapshot } from "../metrics/snapshot.ts";
import type { TaskState } from "../runs/run-state.ts";
import type { DeadLetter } from "../store/dead-letter-lines.ts";
import type { Paint, Tone } from "./paint.ts";
import type { RunPicture } from "./run-summary.ts";
import type { TranscriptLine } from "./transcript.ts";

/** All that a frame of the dashboard is drawn from. A pane reads nothing else. */

export const PANES = ["agents", "progress", "mailbox", "output", "health", "metrics"] as const;

export type Pane = (typeof PANES)[number];

/** What the lower edge shows besides the keys. */
export type Prompt =
  | { kind: "none" }
  | { kind: "said"; text: string; tone: Tone }
  | { kind: "question"; text: string; answers: string }
  /** `line` is drawn as it is: it is the host's own input field. */
  | { kind: "input"; title: string; line: string };

export interface DashboardView {
  pane: Pane;
  /** Wall clock, milliseconds. */
  now: number;
  /** Lines there are for what is drawn. */
  height: number;
  paint: Paint;
  /** Newest first. */
  runs: readonly RunPicture[];
  /** Which of them is chosen. */
  run: number;
  /** Who drives it, as words. */
  driver: string;
  /** Which of its tasks. */
  task: number;
  /** Open ones of the project, newest first. */
  letters: readonly DeadLetter[];
  letter: number;
  /** Milliseconds of silence of the chosen run's workers, by task. */
  silences: ReadonlyMap<string, number>;
  /** What the chosen task's worker said and did, the newest last. */
  transcript: readonly TranscriptLine[];
  /** Lines above the end. */
  scroll: number;
  /** Null when nothing is counted. */
  metrics: { snapshot: MetricsSnapshot; history: MetricHistory } | null;
  filter: string;
  prompt: Prompt;
  /** Keys that do something now, with what they do. */
  keys: readonly (readonly [key: string, what: string])[];
}

export function chosenRun({ runs, run }: Pick<DashboardView, "runs" | "run">): RunPicture | null {
  return runs[run] ?? null;
}

export function chosenTask(view: Pick<DashboardView, "runs" | "run" | "task">): TaskState | null {
  return chosenRun(view)?.state.tasks[view.task] ?? null;
}

export const STATUS_TONES: Readonly<Record<string, Tone>> = {
  running: "accent",
  completed: "success",
  failed: "error",
  cancelled: "warning",
};
