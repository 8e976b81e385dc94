import type { ModelRequest, Reply } from "./model-reply.ts";

const TEAM = ".crew/teams/diamond.team.md";

/** A project's own team of four steps: a → (b ∥ c) → d. The scripted model tells them apart by their task's text. */
export const diamondFiles: Record<string, string> = {
  ".crew/agents/hand.md":
    "---\nname: hand\ndescription: does what it is told\ntools: read, bash, write\n---\nYou are HAND.\n",
  [TEAM]:
    "---\nname: diamond\ndescription: four steps\ndefaultWorkflow: diamond\nmaxConcurrency: 2\nroles:\n  hand: hand\n---\n",
  ".crew/workflows/diamond.workflow.md": `---
name: diamond
description: a, then b and c side by side, then d
---

## a
role: hand

STEP:a of {goal}

## b
role: hand
dependsOn: a

STEP:b after {outputs.a}

## c
role: hand
dependsOn: a

STEP:c after {outputs.a}

## d
role: hand
dependsOn: b, c

STEP:d after {outputs.b} and {outputs.c}
`,
};

/** The step a worker's request belongs to; null for the main agent. */
export function stepOf(request: ModelRequest): string | null {
  return /STEP:([a-z]+)/.exec(request.firstUserText)?.[1] ?? null;
}

/** The same, b before c: one worker does all, where it is not what is tested. Each one more loads the whole host. */
export const inTurnFiles: Record<string, string> = {
  ...diamondFiles,
  [TEAM]: (diamondFiles[TEAM] ?? "").replace("maxConcurrency: 2", "maxConcurrency: 1"),
};

export type StepScript = Record<string, (request: ModelRequest) => Reply | Promise<Reply>>;

/** The main agent calls the tool once with `call` and then says what it got; each worker plays its step's script. */
export function teamReplies(call: Record<string, unknown>, steps: StepScript = {}) {
  return (request: ModelRequest): Reply | Promise<Reply> => {
    const step = stepOf(request);
    if (step !== null) return steps[step]?.(request) ?? { text: `${step} is done` };
    if (request.assistantTurns === 0) return { tools: [{ name: "team", args: call }] };
    return { text: `the team said: ${request.lastToolText}` };
  };
}
