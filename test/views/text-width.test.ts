import { visibleWidth } from "@mariozechner/pi-tui";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fold } from "../../src/views/paint.ts";
import { clip, columns, pad, padBefore, wrap } from "../../src/views/text-width.ts";

const text = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.string({ unit: "binary" }).map((it) => it.replace(/[\p{C}]/gu, "")),
  fc.constantFrom("模型模型模型", "🚀🚀", "日本語 text ｶﾅ", "a".repeat(300), "e\u0301e\u0301", "🇩🇪👍🏽❤️1️⃣", "한국어"),
);

describe("columns", () => {
  it.each([
    ["", 0],
    ["abc", 3],
    ["é – …", 5],
    ["e\u0301", 1],
    ["日本語", 6],
    ["ｱｲｳ", 3],
    ["ＡＢ", 4],
    ["한국어", 6],
    ["\u1112\u1161\u11ab", 2],
    ["🚀", 2],
    ["👍🏽", 2],
    ["🇩🇪", 2],
    ["👩‍👩‍👧‍👦", 2],
    ["❤️", 2],
    ["❤", 1],
    ["█▒▓░●○✓✗", 8],
  ])("of %j are %i", (given, count) => expect(columns(given)).toBe(count));

  it("are never fewer than the host counts, for which too wide a line is the end", () => {
    const fewer: string[] = [];
    for (let code = 0x20; code < 0x40000; code++) {
      const character = String.fromCodePoint(code);
      if (/\p{C}/u.test(character)) continue;
      if (columns(character) < visibleWidth(character)) fewer.push(code.toString(16));
    }
    expect(fewer).toEqual([]);
    fc.assert(fc.property(text, (it) => columns(it) >= visibleWidth(it)));
  });
});

describe("cutting and filling", () => {
  it("cuts at a character's border, marks and all", () => {
    expect(clip("日本語", 6)).toBe("日本語");
    expect(clip("日本語", 5)).toBe("日本…");
    expect(clip("日本語", 4)).toBe("日…");
    expect(clip("ae\u0301o", 2)).toBe("a…");
    expect(clip("e\u0301oo", 2)).toBe("e\u0301…");
    expect(clip("🇩🇪🇫🇷", 3)).toBe("🇩🇪…");
    expect(clip("abc", 0)).toBe("");
  });

  it("never cuts apart what is drawn as one: joined and toned people, flags, keycaps, marks, syllables", () => {
    const pictures = [
      "👨‍👩‍👧",
      "👩🏽‍💻",
      "🏳️‍🌈",
      "🇩🇪",
      "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
      "👍🏿",
      "1️⃣",
      "e\u0301\u0323",
      "ก็",
      "\u1112\u1161\u11ab",
      "नि",
    ];
    const line = fc.array(fc.constantFrom(...pictures, "a", " ", "模", "🚀"), { maxLength: 30 });
    const segments = (given: string) =>
      [...new Intl.Segmenter("en", { granularity: "grapheme" }).segment(given)].map(({ segment }) => segment);
    fc.assert(
      fc.property(line, fc.integer({ min: 2, max: 20 }), (parts, width) => {
        const given = parts.join("");
        const whole = new Set(segments(given));
        for (const cut of [clip(given, width), ...fold(given, width), ...wrap(given, width)]) {
          expect(visibleWidth(cut)).toBeLessThanOrEqual(width);
          for (const segment of segments(cut)) expect(whole.has(segment) || segment === "…", segment).toBe(true);
        }
      }),
    );
  });

  it("fills by columns", () => {
    expect(pad("日本", 6)).toBe("日本  ");
    expect(padBefore("日本", 6)).toBe("  日本");
    expect(pad("日本", 3)).toBe("日本");
  });

  it("never exceeds the width, and keeps what fits", () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 0, max: 40 }), (it, width) => {
        expect(columns(clip(it, width))).toBeLessThanOrEqual(width);
        if (width > 0 && columns(it) <= width) expect(clip(it, width)).toBe(it);
        if (width > 0) for (const line of wrap(it, width)) expect(columns(line)).toBeLessThanOrEqual(width);
      }),
    );
  });
});
