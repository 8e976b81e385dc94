import fc from "fast-check";
import { expect, test } from "vitest";
import { formatCount, formatDuration, formatTokens, formatUsd } from "../../src/views/units.ts";

test.each([
  [0, "0ms"],
  [0.25, "0.3ms"],
  [1.5, "1.5ms"],
  [850, "850ms"],
  [999.6, "1s"],
  [1240, "1.2s"],
  [9949, "9.9s"],
  [9950, "10s"],
  [59_499, "59s"],
  [59_500, "1m 00s"],
  [125_000, "2m 05s"],
  [3_599_600, "1h 00m"],
  [3_780_000, "1h 03m"],
  [86_399_000, "1d 00h"],
  [187_200_000, "2d 04h"],
  [-1240, "-1.2s"],
  [Number.NaN, "–"],
])("%s ms is %s", (ms, text) => expect(formatDuration(ms)).toBe(text));

test("a duration up to 99 days takes at most seven characters and never shows 60s, 60m or 24h", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 99 * 86_400_000, noNaN: true }), (ms) => {
      const text = formatDuration(ms);
      expect(text.length).toBeLessThanOrEqual(7);
      expect(text).not.toMatch(/\b60[sm]|\b24h/);
    }),
  );
});

test.each([
  [0, "0"],
  [999, "999"],
  [999.6, "1k"],
  [1234, "1.2k"],
  [9960, "10k"],
  [34_400, "34k"],
  [999_500, "1M"],
  [1_250_000, "1.3M"],
  [3_400_000_000, "3.4B"],
  [Infinity, "–"],
])("%s tokens are %s", (tokens, text) => expect(formatTokens(tokens)).toBe(text));

test.each([
  [0, "$0.00"],
  [0.0042, "$0.0042"],
  [0.00000123, "$0.0000012"],
  [0.00994, "$0.0099"],
  [0.00996, "$0.01"],
  [0.01, "$0.01"],
  [0.018, "$0.018"],
  [0.0184, "$0.018"],
  [0.02, "$0.02"],
  [0.0994, "$0.099"],
  [0.0996, "$0.10"],
  [0.1, "$0.10"],
  [0.999, "$1.00"],
  [1.23, "$1.23"],
  [12.3, "$12.30"],
  [1.005, "$1.00"],
  [1234.5, "$1,234.50"],
  [1_234_567.891, "$1,234,567.89"],
  [-0.5, "-$0.50"],
  [Number.NaN, "–"],
])("%s dollars are %s", (usd, text) => expect(formatUsd(usd)).toBe(text));

test.each([
  [0, "0"],
  [999, "999"],
  [1000, "1,000"],
  [1_234_567, "1,234,567"],
  [0.254, "0.25"],
  [1234.5, "1,234.5"],
  [-1000, "-1,000"],
])("%s is counted as %s", (value, text) => expect(formatCount(value)).toBe(text));
