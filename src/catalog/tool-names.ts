import { listOf } from "./fields.ts";
import type { Value } from "./frontmatter.ts";
import { type Problems, quoted } from "./problems.ts";

/** Claude Code's names for what Pi has, in lower case; Pi's own names stand for themselves. */
const PI_TOOLS = new Map([
  ["read", "read"],
  ["write", "write"],
  ["edit", "edit"],
  ["multiedit", "edit"],
  ["bash", "bash"],
  ["grep", "grep"],
  ["glob", "find"],
  ["find", "find"],
  ["ls", "ls"],
]);

/**
 * The tools an agent may use, by Pi's names; null means the host's default set. What Pi has not is left out with a
 * warning, and so is a tool limited in parentheses: giving it whole would allow more than the file does.
 */
export function allowedTools(value: Value | null, problems: Problems): readonly string[] | null {
  if (value === null) return null;
  const names = listOf(value, "tools", problems);
  if (names.some(({ text }) => ["*", "all", "true"].includes(text))) return null;
  const tools = names.filter(({ text }) => text !== "none" && text !== "false");
  return Object.freeze([...new Set(tools.flatMap(({ text, line }) => allowed(text, line, problems)))]);
}

function allowed(name: string, line: number, problems: Problems): string[] {
  const known = PI_TOOLS.get(name.toLowerCase());
  if (known) return [known];
  if (PI_TOOLS.has(baseOf(name).toLowerCase())) {
    problems.warning(line, `The tool ${quoted(name)} is left out: Pi can't limit a tool by arguments. Allow it whole.`);
    return [];
  }
  if (!isExtensionName(name)) {
    problems.warning(line, `The tool ${quoted(name)} is left out: Pi has no such tool. Remove it from the list.`);
    return [];
  }
  problems.warning(line, `The tool ${quoted(name)} is not one of Pi's own: it works if an extension provides it.`);
  return [name];
}

/** The tools taken away. A tool denied for some arguments is denied whole. */
export function deniedTools(value: Value | null, problems: Problems): readonly string[] {
  if (value === null) return Object.freeze([]);
  const names = listOf(value, "disallowedTools", problems).map(({ text }) => baseOf(text));
  const tools = names.flatMap((name) => PI_TOOLS.get(name.toLowerCase()) ?? (isExtensionName(name) ? [name] : []));
  return Object.freeze([...new Set(tools)]);
}

/** `Bash(git diff:*)` → `Bash` */
function baseOf(name: string): string {
  return name.replace(/\(.*$/s, "").trim();
}

/** Pi's extensions name tools in lower case; `mcp__…`, `mcp:…` and `ext:…` belong to other hosts. */
function isExtensionName(name: string): boolean {
  return /^[a-z][a-z0-9_-]{0,63}$/.test(name) && !name.startsWith("mcp__");
}
