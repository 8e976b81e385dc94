/**
 * Reads Prometheus' text format and OpenMetrics strictly, line by line, without using anything of what writes them.
 * What a line does wrong is a problem, and reading goes on.
 */

export type Format = "text" | "openmetrics";

export interface ReadSample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export interface ReadFamily {
  name: string;
  type: string | null;
  help: string | null;
  unit: string | null;
  samples: ReadSample[];
}

export interface ReadExposition {
  families: ReadFamily[];
  problems: string[];
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const NUMBER = /^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]Inf|NaN)$/;
const SUFFIXES: Record<string, string[]> = {
  counter: ["_total", "_created"],
  gauge: [""],
  histogram: ["_bucket", "_sum", "_count", "_created"],
};

export function readExposition(text: string, format: Format): ReadExposition {
  const reader = new Reader(format);
  if (text !== "" && !text.endsWith("\n")) reader.problem("no line feed at the end");
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const line of lines) reader.line(line);
  if (format === "openmetrics" && !reader.ended) reader.problem("no # EOF");
  return { families: reader.families, problems: reader.problems };
}

class Reader {
  readonly families: ReadFamily[] = [];
  readonly problems: string[] = [];
  ended = false;
  readonly #format: Format;
  #line = 0;

  constructor(format: Format) {
    this.#format = format;
  }

  problem(what: string): undefined {
    this.problems.push(`line ${this.#line}: ${what}`);
  }

  line(line: string): undefined {
    this.#line++;
    if (this.ended) return this.problem("something after # EOF");
    if (line === "") return this.#format === "openmetrics" ? this.problem("a blank line") : undefined;
    if (!line.startsWith("#")) return this.#sample(line);
    if (line === "# EOF" && this.#format === "openmetrics") {
      this.ended = true;
      return;
    }
    const [, key, name = "", rest = ""] = new RegExp(`^# (HELP|TYPE|UNIT) (${NAME}) ?(.*)$`, "s").exec(line) ?? [];
    if (key === undefined) return this.problem(`neither HELP, TYPE nor UNIT: ${line}`);
    this.#facts(key, name, rest);
  }

  #facts(key: string, name: string, rest: string): undefined {
    let family = this.families.at(-1);
    if (family?.name !== name) {
      if (this.families.some((other) => other.name === name)) this.problem(`${name} is in two groups`);
      family = { name, type: null, help: null, unit: null, samples: [] };
      this.families.push(family);
    }
    if (family.samples.length > 0) this.problem(`${key} of ${name} after its samples`);
    if (key === "HELP") {
      if (family.help !== null) this.problem(`second HELP of ${name}`);
      family.help = this.#unescape(rest, this.#format === "openmetrics" ? 'n\\"' : "n\\");
    } else if (key === "TYPE") {
      if (family.type !== null) this.problem(`second TYPE of ${name}`);
      if (!(rest in SUFFIXES)) this.problem(`unknown type ${rest}`);
      family.type = rest;
    } else {
      if (this.#format === "text") this.problem("UNIT is not known in the text format");
      if (rest === "" || !name.endsWith(`_${rest}`)) this.problem(`${name} does not end in its unit ${rest}`);
      family.unit = rest;
    }
  }

  #sample(line: string): undefined {
    // with quotes unread, so that a brace in a label's value does not end the labels
    const parts = new RegExp(`^(${NAME})(?:\\{((?:"(?:[^"\\\\]|\\\\.)*"|[^"}])*)\\})? (\\S+)(.*)$`, "s").exec(line);
    if (parts === null) return this.problem(`not a sample: ${line}`);
    const [, name = "", labelText = "", valueText = "", rest = ""] = parts;
    if (!NUMBER.test(valueText)) this.problem(`not a number: ${valueText}`);
    const value = Number(valueText.replace("Inf", "Infinity"));
    const labels = this.#labels(labelText);
    this.#afterValue(name, rest);
    this.#familyOf(name)?.samples.push({ name, labels, value });
  }

  /** The one whose lines are being read: any other means that its samples are not together. */
  #familyOf(name: string): ReadFamily | null {
    const family = this.families.at(-1);
    const isText = this.#format === "text";
    const suffixes = (type: string) => (isText && type === "counter" ? [""] : (SUFFIXES[type] ?? []));
    if (family && suffixes(family.type ?? "").some((suffix) => family.name + suffix === name)) {
      if (family.help === null) this.problem(`${family.name} has no HELP`);
      return family;
    }
    this.problem(`${name} is no sample of the family before it`);
    return null;
  }

  #labels(text: string): Record<string, string> {
    const labels: Record<string, string> = {};
    const pattern = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)/sy;
    while (pattern.lastIndex < text.length) {
      const found = pattern.exec(text);
      if (found === null) {
        this.problem(`bad labels: ${text}`);
        break;
      }
      const [, name = "", value = ""] = found;
      if (Object.hasOwn(labels, name)) this.problem(`label ${name} twice`);
      labels[name] = this.#unescape(value, 'n\\"');
    }
    return labels;
  }

  #unescape(text: string, known: string): string {
    if (/[\ud800-\udfff]/u.test(text)) this.problem("half a surrogate pair has no UTF-8");
    if (known.includes('"') && /(?<!\\)(?:\\\\)*"/.test(text)) this.problem(`a quote without backslash: ${text}`);
    return text.replace(/\\(.?)/gs, (whole, char: string) => {
      if (char !== "" && known.includes(char)) return char === "n" ? "\n" : char;
      this.problem(`unknown escape ${whole}`);
      return whole;
    });
  }

  /** Timestamp and exemplar. What is read when it is asked for needs no timestamp, and text knows no exemplar. */
  #afterValue(name: string, rest: string): undefined {
    if (rest === "") return;
    const [, timestamp, exemplar, at] = /^(?: ([^#\s]+))?(?: # \{(.*)\} \S+(?: (\S+))?)?$/s.exec(rest) ?? [];
    if (timestamp === undefined && exemplar === undefined) return this.problem(`after the value: ${rest}`);
    if (this.#format === "text") return this.problem("a timestamp or an exemplar");
    for (const time of [timestamp ?? 0, at ?? 0]) if (!(Number(time) < 1e11)) this.problem(`not in seconds: ${time}`);
    if (exemplar === undefined) return;
    if (!/_(?:total|bucket)$/.test(name)) this.problem(`an exemplar at ${name}`);
    const labels = Object.entries(this.#labels(exemplar)).flat().join("");
    if ([...labels].length > 128) this.problem("an exemplar with more than 128 characters");
  }
}
