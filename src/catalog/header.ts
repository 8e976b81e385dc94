import type { Source } from "../runs/definitions.ts";
import type { Fields } from "./fields.ts";
import { type Problems, quoted } from "./problems.ts";

/** What reading a file came to. `lines` tells the checks where a thing stands in it. */
export type Parsed<T> =
  | { kind: "definition"; value: T; lines: Lines }
  | { kind: "disabled"; name: string }
  | { kind: "bad" };

/** Lines by what stands there: `defaultWorkflow`, `role:<role>`, `<step>`, `<step>.<field>`. */
export type Lines = ReadonlyMap<string, number>;

export interface Header {
  name: string;
  description: string;
  disabled: boolean;
}

const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
export const NAME_RULE = "use a-z, 0-9, - and _, at most 64 characters, starting with a letter or digit";

export function isName(text: string): boolean {
  return NAME.test(text);
}

/** Name, description and the off switch: what all definitions have. Null when there is no usable name. */
export function readHeader(fields: Fields, source: Source, suffix: string, problems: Problems): Header | null {
  const given = fields.take("name");
  const line = given?.line ?? 1;
  const written = given?.kind === "scalar" ? given.text.trim() : stemOf(source.file, suffix);
  const description = fields.text("description");
  const enabled = fields.flag("enabled", true);
  const disabled = fields.flag("disabled", false) || !enabled;
  const name = suffix === ".md" ? agentName(written, line, problems) : written;
  if (!isName(name)) {
    problems.error(line, `The name ${quoted(written)} can't be used: ${NAME_RULE}.`);
    return null;
  }
  if (description === "" && !disabled) {
    problems.warning(1, `${quoted(name)} has no \`description\`: add one, it tells when to use it.`);
  }
  return { name, description: description === "" ? name : description, disabled };
}

/** Claude Code allows any name; ours become arguments and folder names. */
function agentName(written: string, line: number, problems: Problems): string {
  if (isName(written)) return written;
  const plain = written.normalize("NFKD").replace(/\p{Mark}/gu, "");
  const slug = plain
    .toLowerCase()
    .replace(/[^a-z0-9_-]+/g, "-")
    .replace(/^[-_]+/, "")
    .slice(0, 64)
    .replace(/-+$/, "");
  if (isName(slug)) problems.warning(line, `The name ${quoted(written)} is used as ${quoted(slug)}: ${NAME_RULE}.`);
  return slug;
}

/** `/a/b/review.team.md` → `review` */
function stemOf(file: string, suffix: string): string {
  const base = file.split(/[\\/]/).at(-1) ?? "";
  return base.endsWith(suffix) ? base.slice(0, -suffix.length) : base;
}
