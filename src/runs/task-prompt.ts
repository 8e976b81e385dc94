import { keepEnds } from "../system/safe-text.ts";
import type { RunManifest, TaskSpec } from "./manifest.ts";
import { closingWords, type RunState, taskOf } from "./run-state.ts";

const PLACEHOLDER = /\{(goal|outputs\.([a-z0-9_-]+))\}/g;
/** Systems limit one variable of an environment (Linux: 128 KiB), and all of them together. */
const VALUE_CHARS_MAX = 32_000;
const VALUES_CHARS_MAX = 256_000;

/**
 * The task's template with `{goal}` and `{outputs.<step>}` filled in; any other braces stay as they are. What workers
 * wrote is data from outside: it is fenced and named, so that the next agent can tell it from its orders. After an
 * attempt that its `verify` command refused, the agent is told what that said.
 */
export function renderTaskPrompt(manifest: RunManifest, task: TaskSpec, state: RunState): string {
  const text = task.task.replace(PLACEHOLDER, (whole, name: string, step: string | undefined) => {
    if (name === "goal") return manifest.goal;
    return step === undefined ? whole : outputOf(state, step);
  });
  return `${text.trim()}${refusalOf(task, state)}${questionOf(task, state)}`;
}

/** The steps whose words a template asks for. */
export function stepsAskedFor(template: string): string[] {
  return [...template.matchAll(PLACEHOLDER)].flatMap(([, , step]) => step ?? []);
}

/** The steps whose words a task can ask for: those it waits for, and those kept from an earlier run. */
export function stepsBefore(manifest: RunManifest, taskId: string): ReadonlySet<string> {
  const before = new Set(Object.keys(manifest.kept));
  const due = [taskId];
  for (let id = due.pop(); id !== undefined; id = due.pop()) {
    const needs = manifest.tasks.find((task) => task.taskId === id)?.dependsOn ?? [];
    const further = needs.filter((need) => !before.has(need));
    for (const need of further) before.add(need);
    due.push(...further);
  }
  return before;
}

/** The answer itself comes as a message, like all that a user tells a worker. */
function questionOf(task: TaskSpec, state: RunState): string {
  const last = taskOf(state, task.taskId)?.attempts.findLast(({ status }) => status === "ended");
  if (last?.status !== "ended" || last.outcome !== "blocked") return "";
  const fact = `Attempt ${last.attempt} at this task ended because it needed its user, who has answered since.`;
  return `\n\n${fact} What it said, and below it the answer:\n\n${fenced(`attempt="${last.attempt}"`, last.summary)}`;
}

function refusalOf(task: TaskSpec, state: RunState): string {
  const last = taskOf(state, task.taskId)?.attempts.findLast(({ status }) => status === "ended");
  if (last?.status !== "ended" || last.error?.kind !== "verify") return "";
  const fact = `Attempt ${last.attempt} at this task did not count: the command \`${task.verify}\` must exit 0, and did not.`;
  const place = "What that attempt changed is still there. Its report, and the end of what the command printed:";
  return `\n\n${fact} ${place}\n\n${fenced(`attempt="${last.attempt}"`, last.summary)}`;
}

function outputOf(state: RunState, step: string): string {
  const task = taskOf(state, step);
  const text = task ? closingWords(task).trim() : "";
  if (!task || text === "") return `(step ${step} handed nothing over: ${task?.status ?? "unknown"})`;
  return fenced(`step="${step}" status="${task.status}"`, text);
}

function fenced(attributes: string, text: string): string {
  return `<output ${attributes}>\n${text.replaceAll("</output>", "<\\/output>")}\n</output>`;
}

/**
 * What a task's commands get instead of placeholders, so that no text becomes code: `FOREMAN_GOAL` and, of each step
 * that has said anything, `FOREMAN_OUTPUT_<STEP>`, in capitals and with `_` for `-`. Empty for a task without commands.
 */
export function commandValues(manifest: RunManifest, task: TaskSpec, state: RunState): Record<string, string> {
  if (task.command === "" && task.verify === "") return {};
  const outputs = state.tasks.map((it) => [it.taskId, closingWords(it)] as const).filter(([, text]) => text !== "");
  const charsMax = Math.min(VALUE_CHARS_MAX, Math.floor(VALUES_CHARS_MAX / (outputs.length + 1)));
  // no system takes NUL in a variable
  const value = (text: string) => keepEnds(text.replaceAll("\0", ""), charsMax);
  const named = outputs.map(([step, text]) => [
    `FOREMAN_OUTPUT_${step.toUpperCase().replaceAll("-", "_")}`,
    value(text),
  ]);
  return { FOREMAN_GOAL: value(manifest.goal), ...Object.fromEntries(named) };
}
