import type { Node as YamlNode } from "yaml";
import * as yaml from "yaml";
import { messageOf } from "../system/errors.ts";
import { type Problems, quoted } from "./problems.ts";

/** A YAML value that knows its line in the file (from 1). Anchors and aliases are already resolved. */
export type Value = ScalarValue | ListValue | MapValue;

export interface ScalarValue {
  kind: "scalar";
  line: number;
  /** As written (`1.10` stays `1.10`), without quotes; empty for null. */
  text: string;
  value: string | number | boolean | null;
}

export interface ListValue {
  kind: "list";
  line: number;
  items: readonly Value[];
}

export interface MapValue {
  kind: "map";
  line: number;
  /** By key as written; each value's line is its key's. */
  entries: ReadonlyMap<string, Value>;
}

export interface Document {
  fields: MapValue;
  /** The text after the frontmatter, lines ended by LF. */
  body: string;
  /** The file's line the body starts at. */
  bodyLine: number;
}

/** The YAML library needs 0.3 s for the worst 64 KiB and half a minute for the worst megabyte. */
export const frontmatterCharsMax = 64 * 1024;
/** Values after aliases are resolved: a file of a few lines can stand for billions. */
export const valuesMax = 10_000;
const DEPTH_MAX = 32;
const KEYS_THAT_REACH_PROTOTYPES = new Set(["__proto__", "constructor", "prototype"]);

/** Splits and parses. Null when the file can't be used; `problems` says why. Never throws, whatever the text. */
export async function readDocument(text: string, problems: Problems): Promise<Document | null> {
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
  if (lines[0]?.trimEnd() !== "---") {
    problems.error(1, "The file has no frontmatter: start it with a line `---`, the fields, and another line `---`.");
    return null;
  }
  const end = lines.findIndex((line, index) => index > 0 && line.trimEnd() === "---");
  if (end < 0) {
    problems.error(1, "The frontmatter that starts here is never closed: end it with a line `---`.");
    return null;
  }
  const yaml = lines.slice(1, end).join("\n");
  if (yaml.length > frontmatterCharsMax) {
    problems.error(
      1,
      `The frontmatter has ${yaml.length} characters, more than ${frontmatterCharsMax}: move text to the body.`,
    );
    return null;
  }
  const fields = await parseYaml(yaml, problems);
  return fields && { fields, body: lines.slice(end + 1).join("\n"), bodyLine: end + 2 };
}

async function parseYaml(yaml: string, problems: Problems): Promise<MapValue | null> {
  const first = await readTree(yaml);
  if (first.tree) return mapOf(first.tree, problems);
  // Claude Code takes `description: Use when: …`, which YAML does not
  const mended = quotePlainValues(yaml);
  const second = mended === yaml ? first : await readTree(mended);
  if (!second.tree) {
    const reason = first.message.includes("call stack") ? "it is nested too deeply" : first.message;
    problems.error(first.line, `The frontmatter is not valid YAML here: ${reason}. Mend or quote the value.`);
    return null;
  }
  problems.warning(
    first.line,
    `This is not valid YAML (${first.message}) and was read as plain text: quote the value.`,
  );
  return mapOf(second.tree, problems);
}

interface Tree {
  root: YamlNode | null;
  lineAt: (offset: number) => number;
  yaml: typeof yaml;
}

type ReadTree = { tree: Tree } | { tree: null; line: number; message: string };

async function readTree(text: string): Promise<ReadTree> {
  const lines = new yaml.LineCounter();
  const lineAt = (offset: number) => lines.linePos(offset).line + 1;
  try {
    // uniqueKeys is quadratic; duplicates are found below
    const document = yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
    const [error] = document.errors;
    if (error) return { tree: null, line: lineAt(error.pos[0]), message: error.message };
    return { tree: { root: document.contents, lineAt, yaml } };
  } catch (error) {
    return { tree: null, line: 2, message: messageOf(error) };
  }
}

function mapOf(tree: Tree, problems: Problems): MapValue | null {
  if (tree.root === null) return { kind: "map", line: 1, entries: new Map() };
  const converter = new Converter(tree, problems);
  const root = converter.convert(tree.root, 0);
  if (converter.gaveUp) return null;
  if (root.kind === "map") return root;
  problems.error(root.line, "The frontmatter is not a list of fields: write one `name: value` a line.");
  return null;
}

class Converter {
  gaveUp = false;
  #values = 0;
  /** Kept here, as the library searches the whole document for each alias. */
  readonly #anchors = new Map<string, YamlNode>();
  readonly #tree: Tree;
  readonly #problems: Problems;

  constructor(tree: Tree, problems: Problems) {
    this.#tree = tree;
    this.#problems = problems;
  }

  convert(node: unknown, depth: number, keyLine?: number): Value {
    const { yaml, lineAt } = this.#tree;
    const given = yaml.isNode(node) ? node : null;
    const line = keyLine ?? (given?.range ? lineAt(given.range[0]) : 1);
    const target = given && this.#resolve(given);
    if (given && !target) this.#giveUp(line, "This alias has no anchor before it");
    this.#values += 1;
    if (depth > DEPTH_MAX) this.#giveUp(line, `The frontmatter is nested deeper than ${DEPTH_MAX} levels`);
    if (this.#values > valuesMax) this.#giveUp(line, `The frontmatter stands for more than ${valuesMax} values`);
    if (this.gaveUp || !target) return { kind: "scalar", line, text: "", value: null };
    if (yaml.isSeq(target)) {
      return { kind: "list", line, items: target.items.map((item) => this.convert(item, depth + 1)) };
    }
    return yaml.isMap(target) ? this.#map(target.items, depth, line) : this.#scalar(target, line);
  }

  #resolve(node: YamlNode): YamlNode | null {
    if (this.#tree.yaml.isAlias(node)) return this.#anchors.get(node.source) ?? null;
    if ("anchor" in node && node.anchor) this.#anchors.set(node.anchor, node);
    return node;
  }

  #map(pairs: readonly { key: unknown; value: unknown }[], depth: number, line: number): MapValue {
    const entries = new Map<string, Value>();
    for (const { key, value } of pairs) {
      const name = this.convert(key, depth + 1);
      if (this.gaveUp) break;
      if (name.kind !== "scalar") {
        this.#problems.warning(
          name.line,
          "A field whose name is itself a list or a mapping is ignored: name it by text.",
        );
      } else if (KEYS_THAT_REACH_PROTOTYPES.has(name.text)) {
        this.#problems.warning(name.line, `The field ${quoted(name.text)} is ignored: no field may have this name.`);
      } else if (entries.has(name.text)) {
        this.#problems.error(name.line, `The field ${quoted(name.text)} is given twice: remove one of them.`);
      } else {
        entries.set(name.text, this.convert(value, depth + 1, name.line));
      }
    }
    return { kind: "map", line, entries };
  }

  #scalar(node: YamlNode, line: number): ScalarValue {
    const value: unknown = this.#tree.yaml.isScalar(node) ? node.value : null;
    if (typeof value === "number" || typeof value === "boolean") {
      const source = this.#tree.yaml.isScalar(node) ? node.source : undefined;
      return { kind: "scalar", line, text: source ?? String(value), value };
    }
    return typeof value === "string"
      ? { kind: "scalar", line, text: value, value }
      : { kind: "scalar", line, text: value === null ? "" : String(value), value: null };
  }

  #giveUp(line: number, fact: string): void {
    if (!this.gaveUp) this.#problems.error(line, `${fact}: simplify it, or write it out.`);
    this.gaveUp = true;
  }
}

/** Puts quotes around values at the top level that YAML would stumble over. */
function quotePlainValues(yaml: string): string {
  return yaml.replace(/^([A-Za-z_][\w-]*):[ \t]+(\S.*)$/gm, (line, key: string, value: string) => {
    if (/^["'[{|>]/.test(value) || !/:(\s|$)|\s#|^[*@`%&!]/.test(value)) return line;
    return `${key}: ${JSON.stringify(value.trimEnd().replaceAll("\\n", "\n"))}`;
  });
}
