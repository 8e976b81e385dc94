import type { MapValue, Value } from "./frontmatter.ts";
import { type Problems, quoted } from "./problems.ts";

/**
 * Reads the fields of one mapping, each once. Names match in any spelling: `maxTurns`, `max_turns`, `max-turns`.
 * A value that can't be read gets a warning and is replaced by the default.
 */
export class Fields {
  readonly #fields = new Map<string, { key: string; value: Value }>();
  readonly #problems: Problems;
  /** Where a missing field is reported. */
  readonly line: number;

  constructor(map: MapValue, line: number, problems: Problems) {
    this.line = line;
    this.#problems = problems;
    for (const [key, value] of map.entries) {
      const spelling = spellingOf(key);
      const before = this.#fields.get(spelling);
      if (before) {
        problems.warning(value.line, `${quoted(key)} is ignored: ${quoted(before.key)} already says it. Remove one.`);
      } else {
        this.#fields.set(spelling, { key, value });
      }
    }
  }

  /** The first of the names that is there and not null; it, and the others, then count as read. */
  take(...names: readonly string[]): Value | null {
    let found: Value | null = null;
    for (const name of names) {
      const field = this.#fields.get(spellingOf(name));
      this.#fields.delete(spellingOf(name));
      if (field && !(field.value.kind === "scalar" && field.value.text === "")) found ??= field.value;
    }
    return found;
  }

  /** One line of text or more, trimmed; empty when there is none. */
  text(...names: readonly string[]): string {
    const value = this.take(...names);
    if (value === null) return "";
    if (value.kind === "scalar") return value.text.trim();
    this.#problems.warning(value.line, `\`${names[0]}\` is a ${value.kind} and is ignored: write it as text.`);
    return "";
  }

  /** True for `true` and `yes`, false for `false` and `no`, the default for anything else. */
  flag(name: string, fallback: boolean): boolean {
    const value = this.take(name);
    if (value === null) return fallback;
    const text = value.kind === "scalar" ? value.text.trim().toLowerCase() : value.kind;
    if (["true", "yes", "on"].includes(text)) return true;
    if (["false", "no", "off"].includes(text)) return false;
    this.#problems.warning(value.line, `\`${name}\` is ${quoted(text)} and is ignored: write true or false.`);
    return fallback;
  }

  /** A number in the range, or the default. Fractions are allowed where `whole` is false. */
  number<T>(name: string, fallback: T, range: { min: number; max: number; whole: boolean }): number | T {
    const value = this.take(name);
    if (value === null) return fallback;
    return numberOf(value, name, range, this.#problems) ?? fallback;
  }

  /** What nobody asked for, as written and frozen. */
  rest(): Readonly<Record<string, unknown>> {
    return plainMap([...this.#fields.values()].map(({ key, value }) => [key, value]));
  }

  /** The names nobody asked for, with their lines. */
  unread(): { key: string; line: number }[] {
    return [...this.#fields.values()].map(({ key, value }) => ({ key, line: value.line }));
  }
}

export function numberOf(
  value: Value,
  name: string,
  range: { min: number; max: number; whole: boolean },
  problems: Problems,
): number | null {
  const text = value.kind === "scalar" ? value.text.trim() : value.kind;
  const number = Number(text);
  if (number >= range.min && number <= range.max && (!range.whole || Number.isInteger(number))) return number;
  const wanted = `a ${range.whole ? "whole " : ""}number from ${range.min} to ${range.max}`;
  problems.warning(value.line, `\`${name}\` is ${quoted(text)} and is ignored: write ${wanted}.`);
  return null;
}

/** A comma list, a YAML list, or a list in brackets; commas within parentheses do not split. */
export function listOf(value: Value, name: string, problems: Problems): { text: string; line: number }[] {
  if (value.kind === "map") {
    problems.warning(value.line, `\`${name}\` is a mapping and is ignored: write a list, as in \`${name}: a, b\`.`);
    return [];
  }
  const items = value.kind === "list" ? value.items : [value];
  return items.flatMap((item) => {
    if (item.kind !== "scalar") {
      problems.warning(item.line, `An entry of \`${name}\` is a ${item.kind} and is ignored: write it as text.`);
      return [];
    }
    const parts =
      value.kind === "list" ? [item.text] : item.text.replace(/^\s*\[(.*)\]\s*$/s, "$1").split(/,(?![^(]*\))/);
    return parts
      .map((part) => ({ text: part.trim().replace(/^(["'])(.*)\1$/s, "$2"), line: item.line }))
      .filter((part) => part.text !== "");
  });
}

/** The value as JSON would have it, on objects without a prototype, frozen. */
function plain(value: Value): unknown {
  if (value.kind === "scalar") return value.value;
  if (value.kind === "list") return Object.freeze(value.items.map(plain));
  return plainMap([...value.entries]);
}

function plainMap(entries: readonly (readonly [string, Value])[]): Readonly<Record<string, unknown>> {
  const object: Record<string, unknown> = Object.create(null);
  for (const [key, value] of entries) object[key] = plain(value);
  return Object.freeze(object);
}

function spellingOf(name: string): string {
  return name.replace(/[-_]/g, "").toLowerCase();
}
