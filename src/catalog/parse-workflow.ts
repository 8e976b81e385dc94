import type { Source, StepDefinition, WorkflowDefinition } from "../runs/definitions.ts";
import { checkWorkflow } from "./check-workflow.ts";
import { Fields, listOf, numberOf } from "./fields.ts";
import { readDocument, type Value } from "./frontmatter.ts";
import { type Parsed, readHeader } from "./header.ts";
import { type Problems, quoted } from "./problems.ts";
import { FOREIGN_STEP_KEYS, readSections, STEP_KEYS, type StepDraft } from "./workflow-sections.ts";

const KINDS: readonly StepDefinition["kind"][] = ["pi", "shell", "git", "codex"];
const DAY_SEC = 86_400;
const ATTEMPTS_MAX = 10;

/** `workflows/*.workflow.md`, steps as `##` sections (shipped files, pi-crew's) or as a `steps:` list. */
export async function parseWorkflow(
  text: string,
  source: Source,
  problems: Problems,
): Promise<Parsed<WorkflowDefinition>> {
  const document = await readDocument(text, problems);
  if (!document) return { kind: "bad" };
  const fields = new Fields(document.fields, 1, problems);
  const header = readHeader(fields, source, ".workflow.md", problems);
  if (header?.disabled) return { kind: "disabled", name: header.name };
  const inFields = stepsInFields(fields.take("steps"), problems);
  const inBody = readSections(document.body, document.bodyLine, problems);
  const [extraStep] = inBody;
  if (inFields.length > 0 && extraStep) {
    problems.warning(extraStep.line, "The sections are ignored, as `steps:` has the steps: remove one of the two.");
  }
  const lines = new Map<string, number>();
  const drafts = inFields.length > 0 ? inFields : inBody;
  const steps = Object.freeze(drafts.map((draft) => stepOf(draft, lines, problems)));
  if (!header) return { kind: "bad" };
  const value: WorkflowDefinition = Object.freeze({
    name: header.name,
    description: header.description,
    steps,
    extra: fields.rest(),
    source: Object.freeze({ ...source }),
  });
  checkWorkflow(value, lines, problems);
  return problems.failed ? { kind: "bad" } : { kind: "definition", value, lines };
}

function stepsInFields(value: Value | null, problems: Problems): StepDraft[] {
  if (value === null) return [];
  if (value.kind === "map") {
    return [...value.entries].flatMap(([id, step]) => draftOf(id, step, problems));
  }
  if (value.kind === "list") return value.items.flatMap((step) => draftOf("", step, problems));
  problems.error(
    value.line,
    `\`steps\` is ${quoted(value.text)}: write a list, each entry with \`id\`, \`role\`, \`task\`.`,
  );
  return [];
}

function draftOf(key: string, step: Value, problems: Problems): StepDraft[] {
  if (step.kind !== "map") {
    problems.error(step.line, `This step is a ${step.kind}: write it as a mapping with \`id\`, \`role\` and \`task\`.`);
    return [];
  }
  const known = new Set(["id", "task"]);
  const own = new Fields(step, step.line, problems);
  const rest = new Map([...step.entries].filter(([name]) => !known.has(name)));
  const id = key === "" ? own.text("id") : key;
  return [{ id, line: step.line, task: own.text("task"), fields: { ...step, entries: rest } }];
}

function stepOf(draft: StepDraft, lines: Map<string, number>, problems: Problems): StepDefinition {
  const { id } = draft;
  // a second step of that id is reported there, not where the first one stands
  lines.set(lines.has(id) ? `${id}.again` : id, draft.line);
  for (const [key, value] of draft.fields.entries) lines.set(`${id}.${canonical(key)}`, value.line);
  const fields = new Fields(draft.fields, draft.line, problems);
  const kind = kindOf(fields, problems);
  const role = fields.text("role");
  const type = fields.text("type");
  const step: StepDefinition = Object.freeze({
    id,
    role,
    task: draft.task,
    dependsOn: names(fields, "dependsOn", problems),
    kind,
    command: fields.text("command"),
    timeoutSec: fields.number("timeoutSec", null, { min: 1, max: 30 * DAY_SEC, whole: false }),
    retry: retryOf(fields.take("retry"), problems),
    optional: fields.flag("optional", false),
    reads: names(fields, "reads", problems),
    output: names(fields, "output", problems),
    verify: verifyOf(fields, problems),
    taskType: [type, role, kind].find((text) => text !== "") ?? kind,
  });
  for (const { key, line } of fields.unread()) {
    const remedy = isForeign(key) ? "set it for the team or the agent" : `a step has ${STEP_KEYS.join(", ")}`;
    problems.warning(line, `${quoted(key)} has no effect in the step ${quoted(id)} and is ignored: ${remedy}.`);
  }
  return step;
}

function kindOf(fields: Fields, problems: Problems): StepDefinition["kind"] {
  const value = fields.take("kind", "workerKind");
  if (value === null) return "pi";
  const written = value.kind === "scalar" ? value.text.trim() : value.kind;
  const kind = KINDS.find((known) => known === written);
  if (!kind) problems.error(value.line, `The kind ${quoted(written)} is unknown: use one of ${KINDS.join(", ")}.`);
  return kind ?? "pi";
}

/** `false`, pi-crew's way to say "none", is no name. */
function names(fields: Fields, name: string, problems: Problems): readonly string[] {
  const value = fields.take(name);
  if (value === null) return Object.freeze([]);
  const texts = listOf(value, name, problems).map(({ text }) => text);
  return Object.freeze([...new Set(texts.filter((text) => text !== "false"))]);
}

/** `3` or `{ maxAttempts: 3 }` */
function retryOf(value: Value | null, problems: Problems): StepDefinition["retry"] {
  if (value === null) return null;
  const count = value.kind === "map" ? new Fields(value, value.line, problems).take("maxAttempts") : value;
  if (count === null) {
    problems.warning(value.line, "`retry` has no `maxAttempts` and is ignored: write `retry: 3`.");
    return null;
  }
  const maxAttempts = numberOf(count, "retry", { min: 1, max: ATTEMPTS_MAX, whole: true }, problems);
  return maxAttempts === null ? null : Object.freeze({ maxAttempts });
}

/** In pi-crew a flag; here the command itself. */
function verifyOf(fields: Fields, problems: Problems): string {
  const value = fields.take("verify");
  if (value === null) return "";
  const text = value.kind === "scalar" ? value.text.trim() : "";
  if (text !== "" && text !== "true" && text !== "false") return text;
  if (text !== "false") {
    problems.warning(value.line, "`verify` names no command and is ignored: write one, as in `verify: npm test`.");
  }
  return "";
}

function canonical(key: string): string {
  const spelling = key.replace(/[-_]/g, "").toLowerCase();
  return STEP_KEYS.find((known) => known.toLowerCase() === spelling) ?? key;
}

function isForeign(key: string): boolean {
  return FOREIGN_STEP_KEYS.some((known) => known.toLowerCase() === key.replace(/[-_]/g, "").toLowerCase());
}
