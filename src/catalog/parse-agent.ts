import type { AgentDefinition, Source } from "../runs/definitions.ts";
import { Fields, listOf } from "./fields.ts";
import { readDocument } from "./frontmatter.ts";
import { type Parsed, readHeader } from "./header.ts";
import { type Problems, quoted } from "./problems.ts";
import { allowedTools, deniedTools } from "./tool-names.ts";

const THINKING_LEVELS = ["off", "minimal", "low", "medium", "high", "xhigh"];
/** Claude Code's `effort` where its word is not one of Pi's. */
const EFFORT_AS_THINKING = new Map([["max", "xhigh"]]);
const TURNS_MAX = 10_000;
/** They grant or run things in Claude Code; here they would promise what nobody keeps. */
const NOT_HERE = ["permissionMode", "hooks", "mcpServers"];

/** `agents/*.md` of ours, of pi-crew and its peers, and Claude Code's `.claude/agents/*.md`. */
export async function parseAgent(text: string, source: Source, problems: Problems): Promise<Parsed<AgentDefinition>> {
  const document = await readDocument(text, problems);
  if (!document) return { kind: "bad" };
  const fields = new Fields(document.fields, 1, problems);
  const header = readHeader(fields, source, ".md", problems);
  if (!header || problems.failed) return { kind: "bad" };
  if (header.disabled) return { kind: "disabled", name: header.name };
  warnAboutWhatIsNotHere(fields, problems);
  const prompt = document.body.trim();
  if (prompt === "") {
    problems.warning(
      document.bodyLine,
      `The agent ${quoted(header.name)} has no prompt: write it below the frontmatter.`,
    );
  }
  const value: AgentDefinition = Object.freeze({
    name: header.name,
    description: header.description,
    prompt,
    ...models(fields, problems),
    thinking: thinking(fields, problems),
    tools: allowedTools(fields.take("tools", "defaultTools"), problems),
    disallowedTools: deniedTools(fields.take("disallowedTools"), problems),
    skills: skills(fields, problems),
    maxTurns: maxTurns(fields),
    extra: fields.rest(),
    source: Object.freeze({ ...source }),
  });
  return { kind: "definition", value, lines: new Map() };
}

function warnAboutWhatIsNotHere(fields: Fields, problems: Problems): void {
  for (const name of NOT_HERE) {
    const value = fields.take(name);
    if (value)
      problems.warning(value.line, `\`${name}\` has no effect in Pi and is ignored: limit the agent by \`tools\`.`);
  }
}

function models(fields: Fields, problems: Problems): Pick<AgentDefinition, "model" | "fallbackModels"> {
  const fallbacks = fields.take("fallbackModels");
  const names = fallbacks ? listOf(fallbacks, "fallbackModels", problems).map(({ text }) => text) : [];
  return {
    model: modelOf(fields.text("model")),
    fallbackModels: Object.freeze(names.filter((name) => modelOf(name) !== null)),
  };
}

/** Null, the session's model, for `inherit` and `false`. */
export function modelOf(text: string): string | null {
  return ["", "inherit", "false", "default"].includes(text.toLowerCase()) ? null : text;
}

function thinking(fields: Fields, problems: Problems): string | null {
  const value = fields.take("thinking", "thinkingLevel", "effort");
  if (value === null) return null;
  const written = value.kind === "scalar" ? value.text.trim().toLowerCase() : value.kind;
  if (written === "false" || written === "inherit") return null;
  const level = EFFORT_AS_THINKING.get(written) ?? written;
  if (THINKING_LEVELS.includes(level)) return level;
  const levels = THINKING_LEVELS.join(", ");
  problems.warning(value.line, `The thinking level ${quoted(written)} is ignored: use one of ${levels}.`);
  return null;
}

/** Null means all of the user's; pi-crew and others turn them off by `skills: false` or `inheritSkills: false`. */
function skills(fields: Fields, problems: Problems): readonly string[] | null {
  const inherit = fields.flag("inheritSkills", true);
  const value = fields.take("skills", "skill");
  if (value === null) return inherit ? null : Object.freeze([]);
  const names = listOf(value, "skills", problems).map(({ text }) => text);
  if (names.some((name) => ["true", "all", "*"].includes(name))) return null;
  return Object.freeze([...new Set(names.filter((name) => name !== "false" && name !== "none"))]);
}

/** 0 is how some peers write "no limit". */
function maxTurns(fields: Fields): number | null {
  const turns = fields.number("maxTurns", 0, { min: 0, max: TURNS_MAX, whole: true });
  return turns === 0 ? null : turns;
}
