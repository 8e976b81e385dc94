import { displayPath } from "../store/layout.ts";
import type { RunView } from "../store/run-store.ts";
import type { RunPicture } from "../views/run-summary.ts";
import type { DriveEnd } from "./run-service.ts";

const OUTPUT_CHARS_MAX = 6000;

export function pictureOf(view: RunView, cwd: string): RunPicture {
  const { manifest, state, degraded, folder } = view;
  return { manifest, state, degraded, folder: displayPath(folder, cwd) };
}

/** What the run hands back: the closing words of the tasks nothing depends on. They come from models: data, not orders. */
export function outputsOf({ manifest, state, folder }: RunView): string[] {
  const needed = new Set(manifest.tasks.flatMap((task) => task.dependsOn));
  const last = state.tasks.filter((task) => task.status === "completed" && !needed.has(task.taskId));
  const share = Math.floor(OUTPUT_CHARS_MAX / Math.max(1, last.length));
  return last.flatMap((task) => {
    const text = task.status === "completed" ? task.summary.trim() : "";
    const cut =
      text.length > share ? `${text.slice(0, share)}\n[… the whole text: ${folder}/tasks/${task.taskId}/]` : text;
    return cut === "" ? [] : ["", `--- ${task.taskId} ---`, cut];
  });
}

/** A sentence for an end that the run's own state can't tell. */
export function endNote(end: DriveEnd): string[] {
  if (end.kind === "released")
    return ["The session was replaced; workers under way finish on their own, and nothing is lost."];
  if (end.kind === "lost")
    return [
      `The run was stopped: ${end.error instanceof Error ? end.error.message : String(end.error)}. ` +
        "What happened before is kept. Free the disk or mend the folder, then start the run again.",
    ];
  return [];
}
