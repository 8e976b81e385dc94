import { describe, expect, it } from "vitest";
import { cutText, safeText } from "../../src/system/safe-text.ts";

const ESC = "\u001b";
const BEL = "\u0007";
const ST = `${ESC}\\`;
const point = String.fromCodePoint;

/** What has been used against terminals: name, payload, what remains between `a` and `b`. */
const PAYLOADS: [name: string, payload: string, left: string][] = [
  ["OSC 52 clipboard, BEL", `${ESC}]52;c;cm0gLXJm${BEL}`, ""],
  ["OSC 52 clipboard, ST", `${ESC}]52;c;cm0gLXJm${ST}`, ""],
  ["OSC 8 link", `${ESC}]8;;http://evil.example${ST}link${ESC}]8;;${ST}`, "link"],
  ["OSC 0 title", `${ESC}]0;title${BEL}`, ""],
  ["OSC 9 notification", `${ESC}]9;note${BEL}`, ""],
  ["OSC 777 notification", `${ESC}]777;notify;a;b${BEL}`, ""],
  ["OSC 1337 file", `${ESC}]1337;File=inline=1:AAAA${BEL}`, ""],
  ["OSC without end, at the end of a line", `${ESC}]0;evil\n`, "\n"],
  ["OSC cut by another sequence", `${ESC}]0;evil${ESC}[31m`, ""],
  ["OSC cancelled by CAN", `${ESC}]0;evil\u0018`, ""],
  ["DCS", `${ESC}Pq#0;2;0;0;0${ST}`, ""],
  ["DCS status request", `${ESC}P$q"p${ST}`, ""],
  ["tmux passthrough", `${ESC}Ptmux;${ESC}${ESC}]52;c;AAAA${BEL}${ST}`, ""],
  ["APC (kitty image)", `${ESC}_Gf=24;AAAA${ST}`, ""],
  ["PM", `${ESC}^private${ST}`, ""],
  ["SOS", `${ESC}Xstring${ST}`, ""],
  ["CSI colour", `${ESC}[1;31m`, ""],
  ["CSI cursor and erase", `${ESC}[2J${ESC}[H${ESC}[?1049h`, ""],
  ["CSI without end, before a line end", `${ESC}[31;1\n`, "\n"],
  ["C1 CSI", "\u009b31m", ""],
  ["C1 OSC", `\u009d0;title${BEL}`, ""],
  ["C1 DCS with C1 ST", "\u0090payload\u009c", ""],
  ["ESC with intermediate and reset", `${ESC}(0${ESC}c`, ""],
  ["lone ESC before a line end", `${ESC}\n`, "\n"],
  ["carriage return overwrite", "safe\revil", "safe\nevil"],
  ["backspace overwrite", "safe\b\b\b\bevil", "safeevil"],
  ["BEL, NUL, DEL", `${BEL}\0\u007f`, ""],
  ["bidi override and isolate", "\u202eevil\u202c\u2066x\u2069\u200f\u061c", "evilx"],
  ["skin tones and joiners", "\u{1f44d}\u{1f3fd} \u{1f469}\u{1f3fd}\u200d\u{1f4bb}", "\u{1f44d} \u{1f469}\u{1f4bb}"],
  ["zero width and tags", `x\u200by\u2060z\ufeff${point(0xe0041)}${point(0xe0101)}`, "xyz"],
  ["lone surrogates", "\ud83dx\ude00", "\ufffdx\ufffd"],
];

describe("safeText", () => {
  it("knows 31 classes", () => expect(PAYLOADS).toHaveLength(31));

  it.each(PAYLOADS)("%s", (_name, payload, left) => {
    expect(safeText(`a${payload}b`, { multiline: true })).toBe(`a${left}b`);
    expect(safeText(`a${payload}b`, { multiline: false })).toBe(`a${left.replaceAll("\n", " ")}b`);
    expect(isSafe(safeText(payload, { multiline: true }))).toBe(true);
  });

  it.each(PAYLOADS)("cut anywhere: %s", (_name, payload) => {
    for (let end = 0; end <= payload.length; end++)
      expect(isSafe(safeText(payload.slice(0, end), { multiline: true }))).toBe(true);
  });

  it("loses an unterminated string sequence at the end of the text", () => {
    expect(safeText(`before${ESC}]52;c;AAAA`, { multiline: true })).toBe("before");
    expect(safeText(`before${ESC}[31`, { multiline: true })).toBe("before");
    expect(safeText(`before${ESC}`, { multiline: true })).toBe("before");
  });

  it("leaves nothing that becomes a sequence when the inner one is gone", () => {
    expect(safeText(`${ESC}${ESC}[31m[32mx`, { multiline: true })).toBe("[32mx");
    // Halves of a tag character around a zero-width space.
    expect(safeText("\udb40\u200b\udc41", { multiline: true })).toBe("\ufffd\ufffd");
  });

  it("keeps text, emoji, other scripts, lines and tabs", () => {
    const text = "Grüße\t日本語 👍 ❤️ مرحبا\n  second [31m line";
    expect(safeText(text, { multiline: true })).toBe(text);
    expect(safeText("a\r\nb\rc\u2028d\te", { multiline: true })).toBe("a\nb\nc\nd\te");
    expect(safeText("a\r\nb\tc", { multiline: false })).toBe("a b c");
  });

  it("gets through hostile text", { timeout: 30_000 }, () => {
    for (const part of [
      ESC,
      `${ESC}]`,
      `${ESC}[`,
      `${ESC}[1;`,
      `${ESC}P${ESC}`,
      "\u009d",
      `${ESC} `,
      "\r",
      "\u202e",
      "\ud800",
    ])
      expect(isSafe(safeText(part.repeat(200_000 / part.length), { multiline: true }))).toBe(true);
  });
});

describe("cutText", () => {
  it.each([
    ["abc", 3, "abc"],
    ["abcd", 3, "ab…"],
    ["👍👍👍", 3, "👍👍👍"],
    ["👍👍👍👍", 3, "👍👍…"],
    ["abc", 1, "…"],
    ["abc", 0, ""],
    ["", 0, ""],
  ])("%j to %i", (text, max, cut) => expect(cutText(text, max)).toBe(cut));
});

/** Printable characters, line feeds and tabs only; decided here by code point, not by the pattern under test. */
function isSafe(text: string): boolean {
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x20 && code !== 0x0a && code !== 0x09) return false;
    if (code >= 0x7f && code <= 0x9f) return false;
    if (code >= 0xd800 && code <= 0xdfff) return false;
    if (/\p{Bidi_Control}/u.test(character) || code === 0x200b || code === 0x2060 || code === 0xfeff) return false;
  }
  return true;
}
