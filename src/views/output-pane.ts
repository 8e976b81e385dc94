import { chosenRun, chosenTask, type DashboardView, STATUS_TONES } from "./dashboard-view.ts";
import { drawLine, fold } from "./paint.ts";
import { doingOf } from "./run-summary.ts";
import type { TranscriptLine } from "./transcript.ts";

/** What the chosen task's worker says and does, the end of it unless it was scrolled. */
export function renderOutput(view: DashboardView, width: number): string[] {
  const { paint, height, transcript, scroll } = view;
  const task = chosenTask(view);
  if (!task) return [];
  const attempt = task.attempts.at(-1);
  const doing = doingOf(task, chosenRun(view)?.standstill ?? null, view.now).map((words) => ` · ${words}`);
  const head = [
    { text: task.taskId, bold: true },
    { text: `  ${task.status}`, tone: STATUS_TONES[task.status] ?? ("muted" as const) },
    { text: `${attempt ? ` · attempt ${attempt.attempt}` : ""}${doing.join("")}`, tone: "muted" as const },
    { text: scroll > 0 ? `  ↑ ${scroll}` : "", tone: "warning" as const },
  ];
  const body = foldedEnd(transcript, width, height - 1 + scroll).slice(0, Math.max(0, height - 1));
  const none = attempt ? "Its worker has said nothing yet." : "It has not begun.";
  const lines = body.length > 0 ? body : [{ tone: "muted" as const, text: none }];
  return [drawLine(head, width, paint), ...lines.map((line) => drawLine([line], width, paint))];
}

/** The last `rows` lines of the folded text; no more of it is folded. */
function foldedEnd(lines: readonly TranscriptLine[], width: number, rows: number): TranscriptLine[] {
  const parts: TranscriptLine[][] = [];
  let count = 0;
  for (let at = lines.length - 1; at >= 0 && count < rows; at--) {
    const line = lines[at];
    if (!line) break;
    const folded = fold(line.text, width).map((text) => ({ tone: line.tone, text }));
    parts.unshift(folded);
    count += folded.length;
  }
  const all = parts.flat();
  return all.slice(Math.max(0, all.length - rows));
}
