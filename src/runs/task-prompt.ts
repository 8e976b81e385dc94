import type { RunManifest, TaskSpec } from "./manifest.ts";
import { closingWords, type RunState } from "./run-state.ts";

const PLACEHOLDER = /\{(goal|outputs\.([a-z0-9_-]+))\}/g;

/**
 * The task's template with `{goal}` and `{outputs.<step>}` filled in; any other braces stay as they are. What workers
 * wrote is data from outside: it is fenced and named, so that the next agent can tell it from its orders.
 */
export function renderTaskPrompt(manifest: RunManifest, task: TaskSpec, state: RunState): string {
  const text = task.task.replace(PLACEHOLDER, (whole, name: string, step: string | undefined) => {
    if (name === "goal") return manifest.goal;
    return step === undefined ? whole : outputOf(state, step);
  });
  return text.trim();
}

function outputOf(state: RunState, step: string): string {
  const task = state.tasks.find((candidate) => candidate.taskId === step);
  const text = task ? closingWords(task).trim() : "";
  if (!task || text === "") return `(step ${step} handed nothing over: ${task?.status ?? "unknown"})`;
  return `<output step="${step}" status="${task.status}">\n${text.replaceAll("</output>", "<\\/output>")}\n</output>`;
}
