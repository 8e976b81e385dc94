import { describe, expect, it } from "vitest";
import { emptyTally } from "../../src/workers/pi-events.ts";
import { failureKindOf, followUpOf, judgePiEnd, type PiEnd } from "../../src/workers/pi-outcome.ts";

const end = (tally: Partial<PiEnd["tally"]>, fields: Partial<PiEnd> = {}) =>
  judgePiEnd({
    tally: { ...emptyTally, stopReason: "stop", ...tally },
    stopCause: null,
    thrown: "",
    retryAfter: "",
    timeoutSec: 5,
    maxTurns: 3,
    ...fields,
  });

describe("the end of a pi attempt", () => {
  it.each([
    ["429 Too Many Requests", "transient"],
    ["503: upstream overloaded", "transient"],
    ["500 status code (no body)", "transient"],
    ["Overloaded", "transient"],
    ["Connection error.", "transient"],
    ["fetch failed", "transient"],
    ["read ECONNRESET", "transient"],
    ["Request timed out.", "transient"],
    ["terminated", "transient"],
    ["400 messages: too long", "permanent"],
    ["401 bad key", "permanent"],
    ["403 forbidden", "permanent"],
    ["404 model not found", "permanent"],
    ["No API key found for anthropic.", "permanent"],
    ["prompt is too long: 210000 tokens > 200000 maximum", "permanent"],
    ["This model's maximum context length is 128000 tokens", "permanent"],
    ["something nobody has seen", "permanent"],
  ])("takes %j as %s", (message, kind) => {
    expect(failureKindOf(message)).toBe(kind);
  });

  it.each([
    ["VERDICT: FAIL two tests are red", "failed"],
    ["fine\n\nverdict: fail\n\n", "failed"],
    ["fine\n**VERDICT: FAIL** it is", "failed"],
    ["fine\n- Verdict: **BLOCKED** no key", "blocked"],
    ["VERDICT: PASS", "completed"],
    ["VERDICT: fail\nA second look changes that.\nVERDICT: pass", "completed"],
    ["VERDICT: fail\nOne case is wrong.\n\n## Failures\n1. src/a.js:3", "failed"],
    ["RESULT: blocked\nThe key is missing.", "blocked"],
    ["PLAN: blocked", "blocked"],
    ["RESULT: fail\nTwo tests are red; the next step mends them.", "completed"],
    ["VERDICT: changes-needed", "completed"],
    ["The verdict: failure is an option", "completed"],
    ["VERDICT: FAILING is not a word", "completed"],
  ])("reads the words %j as %s", (lastText, outcome) => {
    expect(end({ answered: true, lastText }).outcome).toBe(outcome);
  });

  it("is a failure worth another try when the last reply says nothing, whatever was said before", () => {
    expect(end({ answered: false, lastText: "Looking.\nVERDICT: pass" })).toMatchObject({
      outcome: "failed",
      failureKind: "transient",
      error: { kind: "no-answer" },
    });
  });

  it("puts our own reason first", () => {
    expect(end({ stopReason: "aborted" }, { stopCause: "timeout" })).toMatchObject({
      outcome: "failed",
      failureKind: "transient",
      exitCode: 124,
      error: { kind: "timeout" },
    });
    expect(end({ stopReason: "aborted" }, { stopCause: "cancelled" })).toMatchObject({
      outcome: "cancelled",
      failureKind: "cancelled",
    });
    expect(end({ stopReason: "aborted" }, { stopCause: "max-turns" })).toMatchObject({
      outcome: "failed",
      failureKind: "permanent",
      error: { kind: "max-turns" },
    });
    expect(end({ stopReason: "aborted" })).toMatchObject({ outcome: "cancelled" });
  });

  it("keeps what the provider said, and for how long it asked to wait", () => {
    const error = end({ stopReason: "error", errorMessage: "429 slow down" }, { retryAfter: "30" });
    expect(error).toMatchObject({
      outcome: "failed",
      failureKind: "transient",
      error: { message: "429 slow down (Retry-After: 30)" },
    });
    expect(end({ stopReason: "length" })).toMatchObject({ outcome: "failed", failureKind: "permanent" });
    expect(end({ stopReason: null })).toMatchObject({ outcome: "failed", error: { kind: "no-reply" } });
    expect(end({}, { thrown: "No API key found" })).toMatchObject({ outcome: "failed", failureKind: "permanent" });
    expect(end({ stopReason: "error", errorMessage: "x".repeat(50_000) }).error?.message).toHaveLength(16_000);
  });
});

describe("what an agent says is left to do", () => {
  it.each([
    ["Done.\n\nFOLLOW-UP: write the docs\nmore", "write the docs"],
    ["**Follow-up:** run `npm test`", "run `npm test`"],
    ["RESULT: done\n\n## Left open\n- one\n- two\n\n## Checks\n- x", "- one\n- two"],
    ["## Left open\n- the last line", "- the last line"],
    ["## Left open\n- none", null],
    ["## Left open\nNone.\n", null],
    ["FOLLOW-UP: none", null],
    ["I will follow up: later", null],
    ["", null],
  ])("reads %j", (text, left) => {
    expect(followUpOf(text)).toBe(left);
  });

  it("takes its time from nobody", () => {
    expect(followUpOf(`## Left open\n${"a \n".repeat(100_000)}`)).toHaveLength(2000);
    expect(followUpOf(`${"> ".repeat(100_000)}follow`)).toBeNull();
  });
});
