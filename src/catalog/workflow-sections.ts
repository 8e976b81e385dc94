import type { MapValue, Value } from "./frontmatter.ts";
import { type Problems, quoted } from "./problems.ts";

/** The keys of a step, as documented; others are no metadata. */
export const STEP_KEYS = [
  "role",
  "type",
  "dependsOn",
  "kind",
  "command",
  "timeoutSec",
  "retry",
  "optional",
  "reads",
  "output",
  "verify",
] as const;
/** Keys of pi-crew's steps that mean nothing here. */
export const FOREIGN_STEP_KEYS = [
  "parallelGroup",
  "phase",
  "model",
  "skills",
  "progress",
  "worktree",
  "specRefs",
  "specStrict",
] as const;

const SPELLINGS = new Set([...STEP_KEYS, ...FOREIGN_STEP_KEYS].map((key) => key.toLowerCase()));

/** A step as found: the same shape whether it comes from a section or from a `steps:` list. */
export interface StepDraft {
  id: string;
  line: number;
  task: string;
  fields: MapValue;
}

/**
 * `## step-id`, key lines, then the task's text up to the next such heading. A heading without a known key on the line
 * below it is part of the text, and so is one in a code block.
 */
export function readSections(body: string, bodyLine: number, problems: Problems): StepDraft[] {
  const lines = body.split("\n");
  const starts = headings(lines);
  return starts.map((start, index) => {
    const end = starts[index + 1] ?? lines.length;
    const entries = new Map<string, Value>();
    const textStart = readKeys(lines, start + 1, bodyLine, entries, problems);
    const line = bodyLine + start;
    return {
      id: (lines[start] ?? "").replace(/^##\s+/, "").trim(),
      line,
      task: lines.slice(textStart, end).join("\n").trim(),
      fields: { kind: "map", line, entries },
    };
  });
}

function headings(lines: readonly string[]): number[] {
  const found: number[] = [];
  let fence = "";
  for (const [index, line] of lines.entries()) {
    const marks = /^ {0,3}(```+|~~~+)/.exec(line)?.[1] ?? "";
    if (fence !== "") {
      if (marks.startsWith(fence)) fence = "";
    } else if (marks !== "") {
      fence = marks;
    } else if (/^##\s+\S/.test(line) && keyOf(lines[index + 1] ?? "") !== null) {
      found.push(index);
    }
  }
  return found;
}

/** Returns the index of the first line that is not metadata. */
function readKeys(
  lines: readonly string[],
  from: number,
  bodyLine: number,
  entries: Map<string, Value>,
  problems: Problems,
): number {
  for (let index = from; index < lines.length; index++) {
    const text = lines[index] ?? "";
    const key = keyOf(text);
    const line = bodyLine + index;
    if (key === null) {
      const other = /^([A-Za-z][\w-]*):/.exec(text)?.[1];
      if (other !== undefined) {
        const remedy = `mend the name (${STEP_KEYS.join(", ")}), or put an empty line above the task`;
        problems.warning(line, `${quoted(other)} is not a key of a step and counts as the task's text: ${remedy}.`);
      }
      return index;
    }
    if (entries.has(key)) problems.error(line, `The key ${quoted(key)} is given twice: remove one of them.`);
    const value = text.slice(text.indexOf(":") + 1).trim();
    const plain = value.replace(/^(["'])(.*)\1$/, "$2");
    entries.set(key, { kind: "scalar", line, text: plain, value: plain });
  }
  return lines.length;
}

function keyOf(line: string): string | null {
  const key = /^([A-Za-z][\w-]*):(\s|$)/.exec(line)?.[1];
  return key !== undefined && SPELLINGS.has(key.replace(/[-_]/g, "").toLowerCase()) ? key : null;
}
