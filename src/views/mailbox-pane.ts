import {
  isTerminal,
  openQuestion,
  type RunState,
  type TaskMessage,
  type TaskState,
  taskOf,
} from "../runs/run-state.ts";
import { mailOf, whyUnread } from "../runs/task-message.ts";
import { safeText } from "../system/safe-text.ts";
import { chosenRun, chosenTask, type DashboardView, STATUS_TONES } from "./dashboard-view.ts";
import { type Cell, drawLine, drawTable, firstShown, fold, type Paint, type Row, type Tone } from "./paint.ts";
import { SIGNS } from "./run-summary.ts";
import { columns, padBefore } from "./text-width.ts";
import { formatDuration } from "./units.ts";

/** Of the tasks, while messages are below them. */
const TASK_LINES_SHARE = 0.4;
const AGE_COLUMNS = 7;

/** Whom one can talk to, and what was said to whom. */
export function renderMailbox(view: DashboardView, width: number): string[] {
  const { paint, height } = view;
  const run = chosenRun(view);
  const task = chosenTask(view);
  if (!run || !task) return [];
  const { state } = run;
  const table = taskTable(view, state, width);
  const asked = openQuestion(task);
  const why = whyUnread(run, task.taskId);
  const words = [
    ...(asked ? textLines(`? ${task.taskId}  `, asked.text, "", "warning", width, paint) : []),
    ...(asked ? [drawLine([{ text: "m answers", tone: "warning" }], width, paint)] : []),
    ...(why === null ? [] : [drawLine([{ text: why, tone: "dim" }], width, paint)]),
  ];
  const room = Math.max(1, height - table.length - words.length - 1);
  const none = "Nobody was told or asked anything in this run.";
  const shown = messageLines(state, task, room, view.now, width, paint);
  const lines = shown.length === 0 ? [drawLine([{ text: none, tone: "muted" }], width, paint)] : shown.slice(-room);
  return [...table, "", ...words, ...lines];
}

function taskTable({ task: chosen, height, paint }: DashboardView, state: RunState, width: number): string[] {
  const rows = Math.min(state.tasks.length, Math.max(1, Math.floor(height * TASK_LINES_SHARE)));
  const first = firstShown(state.tasks.length, chosen, rows);
  const table = state.tasks.slice(first, first + rows).map((task, at): Row => {
    const { taskId, status } = task;
    const told = mailOf(state, taskId).length;
    return {
      chosen: first + at === chosen,
      cells: [
        `${SIGNS[status]} ${taskId}`,
        { text: status, tone: STATUS_TONES[status] ?? "muted" },
        { text: openQuestion(task) ? "asks you" : "", tone: "warning" },
        { text: told > 0 ? `✉ ${told}` : "", tone: "accent" },
      ],
    };
  });
  return drawTable(table, width, paint, { limits: [30] });
}

/** The last ones that `room` lines hold, and a little more: no others are folded. */
function messageLines(
  state: RunState,
  chosen: TaskState,
  room: number,
  now: number,
  width: number,
  paint: Paint,
): string[] {
  const lines: string[] = [];
  for (let at = state.mail.length - 1; at >= 0 && lines.length < room; at--) {
    const message = state.mail[at];
    if (!message) break;
    const { taskId, direction, text } = message;
    const isTo = direction === "to-worker";
    const age = padBefore(formatDuration(Math.max(0, now - message.at)), AGE_COLUMNS);
    const mark = `${age} ago  ${isTo ? `you → ${taskId}` : `${taskId} → you`}  `;
    const note = isTo ? deliveryOf(state, message) : "a question";
    const tone = taskId === chosen.taskId ? (isTo ? "accent" : "warning") : "muted";
    lines.unshift(...textLines(mark, text, `  (${note})`, tone, width, paint));
  }
  return lines;
}

/** A message is handed to the attempt under way, or to the next one with its prompt. */
function deliveryOf(state: RunState, { taskId, at }: TaskMessage): string {
  const task = taskOf(state, taskId);
  const taker = task?.attempts.find((attempt) => attempt.status === "running" || attempt.endedAt > at);
  if (taker) return `delivered to attempt ${taker.attempt}`;
  return task && isTerminal(task.status) ? "came too late" : "waits for its worker";
}

/** A mark with the text behind it, and below where it takes more lines; the note where its last line has room. */
function textLines(mark: string, text: string, note: string, tone: Tone, width: number, paint: Paint): string[] {
  const blank = " ".repeat(columns(mark));
  const room = Math.max(1, width - columns(mark));
  const folded = safeText(text, { multiline: true })
    .split("\n")
    .flatMap((line) => fold(line, room));
  const last = folded.length - 1;
  const beside = columns(folded[last] ?? "") + columns(note) <= room;
  const muted: Cell = { text: note, tone: "dim" };
  const lines = folded.map((line, at) =>
    drawLine([{ text: at === 0 ? mark : blank, tone }, line, beside && at === last ? muted : ""], width, paint),
  );
  return beside ? lines : [...lines, drawLine([blank, muted], width, paint)];
}
