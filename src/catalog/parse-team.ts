import type { Source, TeamDefinition, TeamRole } from "../runs/definitions.ts";
import { Fields } from "./fields.ts";
import { readDocument, type Value } from "./frontmatter.ts";
import { isName, NAME_RULE, type Parsed, readHeader } from "./header.ts";
import { modelOf } from "./parse-agent.ts";
import { type Problems, quoted } from "./problems.ts";

export const CONCURRENCY_DEFAULT = 2;
const CONCURRENCY_MAX = 64;

interface RoleDraft {
  role: string;
  agent: string;
  model: string;
  line: number;
}

/** `teams/*.team.md`, roles in the frontmatter (ours) or as lines of the body (pi-crew's). */
export async function parseTeam(text: string, source: Source, problems: Problems): Promise<Parsed<TeamDefinition>> {
  const document = await readDocument(text, problems);
  if (!document) return { kind: "bad" };
  const fields = new Fields(document.fields, 1, problems);
  const header = readHeader(fields, source, ".team.md", problems);
  if (header?.disabled) return { kind: "disabled", name: header.name };
  const lines = new Map<string, number>();
  const workflow = fields.take("defaultWorkflow", "workflow");
  lines.set("defaultWorkflow", workflow?.line ?? 1);
  const inFields = rolesInFields(fields.take("roles"), problems);
  const drafts = inFields.length > 0 ? inFields : rolesInBody(document.body, document.bodyLine, problems);
  const roles = distinctRoles(drafts, lines, problems);
  const maxConcurrency = fields.number("maxConcurrency", CONCURRENCY_DEFAULT, {
    min: 1,
    max: CONCURRENCY_MAX,
    whole: true,
  });
  const worktree = fields.text("workspaceMode") === "worktree";
  const ownWorktree = fields.flag("worktree", worktree);
  if (!header || problems.failed) return { kind: "bad" };
  const value: TeamDefinition = Object.freeze({
    name: header.name,
    description: header.description,
    defaultWorkflow: workflow?.kind === "scalar" ? workflow.text.trim() : header.name,
    maxConcurrency,
    worktree: ownWorktree,
    roles,
    extra: fields.rest(),
    source: Object.freeze({ ...source }),
  });
  return { kind: "definition", value, lines };
}

/** `reviewer: critic` or `reviewer: { agent: critic, model: … }`, or the same as a list with `role:`. */
function rolesInFields(value: Value | null, problems: Problems): RoleDraft[] {
  if (value === null) return [];
  if (value.kind === "map") return [...value.entries].map(([role, given]) => roleOf(role, given, problems));
  if (value.kind === "list") return value.items.map((given) => roleOf("", given, problems));
  problems.error(value.line, `\`roles\` is ${quoted(value.text)}: write one \`role: agent\` a line below it.`);
  return [];
}

function roleOf(key: string, given: Value, problems: Problems): RoleDraft {
  if (given.kind === "scalar") {
    const agent = given.text.trim();
    return { role: key === "" ? agent : key, agent: agent === "" ? key : agent, model: "", line: given.line };
  }
  if (given.kind === "list") {
    problems.error(given.line, `The role ${quoted(key)} is a list: name one agent, as in \`${key}: reviewer\`.`);
    return { role: key, agent: key, model: "", line: given.line };
  }
  const fields = new Fields(given, given.line, problems);
  const role = key === "" ? fields.text("role", "name") : key;
  const agent = fields.text("agent");
  const draft = { role, agent: agent === "" ? role : agent, model: fields.text("model"), line: given.line };
  for (const { key: name, line } of fields.unread()) warnUnknown(role, name, line, problems);
  return draft;
}

/** pi-crew: `- reviewer: agent=critic model=provider/id any text` */
function rolesInBody(body: string, bodyLine: number, problems: Problems): RoleDraft[] {
  return body.split("\n").flatMap((text, index) => {
    const match = /^\s*[-*]\s+([^\s:]+)\s*:\s*(.*)$/.exec(text);
    const [, role = "", rest = ""] = match ?? [];
    const settings = new Map([...rest.matchAll(/(?:^|\s)([A-Za-z]+)=(\S+)/g)].map((it) => [it[1] ?? "", it[2] ?? ""]));
    const agent = settings.get("agent");
    if (agent === undefined) return [];
    const line = bodyLine + index;
    for (const name of settings.keys()) {
      if (name !== "agent" && name !== "model") warnUnknown(role, name, line, problems);
    }
    return [{ role, agent, model: settings.get("model") ?? "", line }];
  });
}

function warnUnknown(role: string, name: string, line: number, problems: Problems): void {
  const remedy = "set it in the agent's file";
  problems.warning(
    line,
    `${quoted(name)} of the role ${quoted(role)} has no effect in a team and is ignored: ${remedy}.`,
  );
}

function distinctRoles(
  drafts: readonly RoleDraft[],
  lines: Map<string, number>,
  problems: Problems,
): readonly TeamRole[] {
  if (drafts.length === 0 && !problems.failed) {
    problems.error(1, "The team has no roles: add `roles:` with one `role: agent` a line.");
  }
  for (const { role, line } of drafts) {
    if (!isName(role)) problems.error(line, `The role ${quoted(role)} can't be used: ${NAME_RULE}.`);
    if (lines.has(`role:${role}`)) problems.error(line, `The role ${quoted(role)} is given twice: remove one of them.`);
    lines.set(`role:${role}`, line);
  }
  return Object.freeze(drafts.map(({ role, agent, model }) => Object.freeze({ role, agent, model: modelOf(model) })));
}
