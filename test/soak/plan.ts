import type { CrewEventType } from "../../src/events/crew-event.ts";

/** What a round does, drawn from its seed: the runs it asks for and the blows that fall on them. */

export interface PlannedTask {
  id: string;
  dependsOn: readonly string[];
  optional: boolean;
}

export interface PlannedRun {
  seed: number;
  background: boolean;
  /** Many of its tasks fail, each time by lot. */
  frail: boolean;
  tasks: readonly PlannedTask[];
}

/** What the workers' scripts follow from. */
export function goalOf({ seed, frail }: PlannedRun): string {
  return `SEED:${seed}${frail ? " FRAIL" : ""}`;
}

export type Target =
  | "session"
  | "supervisor"
  | "wrapper"
  | "tool"
  /** Who drives, and one of its workers with it. */
  | "owner+wrapper"
  | "everything"
  /** No kills, but the other ways a session ends. */
  | "quit"
  | "replace"
  /** A session is told to cancel a run, whoever drives it. */
  | "cancel";

export interface Blow {
  target: Target;
  /** It falls when the round's files have grown at least so many times since the blow before. */
  afterSteps: number;
  /** And when the last event of some run's log is this one; null for whatever it is. */
  moment: CrewEventType | null;
  /** And so many milliseconds later. */
  delayMs: number;
  /** Two sessions are opened at once in place of one that was killed. */
  rivals: boolean;
  /** Which of several victims; in [0, 1). */
  pick: number;
}

/** When all runs have ended, one that did not complete is gone on with. */
export interface Again {
  /** Two sessions are asked at once. */
  rivals: boolean;
  /** One that was asked is killed so many milliseconds later. */
  killAfterMs: number | null;
  pick: number;
}

export interface RoundPlan {
  seed: number;
  runs: readonly PlannedRun[];
  blows: readonly Blow[];
  again: Again | null;
}

const RUNS_MAX = 2;
const TASKS_MIN = 3;
const TASKS_MAX = 6;
const BLOWS_MAX = 5;
const STEPS_MAX = 35;
const MOMENTS: readonly CrewEventType[] = [
  "crew.run.created",
  "crew.run.claimed",
  "crew.run.resumed",
  "crew.run.released",
  "crew.run.cancel_asked",
  "crew.task.attempt_started",
  "crew.subagent.spawned",
  "crew.subagent.completed",
  "crew.task.attempt_finished",
  "crew.task.retry_attempt",
  "crew.task.completed",
  "crew.task.deadletter",
  "crew.task.failed",
];
const DELAY_MS_MAX = 12;
const AGAIN_MS_MAX = 150;

const TARGETS: readonly (readonly [Target, number])[] = [
  ["session", 22],
  ["supervisor", 24],
  ["wrapper", 22],
  ["tool", 4],
  ["owner+wrapper", 12],
  ["everything", 6],
  ["quit", 6],
  ["replace", 4],
  ["cancel", 14],
];

export function planRound(seed: number, background: boolean): RoundPlan {
  const next = diceOf(seed);
  const upTo = (max: number) => Math.floor(next() * max);
  const runs = Array.from({ length: 1 + upTo(RUNS_MAX) }, (_, at) => ({
    seed: seed * 10 + at,
    background: background && next() < 0.5,
    frail: false,
    tasks: tasksOf(next, TASKS_MIN + upTo(TASKS_MAX - TASKS_MIN + 1)),
  }));
  const blows = Array.from({ length: upTo(BLOWS_MAX + 1) }, () => ({
    target: weighted(TARGETS, next()),
    afterSteps: upTo(STEPS_MAX),
    moment: next() < 0.5 ? (MOMENTS[upTo(MOMENTS.length)] ?? null) : null,
    delayMs: upTo(DELAY_MS_MAX),
    rivals: next() < 0.15,
    pick: next(),
  }));
  if (next() < 0.6) return { seed, runs, blows, again: null };
  const killAfterMs = next() < 0.6 ? upTo(AGAIN_MS_MAX) : null;
  const again = { rivals: next() < 0.5, killAfterMs, pick: next() };
  return { seed, runs: runs.map((run) => ({ ...run, frail: true })), blows, again };
}

/** Each may need two of those before it: chains, diamonds, and what stands alone. */
function tasksOf(next: () => number, count: number): PlannedTask[] {
  const ids = Array.from({ length: count }, (_, at) => `t${at}`);
  return ids.map((id, at) => {
    const before = ids.slice(0, at).filter(() => next() < 1.4 / Math.max(1, at));
    return { id, dependsOn: before.slice(0, 2), optional: next() < 0.1 };
  });
}

function weighted<T>(choices: readonly (readonly [T, number])[], chance: number): T {
  let left = chance * choices.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [choice, weight] of choices) {
    left -= weight;
    if (left < 0) return choice;
  }
  return (choices[0] as readonly [T, number])[0];
}

/** Chances in [0, 1), the same for the same seed (mulberry32). */
export function diceOf(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** The project's definition files, path → text. */
export function definitionFiles(plan: RoundPlan): Record<string, string> {
  const workflows = plan.runs.map((run, at) => [`.crew/workflows/w${at}.workflow.md`, workflowText(`w${at}`, run)]);
  return {
    ".crew/agents/hand.md":
      "---\nname: hand\ndescription: follows its script\nmodel: script\n---\nYou follow a script.\n",
    ".crew/teams/soak.team.md":
      "---\nname: soak\ndescription: scripted workers\ndefaultWorkflow: w0\nmaxConcurrency: 3\nroles:\n  hand: hand\n---\n",
    ...Object.fromEntries(workflows),
  };
}

function workflowText(name: string, { tasks }: PlannedRun): string {
  const steps = tasks.map(({ id, dependsOn, optional }) => {
    const needs = dependsOn.length > 0 ? `dependsOn: ${dependsOn.join(", ")}\n` : "";
    return `## ${id}\nrole: hand\ntimeoutSec: ${TIMEOUT_SEC}\n${needs}${optional ? "optional: true\n" : ""}\n{goal}\n`;
  });
  return `---\nname: ${name}\ndescription: drawn by lot\n---\n\n${steps.join("\n")}`;
}

/** Of every attempt; scripts that don't end by themselves are few. */
const TIMEOUT_SEC = 8;
