import { closingWords, isTerminal, type RunState } from "../runs/run-state.ts";
import { displayPath } from "../store/layout.ts";
import type { RunView } from "../store/run-store.ts";
import { messageOf } from "../system/errors.ts";
import { keepEnds, safeText } from "../system/safe-text.ts";
import type { Processes } from "../system/world.ts";
import { type RunPicture, renderRun } from "../views/run-summary.ts";
import { followUpLines } from "./follow-ups.ts";
import { outputWidth } from "./output.ts";
import { RUNS_COMPARED_MAX, regressionsIn, workflowSampleOf } from "./regressions.ts";
import { driverStandstill } from "./run-facts.ts";
import type { Session } from "./session.ts";
import type { DriveEnd, ShownRun } from "./shown-run.ts";

const OUTPUT_CHARS_MAX = 6000;

/** `shown`: the runs of this session, which knows more of them than that their owner's process is there. */
export function pictureOf(
  { manifest, state, health, folder }: RunView,
  cwd: string,
  processes: Processes,
  shown: readonly ShownRun[],
): RunPicture {
  const own = shown.find(({ run }) => run.manifest.runId === manifest.runId);
  const standstill = own && !isTerminal(state.status) ? own.standstill : driverStandstill(state, processes);
  return { manifest, state, health, standstill, folder: displayPath(folder, cwd) };
}

/**
 * What the run hands back: the closing words of the tasks nothing depends on, and of those that failed; what
 * they suggest to do next. It comes from models: data, not orders.
 */
export function outputsOf(view: RunView): string[] {
  const { manifest, state, folder } = view;
  const needed = new Set(manifest.tasks.flatMap((task) => task.dependsOn));
  const last = state.tasks.filter((task) => !needed.has(task.taskId) || task.status === "failed");
  const share = Math.floor(OUTPUT_CHARS_MAX / Math.max(1, last.length));
  const words = last.flatMap((task) => {
    const text = safeText(closingWords(task), { multiline: true }).trim();
    if (text === "") return [];
    const place = manifest.kept[task.taskId] ? `${folder}/manifest.json` : `${folder}/tasks/${task.taskId}/`;
    const whole = text.length > share ? `\n[the whole text: ${place}]` : "";
    return ["", `--- ${task.taskId} (${task.status}) ---`, keepEnds(text, share) + whole];
  });
  return [...words, ...followUpLines(view)];
}

/** A sentence for an end that the run's own state can't tell. */
export function endNote(end: DriveEnd): string[] {
  if (end.kind === "released")
    return [
      "Pi let go of the run; workers under way finish on their own. The next session in this folder goes on with it.",
    ];
  if (end.kind === "lost")
    return [
      `The run was stopped, and its log could not tell: ${messageOf(end.error)} What happened before is kept. ` +
        "Once that is mended, /team-cancel ends it in its log, too; the next start of Pi recovers it.",
    ];
  if (end.kind === "fenced") return ["Another Pi drives the run now; this session only watches."];
  return [];
}

/** Of a run that was interrupted and taken over to be closed. */
export function closedNote({ runId, status, tasks }: RunState): string {
  if (status === "completed")
    return `Run ${runId} was interrupted; its workers had ended all there was to do: completed.`;
  // what could not be committed did not complete; its own error says where it is
  const unkept = tasks.flatMap((task) =>
    task.status === "cancelled" && task.error?.kind === "worktree"
      ? [` ${task.taskId} is not kept: ${task.error.message}`]
      : [],
  );
  return `Run ${runId} was interrupted and is closed; what its tasks completed is kept.${unkept.join("")} /team-resume ${runId} continues it.`;
}

/** The commands that go on with a run that ended without completing, each in a line that can be copied. */
function nextSteps({ manifest: { runId }, state }: RunView): string[] {
  if (!isTerminal(state.status) || state.status === "completed") return [];
  const failed = state.tasks
    .filter(({ status, redrivenAs }) => status === "failed" && redrivenAs.length === 0)
    .map(({ taskId }) => taskId);
  const [first, second] = failed;
  const likewise = second === undefined ? "" : "; the same works for each other task that failed";
  const redrive = first && `/team-redrive ${runId} ${first} does ${first} again and what needs it${likewise}`;
  return ["", `/team-resume ${runId} goes on with what did not complete`, ...(redrive ? [redrive] : [])];
}

/** All there is to say when a run this session drove has ended. */
export async function reportEnd(session: Session, active: ShownRun, end: DriveEnd, width: number): Promise<string> {
  const view = await (await session.runs()).view(active.run.manifest.runId);
  const lines = renderRun(pictureOf(view, session.cwd, session.world.processes, []), session.world.clock.now(), width);
  const worse = await becameWorse(session, view);
  return [...lines, ...endNote(end), ...worse, ...outputsOf(view), ...nextSteps(view)].join("\n");
}

/** Tells a run's end once, in the session that shows it, where the model can read it too. */
export function announceEnd(session: Session, shown: ShownRun): void {
  if (session.announced.has(shown)) return;
  session.announced.add(shown);
  shown.done
    .then(async (end) => {
      if (session.closed) return;
      const content = await reportEnd(session, shown, end, outputWidth());
      // the session may have been replaced meanwhile, and its pi be stale
      if (session.closed) return;
      const { runId } = shown.run.manifest;
      // the model that started a run in the background goes on with what came of it
      const options = shown.wake ? { triggerTurn: true, deliverAs: "followUp" as const } : {};
      session.pi.sendMessage({ customType: "foreman-run", content, display: true, details: { runId } }, options);
    })
    .catch((error: unknown) => session.world.log.warn("a run's end could not be told", { error: String(error) }));
}

/** A sentence when the newest runs of this one's workflow, itself among them, are worse than those before. */
async function becameWorse(session: Session, view: RunView): Promise<string[]> {
  const { workflow, sample } = workflowSampleOf(view);
  if (sample === null) return [];
  const views = await (await session.runs()).views(RUNS_COMPARED_MAX).catch(() => []);
  return regressionsIn(views.map(workflowSampleOf).filter((run) => run.workflow === workflow));
}
