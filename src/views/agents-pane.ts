import { attemptUnderWay, closingWords, type TaskState } from "../runs/run-state.ts";
import { mailOf } from "../runs/task-message.ts";
import { usedBy } from "../runs/usage.ts";
import { chosenRun, chosenTask, type DashboardView, STATUS_TONES } from "./dashboard-view.ts";
import { drawLine, drawTable, firstShown, fold, type Paint, type Row } from "./paint.ts";
import { doingOf, lastModel, type RunPicture, SIGNS, timeOf } from "./run-summary.ts";
import { fitting } from "./text-width.ts";
import { counted, formatDuration, formatTokens, formatUsd } from "./units.ts";

const HEADS = ["TASK", "AGENT", "STATE", "TIME", "TOKENS", "COST", "DOING"] as const;
const LIMITS = [30, 16, 0, 0, 0, 0, 0];
/** Of what is told of the chosen task. */
const DETAIL_LINES_MAX = 6;

/** Who is at what: a line a task, and more of the chosen one. */
export function renderAgents(view: DashboardView, width: number): string[] {
  const { paint, now, height } = view;
  const run = chosenRun(view);
  if (!run) return [];
  const detail = detailOf(view, run, width).slice(0, Math.max(0, Math.min(DETAIL_LINES_MAX, height - 4)));
  const rows = Math.max(1, height - 1 - (detail.length > 0 ? detail.length + 1 : 0));
  const first = firstShown(run.state.tasks.length, view.task, rows);
  const heads: Row = { cells: HEADS.map((text, at) => ({ text, tone: "dim", right: at > 2 && at < 6 })) };
  const shown = run.state.tasks.slice(first, first + rows);
  const table = shown.map((task, at) => rowOf(task, run, first + at, view.task === first + at, now));
  const lines = drawTable([heads, ...table], width, paint, { limits: LIMITS });
  return detail.length > 0 ? [...lines, "", ...detail] : lines;
}

function rowOf(task: TaskState, { manifest, standstill }: RunPicture, at: number, chosen: boolean, now: number): Row {
  const spec = manifest.tasks[at];
  const used = usedBy(task);
  const time = timeOf(task, now);
  const tone = STATUS_TONES[task.status] ?? "muted";
  const doing = doingOf(task, standstill, now).join(" · ");
  return {
    chosen,
    cells: [
      {
        text: `${SIGNS[task.status]} ${task.taskId}`,
        tone: task.status === "waiting" ? "muted" : "text",
        bold: chosen,
      },
      { text: spec?.agent?.name ?? spec?.kind ?? "", tone: "muted" },
      { text: task.status, tone },
      { text: time === null ? "" : formatDuration(time), right: true },
      { text: used.tokens > 0 ? formatTokens(used.tokens) : "", right: true },
      { text: used.tokens > 0 ? formatUsd(used.costUsd) : "", right: true },
      { text: doing || waitsFor(task, spec?.dependsOn ?? []), tone: "muted" },
    ],
  };
}

function waitsFor(task: TaskState, dependsOn: readonly string[]): string {
  if ("error" in task && task.error) return task.error.message.split("\n", 1)[0] ?? "";
  return task.status === "waiting" && dependsOn.length > 0 ? `after ${dependsOn.join(", ")}` : "";
}

function detailOf(view: DashboardView, run: RunPicture, width: number): string[] {
  const task = chosenTask(view);
  if (!task) return [];
  const told = mailOf(run.state, task.taskId).length;
  const facts = [`${task.taskId}`, ...attemptFacts(task), told > 0 ? `told ${counted(told, "thing")}` : ""];
  const head = drawLine([{ text: facts.filter(Boolean).join(" · "), tone: "muted" }], width, view.paint);
  return [head, ...wordsOf(task, width, view.paint)];
}

function attemptFacts(task: TaskState): string[] {
  const last = task.attempts.at(-1);
  if (!last) return [task.status === "completed" ? "kept from the run before" : "no attempt yet"];
  const { pid } = attemptUnderWay(task) ?? { pid: null };
  const model = lastModel(task.attempts);
  return [`attempt ${last.attempt}`, `worker ${last.workerId}`, pid === null ? "" : `pid ${pid}`, model ?? ""];
}

function wordsOf(task: TaskState, width: number, paint: Paint): string[] {
  const error = "error" in task && task.error ? `${task.error.kind}: ${task.error.message}` : "";
  const activity = task.status === "running" ? (task.activity?.text ?? "") : "";
  const text = error || activity || closingWords(task);
  const tone = error === "" ? "text" : "error";
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(0, DETAIL_LINES_MAX)
    .flatMap((line) => fold(line.slice(0, fitting(line, width * DETAIL_LINES_MAX)), width))
    .map((line) => drawLine([{ text: line, tone }], width, paint));
}
