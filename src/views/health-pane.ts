import { attemptUnderWay, type WorkerLevel } from "../runs/run-state.ts";
import type { DeadLetter } from "../store/dead-letter-lines.ts";
import { isDegraded } from "../store/run-log-reader.ts";
import { safeText } from "../system/safe-text.ts";
import { chosenRun, type DashboardView } from "./dashboard-view.ts";
import { logNote } from "./log-note.ts";
import { drawLine, drawTable, firstShown, fold, type Row, type Tone } from "./paint.ts";
import type { RunPicture } from "./run-summary.ts";
import { isFollowed, standstillWords } from "./standstill.ts";
import { formatDuration } from "./units.ts";

const LEVEL_TONES: Readonly<Record<WorkerLevel, Tone>> = {
  healthy: "success",
  warn: "warning",
  stale: "warning",
  dead: "error",
  stuck: "warning",
};

/** Who drives the run, its workers' signs of life, and what was given up in the project. */
export function renderHealth(view: DashboardView, width: number): string[] {
  const { paint, height } = view;
  const run = chosenRun(view);
  const head = (text: string) => drawLine([{ text, tone: "dim" }], width, paint);
  const owner = run ? ownerLines(run, width, view) : [];
  const workers = run ? workerRows(view, run) : [];
  // half of what is left for each; the letters take what the workers leave
  const room = Math.max(2, height - owner.length - 4);
  const letterLines = Math.max(1, Math.min(view.letters.length, room - Math.min(workers.length, Math.floor(room / 2))));
  const shown = workers.slice(0, Math.max(1, room - letterLines));
  const more = workers.length - shown.length;
  const first = firstShown(view.letters.length, view.letter, letterLines);
  const letters = view.letters.slice(first, first + letterLines);
  const quiet = drawLine([{ text: "none is at work", tone: "muted" }], width, paint);
  const none = drawLine([{ text: "none: no task was given up", tone: "muted" }], width, paint);
  return [
    ...owner,
    head(`HEARTBEATS${more > 0 ? `, ${more} more` : ""}`),
    ...(shown.length === 0 ? [quiet] : drawTable(shown, width, paint, { limits: [30] })),
    "",
    head(`DEAD LETTERS of all runs, open${view.letters.length > 0 ? `: ${view.letters.length}` : ""}`),
    ...(letters.length === 0
      ? [none]
      : drawTable(
          letters.map((letter, at) => letterRow(letter, view, first + at)),
          width,
          paint,
          { limits: [24] },
        )),
    ...letterDetail(view, width),
  ];
}

function ownerLines(
  { state, standstill, health }: RunPicture,
  width: number,
  { paint, driver }: DashboardView,
): string[] {
  const lines = [drawLine([{ text: "LEASE, who drives the run  ", tone: "dim" }, driver], width, paint)];
  if (standstill) {
    const words = fold(safeText(standstillWords(standstill, state.runId), { multiline: false }), width);
    lines.push(...words.map((text) => drawLine([{ text, tone: "warning" }], width, paint)));
  }
  const note = logNote(health);
  const tone = isDegraded(health) ? "error" : "muted";
  if (note !== null) lines.push(drawLine([{ text: `the run's log ${note}`, tone }], width, paint));
  return [...lines, ""];
}

function workerRows({ silences, now }: DashboardView, { state, standstill }: RunPicture): Row[] {
  return state.tasks.flatMap((task) => {
    const attempt = attemptUnderWay(task);
    if (task.status !== "running" || attempt === null) return [];
    const silence = silences.get(task.taskId);
    return {
      cells: [
        task.taskId,
        isFollowed(standstill)
          ? { text: task.level, tone: LEVEL_TONES[task.level] }
          : { text: "not watched", tone: "muted" },
        { text: silence === undefined ? "" : `silent ${formatDuration(silence)}`, right: true },
        {
          text: `worker ${attempt.workerId}${attempt.pid === null ? ", starting" : `, pid ${attempt.pid}`}`,
          tone: "muted",
        },
        {
          text: `attempt ${attempt.attempt}, ${formatDuration(Math.max(0, now - attempt.startedAt))}`,
          tone: "muted",
        },
      ],
    };
  });
}

function letterRow(letter: DeadLetter, { letter: chosen, now }: DashboardView, at: number): Row {
  const age = formatDuration(Math.max(0, now - Date.parse(letter.timestamp)));
  return {
    chosen: at === chosen,
    cells: [
      { text: letter.taskId, bold: true },
      { text: letter.reason, tone: "error" },
      { text: `${letter.attempts}×`, right: true },
      { text: `${age} ago`, tone: "muted", right: true },
      { text: letter.lastError?.message.split("\n", 1)[0] ?? "", tone: "muted" },
    ],
  };
}

/** What the table has no room for. */
function letterDetail({ letters, letter, paint }: DashboardView, width: number): string[] {
  const chosen = letters[letter];
  if (!chosen) return [];
  return [drawLine([{ text: `  ${chosen.id} · run ${chosen.runId}`, tone: "dim" }], width, paint)];
}
