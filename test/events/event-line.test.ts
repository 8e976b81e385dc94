import { crc32 as zlibCrc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CrewEvent } from "../../src/events/crew-event.ts";
import {
  crc32,
  decodeEventLine,
  encodeEventLine,
  isCutOff,
  openSealedLine,
  sealedLine,
} from "../../src/events/event-line.ts";
import { anyEvent } from "./any-event.ts";

const event = anyEvent(["a", "b"]);

function decodeBytes(line: Uint8Array) {
  return decodeEventLine(Buffer.from(line).toString());
}

/** A line as a later version of ours could write it. */
function lineOf(value: unknown): string {
  const json = JSON.stringify(value);
  return `${json.slice(0, -1)},"crc":${crc32(Buffer.from(json))}}`;
}

function sample(goal: string): CrewEvent {
  return {
    v: 1,
    seq: 7,
    epoch: 2,
    ts: 1_700_000_000_000,
    type: "crew.run.created",
    runId: "run-1",
    traceId: "0".repeat(32),
    spanId: "1".repeat(16),
    team: "t",
    workflow: "w",
    goal,
    taskCount: 1,
    background: false,
    sessionId: "s",
  };
}

describe("an event as a line", () => {
  it("comes back as it went, whatever its texts hold", () => {
    fc.assert(
      fc.property(event, (before) => {
        const line = encodeEventLine(before);
        expect(line.indexOf("\n")).toBe(line.length - 1);
        // through bytes, as a file gives it back
        expect(decodeBytes(Buffer.from(line).subarray(0, -1))).toEqual({ kind: "event", event: before });
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ["a line separator", "a\u2028b\u2029c"],
    ["half a surrogate pair", "a\ud800b\udc00"],
    ["quotes and backslashes", '"\\"\\\\"'],
    ["the mark of the checksum", 'x,"crc":1}'],
    ["a line's whole end", `","crc":123}`],
    ["line feeds and NUL", "a\r\n\0b"],
  ])("keeps %s", (_what, goal) => {
    const line = encodeEventLine(sample(goal));
    expect(decodeEventLine(line.slice(0, -1))).toEqual({ kind: "event", event: sample(goal) });
  });

  it("is plain JSON, so that other programs can read a log", () => {
    fc.assert(
      fc.property(event, (before) => {
        const { crc, ...rest } = JSON.parse(encodeEventLine(before)) as Record<string, unknown>;
        expect(rest).toEqual(before);
        expect(crc).toBe(crc32(Buffer.from(JSON.stringify(before))));
      }),
    );
  });

  it("shows every flip of one bit", () => {
    fc.assert(
      fc.property(event, (before) => {
        const line = Buffer.from(encodeEventLine(before)).subarray(0, -1);
        for (let at = 0; at < line.length; at++) {
          for (let bit = 0; bit < 8; bit++) {
            line[at] = (line[at] as number) ^ (1 << bit);
            if (decodeBytes(line).kind !== "bad") expect.fail(`bit ${bit} of byte ${at} of ${line.toString("latin1")}`);
            line[at] = (line[at] as number) ^ (1 << bit);
          }
        }
      }),
      { numRuns: 15 },
    );
  });

  it("shows every other byte in a byte's place, or reads the very same event", () => {
    // U+FFFD is what a broken byte is read as, so that some broken bytes mean the same
    const line = Buffer.from(encodeEventLine(sample('z\u00fc\u2028\ufffd,"crc":0}'))).subarray(0, -1);
    for (let at = 0; at < line.length; at++) {
      const right = line[at] as number;
      for (let wrong = 0; wrong < 256; wrong++) {
        if (wrong === right) continue;
        line[at] = wrong;
        const decoded = decodeBytes(line);
        if (
          decoded.kind !== "bad" &&
          line.toString() !== encodeEventLine(sample('z\u00fc\u2028\ufffd,"crc":0}')).trimEnd()
        )
          expect.fail(`byte ${at} as ${wrong}: ${decoded.kind}`);
      }
      line[at] = right;
    }
  });

  it("is bad when it is cut anywhere", () => {
    const line = encodeEventLine(sample('a,"crc":5}b'));
    for (let length = 0; length < line.length - 1; length++)
      expect(decodeEventLine(line.slice(0, length)), `cut at ${length}`).toEqual({ kind: "bad" });
  });

  it("never throws, whatever the line is", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (line) => decodeEventLine(line).kind === "bad"));
    for (const line of ["", "null", "[]", "1", '{"v":1}', '{"crc":0}', ',"crc":0}', lineOf([1]), lineOf("x")])
      expect(decodeEventLine(line), line).toEqual({ kind: "bad" });
  });

  it("minds only the checksum at its end", () => {
    const value = { a: 1, inner: { b: 1, crc: 5 }, list: [{ x: 1, crc: 6 }] };
    expect(openSealedLine(sealedLine(value).slice(0, -1))).toEqual(value);
  });

  it("knows what it does not know", () => {
    const { type: _type, ...rest } = sample("g");
    expect(decodeEventLine(lineOf({ ...rest, type: "crew.run.teleported" }))).toEqual({
      kind: "unknown",
      seq: 7,
      epoch: 2,
    });
    expect(decodeEventLine(lineOf({ ...rest, type: "constructor" })).kind).toBe("unknown");
    expect(decodeEventLine(lineOf({ ...sample("g"), v: 2 }))).toEqual({ kind: "newer", version: 2 });
    expect(decodeEventLine(lineOf({ ...sample("g"), v: 0 }))).toEqual({ kind: "bad" });
    expect(decodeEventLine(lineOf({ ...sample("g"), seq: "7" }))).toEqual({ kind: "bad" });
  });
});

describe("crc32", () => {
  it("is the one everybody means", () => {
    expect(crc32(Buffer.from("123456789"))).toBe(0xcbf43926);
    // missing from the oldest Node we run on
    if (typeof zlibCrc32 === "function")
      fc.assert(fc.property(fc.uint8Array(), (bytes) => crc32(bytes) === zlibCrc32(bytes)));
  });
});

describe("a line that is no event", () => {
  const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString();

  it("is told for one whose writing broke off, wherever it did", () => {
    fc.assert(
      fc.property(event, (whole) => {
        const bytes = Buffer.from(encodeEventLine(whole)).subarray(0, -1);
        for (let cut = 1; cut < bytes.length; cut++) expect(isCutOff(textOf(bytes.subarray(0, cut)))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("is not told for such when any bit of a whole one is another", () => {
    fc.assert(
      fc.property(event, (whole) => {
        const bytes = Buffer.from(encodeEventLine(whole)).subarray(0, -1);
        for (let bit = 0; bit < bytes.length * 8; bit++) {
          const flipped = Buffer.from(bytes);
          flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
          if (flipped[bit >> 3] === 0x0a) continue;
          expect(decodeBytes(flipped).kind, `bit ${bit}`).toBe("bad");
          expect(isCutOff(textOf(flipped)), `bit ${bit} of ${textOf(bytes)}`).toBe(false);
        }
      }),
      { numRuns: 15 },
    );
  });

  it.each([
    ["no JSON", "not json"],
    ["a whole one and the begin of another", `${encodeEventLine(sample("a")).trimEnd()}{"v":1`],
    ["the begin of one and a whole other", `{"v":1,"seq":7,"epo${encodeEventLine(sample("a")).trimEnd()}`],
    ["a begin and NULs", `{"v":1,"goal":"ab\0\0\0`],
    ["a whole one and a carriage return", encodeEventLine(sample("a")).replace("\n", "\r")],
    ["closed by what did not open it", '{"a":[1}'],
  ])("is not told for such when it is %s", (_what, line) => {
    expect(decodeEventLine(line).kind).toBe("bad");
    expect(isCutOff(line)).toBe(false);
  });

  it("is judged at once, however it is made", () => {
    const lines = ["[".repeat(200_000), '"'.repeat(200_000), "\\".repeat(200_000), ',"crc'.repeat(50_000)];
    for (const line of lines) isCutOff(`{${line}`);
  });
});
