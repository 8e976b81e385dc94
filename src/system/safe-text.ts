/**
 * Text of strangers (models, commands, files) for a terminal: the control functions of ECMA-48 (escape, control and
 * string sequences) and what Unicode draws invisibly or backwards (https://www.unicode.org/reports/tr36/).
 */

const ST = String.raw`(?:\u0007|\u001b\\|\u009c)`;
/** OSC, DCS, SOS, PM, APC with their payload. One without an end goes to the end of its line. */
const STRING_SEQUENCE = String.raw`(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u0018\u001a\u001b\u009c\r\n]*${ST}?`;
const CSI = String.raw`(?:\u001b\[|\u009b)[\u0030-\u003f]*[\u0020-\u002f]*[\u0040-\u007e]?`;
const OTHER_ESCAPE = String.raw`\u001b[\u0020-\u002f]*[\u0030-\u007e]?`;
const CONTROLS = String.raw`[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]`;
/**
 * Bidi marks, embeddings and isolates; zero width; what is invisible and has been used to smuggle text (tags, supplementary
 * variation selectors); skin tones, as terminals disagree on whether one takes columns of its own, and a line that is
 * wider than was counted breaks the screen.
 */
const INVISIBLE = String.raw`[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\u{e0100}-\u{e01ef}\u{1f3fb}-\u{1f3ff}]`;
const UNSAFE = new RegExp([STRING_SEQUENCE, CSI, OTHER_ESCAPE, CONTROLS, INVISIBLE].join("|"), "gu");

const LONE_SURROGATE = /[\ud800-\udfff]/gu;

/**
 * Only what prints. Escape sequences go whole, as do controls, bidi and zero-width characters; `\r`, `\r\n` and the
 * Unicode line ends become `\n`, a lone surrogate U+FFFD. Unless `multiline`, line ends and tabs become one blank each.
 */
export function safeText(text: string, options: { multiline: boolean }): string {
  // Surrogates first: halves on both sides of a dropped character must not join.
  const lines = text
    .replace(LONE_SURROGATE, "\ufffd")
    .replace(UNSAFE, "")
    .replace(/\r\n?|[\u2028\u2029]/g, "\n");
  return options.multiline ? lines : lines.replace(/[\n\t]/g, " ");
}

/** At most `max` code points, the last of them `…` when something was cut. */
export function cutText(text: string, max: number): string {
  if (text.length <= max) return text;
  if (max < 1) return "";
  let count = 0;
  let end = 0;
  let endBeforeLast = 0;
  for (const point of text) {
    if (count === max) return `${text.slice(0, endBeforeLast)}…`;
    endBeforeLast = end;
    end += point.length;
    count++;
  }
  return text;
}

/**
 * At most `max` characters: the first quarter and the end, which is where a report's conclusion stands, with a note of
 * what was left out between.
 */
export function keepEnds(text: string, max: number): string {
  if (text.length <= max) return text;
  const note = `\n[… ${text.length - max} characters left out …]\n`;
  const head = Math.floor(max / 4);
  return text.slice(0, head) + note + text.slice(text.length - (max - head - note.length));
}
