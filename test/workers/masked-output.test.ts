import { describe, expect, it } from "vitest";
import { createRedactor } from "../../src/system/redaction.ts";
import { MaskedBytes, maskLine } from "../../src/workers/masked-output.ts";

const SECRET = 'quoted"secret-0001';
const redactor = () => createRedactor({ secretValues: [SECRET] });

describe("a line of events", () => {
  it("stays JSON and keeps its amounts, and is the same text when it holds no secret", () => {
    const harmless = '{"type":"x","n":1.0,"big":12345678901234567890}';
    expect(maskLine(redactor(), harmless)).toBe(harmless);
    const event = { type: "x", usage: { input: 7, tokens: 8 }, args: { token: "abc", path: `a ${SECRET}` } };
    expect(JSON.parse(maskLine(redactor(), JSON.stringify(event)))).toEqual({
      ...{ type: "x", usage: { input: 7, tokens: 8 }, args: { token: "***", path: "a [REDACTED:known-value]" } },
    });
  });
});

describe("a program's bytes", () => {
  function through(chunks: readonly (string | Uint8Array)[]): Buffer {
    const written: Uint8Array[] = [];
    const masked = new MaskedBytes(redactor(), (bytes) => void written.push(Uint8Array.from(bytes)));
    for (const chunk of chunks) masked.push(Buffer.from(chunk as string));
    masked.flush();
    return Buffer.concat(written);
  }

  it("are written as they are where there is nothing to mask, also when they are no text", () => {
    const odd = Uint8Array.from([0xff, 0xfe, 0x0a, 0x80, 0x0a, 0xc3]);
    expect(through([odd.subarray(0, 4), odd.subarray(4)])).toEqual(Buffer.from(odd));
  });

  it("are masked across the borders of what comes at once, and at the end without a line feed", () => {
    expect(through(["one\ntwo quo", 'ted"sec', "ret-0001 end\nthree"]).toString()).toBe(
      "one\ntwo [REDACTED:known-value] end\nthree",
    );
    expect(through([`last ${SECRET}`]).toString()).toBe("last [REDACTED:known-value]");
  });

  it("are masked across the border of two full pipes", () => {
    const full = `${"a line of output\n".repeat(3855)}and the last`;
    const text = through([full, `${full} quoted"sec`, "ret-0001 end\n"]).toString();
    expect(text).toContain("and the last [REDACTED:known-value] end\n");
  });

  it("wait for no line feed for ever", () => {
    const written: number[] = [];
    const masked = new MaskedBytes(redactor(), (bytes) => void written.push(bytes.byteLength));
    for (let chunk = 0; chunk < 9; chunk++) masked.push(Buffer.from("x".repeat(10_000)));
    expect(written).toEqual([70_000]);
  });
});
