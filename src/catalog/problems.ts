import type { DefinitionProblem } from "../runs/definitions.ts";

const QUOTED_CHARS_MAX = 80;
const LISTED_MAX = 10;

/** Gathers what is wrong with one file. An error means the definition is not used; a warning, that it is. */
export class Problems {
  readonly file: string;
  readonly #list: DefinitionProblem[] = [];

  constructor(file: string) {
    this.file = file;
  }

  get list(): readonly DefinitionProblem[] {
    return this.#list;
  }

  get failed(): boolean {
    return this.#list.some((problem) => problem.severity === "error");
  }

  /** `message` is a sentence that names the value and what to do. `line` counts from 1. */
  error(line: number, message: string): void {
    this.#list.push(Object.freeze({ file: this.file, line, message, severity: "error" }));
  }

  warning(line: number, message: string): void {
    this.#list.push(Object.freeze({ file: this.file, line, message, severity: "warning" }));
  }
}

/** A value from a file for a sentence: in quotes, cut, and with nothing in it that a terminal would act on. */
export function quoted(value: string): string {
  const text = value.length > QUOTED_CHARS_MAX ? `${value.slice(0, QUOTED_CHARS_MAX)}…` : value;
  return JSON.stringify(text.replace(/[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "?"));
}

/** `a, b, c and 4 more`; `none` when there is nothing. */
export function listed(names: Iterable<string>): string {
  const all = [...names];
  if (all.length === 0) return "none";
  if (all.length <= LISTED_MAX) return all.join(", ");
  return `${all.slice(0, LISTED_MAX).join(", ")} and ${all.length - LISTED_MAX} more`;
}
