import { closingWords } from "../runs/run-state.ts";
import type { RunView } from "../store/run-store.ts";
import { UserError } from "../system/errors.ts";
import { safeText } from "../system/safe-text.ts";
import { followUpOf } from "../workers/pi-outcome.ts";
import type { RunRequest } from "./build-manifest.ts";

interface FollowUp {
  taskId: string;
  text: string;
}

/** What the agents at a run's end say is left to do. */
function followUpsOf({ manifest, state }: RunView): FollowUp[] {
  const needed = new Set(manifest.tasks.flatMap((task) => task.dependsOn));
  return state.tasks.flatMap((task) => {
    const text = needed.has(task.taskId) ? null : followUpOf(closingWords(task));
    return text === null ? [] : [{ taskId: task.taskId, text: safeText(text, { multiline: true }) }];
  });
}

/** What is left to do and how to have it done; empty when nothing is. */
export function followUpLines(view: RunView): string[] {
  const all = followUpsOf(view);
  const { runId, team } = view.manifest;
  return all.flatMap(({ taskId, text }) => [
    "",
    `suggested by ${taskId}: ${text}`,
    `  /team-run --follow-up ${runId}${all.length > 1 ? ` ${taskId}` : ""} lets team ${team} do it`,
  ]);
}

/** A run of the same team for what an earlier one left open. Throws a UserError when there is nothing, or a choice. */
export function followUpRequest(view: RunView, taskId: string | undefined, background: boolean): RunRequest {
  const { runId, team, workflow, goal } = view.manifest;
  const all = followUpsOf(view);
  const [first, second] = taskId === undefined ? all : all.filter((it) => it.taskId === taskId);
  const named = all.map((it) => it.taskId).join(", ");
  if (!first)
    throw new UserError("no-follow-up", `Run ${runId} suggests nothing${named && ` but by ${named}`} to be done next.`);
  if (second)
    throw new UserError(
      "which-follow-up",
      `Several tasks suggest something: /team-run --follow-up ${runId} <${named}>.`,
    );
  return {
    team,
    workflow,
    goal: `${first.text}\n\nThis was left open by an earlier run, whose goal was: ${goal}`,
    background,
  };
}
