/**
 * How many columns text takes in a terminal, and cutting, filling and wrapping by that. For text without escape
 * sequences. Own, because the command line runs where Pi's TUI is not; never counts less than that does, which ends
 * the host when a line is wider than the terminal.
 */

/** East Asian wide and fullwidth (Unicode 17, UAX 11) besides the emoji, which have a property of their own. */
const WIDE =
  /^[\u1100-\u115f\u2329\u232a\u2630-\u2637\u268a-\u268f\u2e80-\u303e\u3041-\ua4c6\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6b\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{191d2}\u{1aff0}-\u{1b2fb}\u{1d300}-\u{1d376}\u{1f1ae}\u{1f1e6}-\u{1f265}\u{1f6d9}\u{1f7da}\u{1fa8b}-\u{1fa8d}\u{1facc}-\u{1fafa}\u{20000}-\u{3fffd}]/u;
/** Drawn as one picture of two columns: what is an emoji by itself, or is made one by a selector or a keycap. */
const PICTURE = /\p{Emoji_Presentation}|[\ufe0f\u20e3]/u;
const NOTHING = /^[\p{Mn}\p{Me}\p{Cc}\p{Cs}\p{Default_Ignorable_Code_Point}]$/u;
/** Vowels and finals of Hangul: part of the syllable's two columns. */
const JOINED = /^[\u1160-\u11ff\ud7b0-\ud7ff]$/u;
/** One column each, and never joined to their neighbours: ASCII, and the lines, bars and signs that views draw. */
const PLAIN =
  /^[\u0020-\u007e\u00b7\u00d7\u2013\u2026\u203a\u2190-\u2193\u2500-\u259f\u25cb\u25cf\u25c6\u2713\u2717]*$/;

const GRAPHEMES = new Intl.Segmenter("en", { granularity: "grapheme" });

export function columns(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let total = 0;
  for (const { segment } of GRAPHEMES.segment(text)) total += graphemeColumns(segment);
  return total;
}

function graphemeColumns(grapheme: string): number {
  if (PICTURE.test(grapheme)) return 2;
  let total = 0;
  for (const character of grapheme) {
    if (NOTHING.test(character) || (total > 0 && JOINED.test(character))) continue;
    total += WIDE.test(character) ? 2 : 1;
  }
  return total;
}

/** At most `width` columns, the last of them `…` when something was cut. Never cuts a character from its marks. */
export function clip(text: string, width: number): string {
  if (width < 1) return "";
  return columns(text) <= width ? text : `${text.slice(0, fitting(text, width - 1))}…`;
}

/** How much of the text fits into `width` columns: where to cut it. */
export function fitting(text: string, width: number): number {
  if (PLAIN.test(text)) return Math.max(0, Math.min(text.length, width));
  let end = 0;
  let room = width;
  for (const { segment } of GRAPHEMES.segment(text)) {
    room -= graphemeColumns(segment);
    if (room < 0) break;
    end += segment.length;
  }
  return end;
}

/** Filled with blanks at its end to at least `width` columns. */
export function pad(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - columns(text)));
}

/** Filled with blanks before it, for numbers. */
export function padBefore(text: string, width: number): string {
  return " ".repeat(Math.max(0, width - columns(text))) + text;
}

/** Lines of whole words, broken only where `separator` stands; a longer word is cut. */
export function wrap(text: string, width: number, separator = " "): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(separator)) {
    const longer = line === "" ? word : `${line}${separator}${word}`;
    if (line !== "" && columns(longer) > width) {
      lines.push(clip(line, width));
      line = word;
    } else {
      line = longer;
    }
  }
  return [...lines, clip(line, width)];
}
