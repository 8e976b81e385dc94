import { whyUnread } from "../runs/task-message.ts";
import { safeText } from "../system/safe-text.ts";
import { chosenRun, chosenTask, type DashboardView, STATUS_TONES } from "./dashboard-view.ts";
import { drawLine, drawTable, firstShown, fold, type Paint, type Row, type Tone } from "./paint.ts";
import { SIGNS } from "./run-summary.ts";
import { columns } from "./text-width.ts";

/** Of the tasks, while messages are below them. */
const TASK_LINES_SHARE = 0.4;

/** Whom one can talk to, and what was said to whom. */
export function renderMailbox(view: DashboardView, width: number): string[] {
  const { paint, height } = view;
  const run = chosenRun(view);
  const task = chosenTask(view);
  if (!run || !task) return [];
  const { state } = run;
  const rows = Math.min(state.tasks.length, Math.max(1, Math.floor(height * TASK_LINES_SHARE)));
  const first = firstShown(state.tasks.length, view.task, rows);
  const told = new Map<string, number>();
  for (const { taskId } of state.mail) told.set(taskId, (told.get(taskId) ?? 0) + 1);
  const table = state.tasks.slice(first, first + rows).map((one, at): Row => {
    const { taskId, status } = one;
    const asks = one.status === "running" && one.question !== null;
    return {
      chosen: first + at === view.task,
      cells: [
        `${SIGNS[status]} ${taskId}`,
        { text: status, tone: STATUS_TONES[status] ?? "muted" },
        { text: asks ? "asks you" : "", tone: "warning" },
        { text: told.has(taskId) ? `✉ ${told.get(taskId)}` : "", tone: "accent" },
      ],
    };
  });
  const asked = task.status === "running" ? (task.question?.text ?? "") : "";
  const why = whyUnread(run, task.taskId);
  const words = [
    ...(asked === "" ? [] : textLines(`? ${task.taskId}  `, asked, "warning", width, paint)),
    ...(why === null ? [] : [drawLine([{ text: why, tone: "dim" }], width, paint)]),
  ];
  const messages = state.mail.flatMap(({ taskId, text }) =>
    textLines(`→ ${taskId}  `, text, taskId === task.taskId ? "accent" : "muted", width, paint),
  );
  const none = drawLine([{ text: "Nobody was told anything in this run.", tone: "muted" }], width, paint);
  const room = Math.max(1, height - table.length - words.length - 1);
  const shown = messages.length === 0 ? [none] : messages.slice(-room);
  return [...drawTable(table, width, paint, { limits: [30] }), "", ...words, ...shown];
}

/** A mark with the text behind it, and below where it takes more lines. */
function textLines(mark: string, text: string, tone: Tone, width: number, paint: Paint): string[] {
  return safeText(text, { multiline: true })
    .split("\n")
    .flatMap((line) => fold(line, Math.max(1, width - columns(mark))))
    .map((line, at) => drawLine([{ text: at === 0 ? mark : " ".repeat(columns(mark)), tone }, line], width, paint));
}
