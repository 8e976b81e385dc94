import { UserError } from "../system/errors.ts";

const OPENING = "\"'“";
const WORD = /--([a-z]+)=?|"((?:[^"\\]|\\[\s\S])*)"|'([^']*)'|“([^”]*)”|(\S+)/gy;
/** In the text between double quotes, where two stand for one and a single one is for the quote behind it. */
const BACKSLASHES_BEFORE_QUOTE = /\\+(?="|$)/g;

export interface Words {
  words: readonly string[];
  /** By name, without the dashes. */
  options: ReadonlyMap<string, string>;
  /** Those that stand without a value. */
  flags: ReadonlySet<string>;
}

/**
 * A command's words and its `--name value`s. Quoted text is one word; within double quotes a backslash stands before a
 * quote that is meant, and before any other character it is itself, as in a path of Windows. Throws a UserError for what it does not know.
 */
export function splitWords(text: string, optionNames: readonly string[], flagNames: readonly string[] = []): Words {
  const words: string[] = [];
  const options = new Map<string, string>();
  const flags = new Set<string>();
  const tokens = tokensOf(text);
  for (let token = tokens.shift(); token; token = tokens.shift()) {
    const { option, word } = token;
    if (option === null) {
      words.push(word);
      continue;
    }
    if (flagNames.includes(option)) {
      flags.add(option);
      continue;
    }
    if (!optionNames.includes(option)) throw unknown(option, [...optionNames, ...flagNames]);
    const value = tokens.shift();
    if (!value || value.option !== null) throw new UserError("no-value", `--${option} needs a value: --${option} "…".`);
    options.set(option, value.word);
  }
  return { words, options, flags };
}

/** Throws a UserError that names the first of words nobody asked for. */
export function refuseStray([first]: readonly string[], remedy: string): void {
  if (first === undefined) return;
  throw new UserError("stray-word", `${JSON.stringify(first.slice(0, 40))} means nothing here. ${remedy}`);
}

/** The value of `--port`; undefined when it was not given. Throws a UserError for what is no number. */
export function portOf(given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  if (/^\d+$/.test(given)) return Number(given);
  throw new UserError("http-port", `${JSON.stringify(given.slice(0, 40))} is no port: use --port with 0 to 65535.`);
}

function unknown(option: string, names: readonly string[]): UserError {
  const options = names.map((name) => `--${name}`);
  const last = options.pop();
  const known = options.length === 0 ? last : `${options.join(", ")} and ${last}`;
  return new UserError("unknown-option", `There is no option --${option} here${known ? `, only ${known}` : ""}.`);
}

function tokensOf(text: string): { option: string | null; word: string }[] {
  const tokens: { option: string | null; word: string }[] = [];
  const pattern = new RegExp(WORD);
  for (let at = 0; at < text.length; ) {
    if (/\s/.test(text.charAt(at))) {
      at++;
      continue;
    }
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (!match) throw new UserError("bad-words", `This can't be read: ${JSON.stringify(text.slice(at, at + 80))}.`);
    const [whole, option = null, double, single, curly, plain] = match;
    if (plain !== undefined && OPENING.includes(plain.charAt(0)))
      throw new UserError("open-quote", `A quote is not closed: ${JSON.stringify(text.slice(at, at + 80))}.`);
    tokens.push({
      option,
      word:
        double?.replaceAll(BACKSLASHES_BEFORE_QUOTE, (them) => them.slice(Math.ceil(them.length / 2))) ??
        single ??
        curly ??
        plain ??
        "",
    });
    at += whole.length;
  }
  return tokens;
}
