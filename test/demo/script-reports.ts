import type { TestRun } from "./conversation.ts";

/** The closing words of the scripted workers, in the form the shipped agents' prompts ask for. */

export function explorerReport(file: string, line: number | null, code: string): string {
  if (line === null)
    return `## Answer
The cause was not found: ${file} does not hold the line that the script knows.

## Evidence
- none

## Map
- \`${file}\` — joins meetings

## Unknowns
- the cause`;
  return `## Answer
joinMeetings takes the end of the meeting it meets last, not the later of the two ends. A short meeting within a long one
cuts the long one off, and freeSlots reports the rest of it as free. \`node --test\` shows it.

## Evidence
- \`${file}:${line}\` — \`${code}\` replaces a later end by an earlier one
- \`test/free-slots.test.js\` — 09:00–16:00 with 10:00–11:00 in it is the case that fails

## Map
- \`${file}\` — joins meetings; the cause
- \`src/free-slots.js\` — its only caller; correct as it is

## Unknowns
- none`;
}

export function executorReport(file: string, tests: TestRun | null, withoutFix: boolean): string {
  const done = tests?.ok === true;
  return `RESULT: ${done ? "done" : "partial"}

## Changed
- ${withoutFix ? "nothing: the edit was left out on purpose (--without-fix)" : `\`${file}\` — the joined end is the later of both ends`}

## Checks
- \`node --test\` → ${describe(tests)}

## Deviations
- ${withoutFix ? "the fix itself" : "none"}

## Left open
- ${done ? "none" : "the test still fails"}`;
}

export function verifierReport(tests: TestRun | null, edgeCasesHold: boolean): string {
  const testsPass = tests?.ok === true;
  const pass = testsPass && edgeCasesHold;
  const failures = [
    ...(testsPass ? [] : [`\`node --test\` — ${describe(tests)}`]),
    ...(edgeCasesHold ? [] : ["three further cases — the slots printed are not the free ones"]),
  ];
  return `VERDICT: ${pass ? "pass" : "fail"}
${pass ? "A short meeting within a long one no longer frees the room." : "The room is still reported free while it is taken."}

## Claims
- the failing test passes now — ${testsPass ? "confirmed" : "refuted"}: by \`node --test\`
- nested, empty and overlong meetings give the right slots — ${edgeCasesHold ? "confirmed" : "refuted"}: by three further cases

## Runs
- \`node --test\` → ${describe(tests)}

## Failures
${failures.length === 0 ? "- none" : failures.map((failure, at) => `${at + 1}. ${failure}`).join("\n")}`;
}

export function reviewerReport(seen: {
  file: string;
  line: number | null;
  /** The code as read now holds the fix. */
  fixed: boolean;
  /** Files of the diff; null when git had none to show. */
  changed: readonly string[] | null;
}): string {
  const { file, line, fixed, changed } = seen;
  const others = (changed ?? []).filter((path) => path !== file);
  const findings = [
    ...(fixed
      ? []
      : [
          `[blocker] \`${file}:${line ?? 1}\` — the end of the last meeting still replaces a later one.
   Fails when: a meeting lies within another; the rest of the longer one is reported free.
   Fix: keep the later of the two ends.`,
        ]),
    ...others.map((path) => `[major] \`${path}:1\` — changed, though the fix does not need it.`),
  ];
  return `VERDICT: ${findings.length === 0 ? "approve" : "changes-needed"}

## Findings
${findings.length === 0 ? "No bugs found." : findings.map((finding, at) => `${at + 1}. ${finding}`).join("\n")}

## Read
- \`${file}\` — the whole function, and its one caller

## Not checked
- ${changed === null ? "the diff: this folder has no git repository" : "none"}`;
}

function describe(tests: TestRun | null): string {
  if (!tests) return "not run";
  const failed = tests.failures.length > 0 ? ` (${tests.failures.join("; ")})` : "";
  return `exit code ${tests.ok ? 0 : 1}, ${tests.passed} passed, ${tests.failed} failed${failed}`;
}
