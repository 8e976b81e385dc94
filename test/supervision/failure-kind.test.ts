import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AttemptFailure, classifyFailure, failureOfThrown, matchesError } from "../../src/supervision/failure-kind.ts";
import { findRetryAfterMs, parseRetryAfterMs } from "../../src/supervision/retry-after.ts";
import { UserError } from "../../src/system/errors.ts";
import { judgePiEnd } from "../../src/workers/pi-outcome.ts";

const NOW = Date.UTC(2026, 10, 20, 12, 0, 0);

function failed(message: string, failureKind: "transient" | "permanent" | null = null, kind = "model-request") {
  return classifyFailure({ outcome: "failed", failureKind, error: { kind, message } }, NOW);
}

describe("a failure's kind and reason", () => {
  it.each([
    ["429 Too Many Requests", "transient", "rate-limit"],
    ['{"type":"overloaded_error","message":"Overloaded"}', "transient", "overloaded"],
    ["529", "transient", "overloaded"],
    ["503 Service Unavailable", "transient", "overloaded"],
    ["fetch failed: https://api.example/x ECONNRESET", "transient", "network"],
    ["Request timed out.", "transient", "timeout"],
    ["the model said something new", "permanent", "permanent"],
  ])("reads %j where the worker gave no judgement", (message, kind, reason) => {
    expect(failed(message)).toMatchObject({ kind, reason });
  });

  it("takes the worker's word for the kind and looks for the reason only in what is transient", () => {
    expect(failed("429 insufficient_quota", "permanent")).toMatchObject({ kind: "permanent", reason: "permanent" });
    expect(failed("spawn EMFILE", "transient", "worker-refused")).toMatchObject({ kind: "transient", reason: "other" });
    expect(failed("npm test: exit 1", "permanent", "verify")).toMatchObject({ kind: "permanent", reason: "verify" });
    expect(failed("no such tool", null, "tool")).toMatchObject({ kind: "permanent", reason: "tool" });
    expect(failed("No end within timeoutSec 5.", null, "timeout")).toMatchObject({ kind: "transient" });
  });

  it("takes no word of what a command printed", () => {
    const printed = "exited with 1:\n429 Too Many Requests, Retry-After: 3600";
    const retryAfterMs = null;
    expect(failed(printed, "transient", "exit")).toEqual(
      expect.objectContaining({ kind: "transient", reason: "command", retryAfterMs }),
    );
    expect(failed(printed, "transient", "verify")).toMatchObject({ reason: "verify", retryAfterMs });
    expect(failed(printed, "permanent", "exit")).toMatchObject({ kind: "permanent", reason: "command" });
    expect(failed(printed, "transient").retryAfterMs).toBe(3_600_000);
  });

  it("lets the outcome stand above all words", () => {
    const error = { kind: "x", message: "429" };
    expect(classifyFailure({ outcome: "lost", failureKind: "permanent", error }, NOW).kind).toBe("lost");
    expect(classifyFailure({ outcome: "cancelled", failureKind: null, error: null }, NOW)).toMatchObject({
      kind: "cancelled",
      reason: "cancelled",
    });
    expect(classifyFailure({ outcome: "blocked", failureKind: null, error }, NOW)).toMatchObject({
      kind: "permanent",
      reason: "blocked",
      retryAfterMs: null,
    });
  });

  it("finds in a pi worker's own report what the provider asked for", () => {
    const verdict = judgePiEnd({
      tally: { stopReason: "error", errorMessage: "429 rate limited", finalText: "" } as never,
      stopCause: null,
      thrown: "",
      retryAfter: "Fri, 20 Nov 2026 12:00:30 GMT",
      timeoutSec: null,
      maxTurns: null,
    });
    expect(classifyFailure(verdict, NOW)).toMatchObject({ reason: "rate-limit", retryAfterMs: 30_000 });
  });
});

describe("Retry-After", () => {
  it.each([
    ["0", 0],
    ["120", 120_000],
    [" 1.5 ", 1500],
    ["30, x-request-id: 7", 30_000],
    ["Fri, 20 Nov 2026 12:00:10 GMT", 10_000],
    ["Friday, 20-Nov-26 12:00:10 GMT", 10_000],
    ["Fri Nov 20 12:00:10 2026", 10_000],
    ["Fri, 20 Nov 2026 11:00:00 GMT", 0],
    ["-5", null],
    ["soon", null],
    ["", null],
    ["Sunday", null],
    ["2026-11-20T12:00:10Z", null],
  ])("%j is %j ms", (value, ms) => {
    expect(parseRetryAfterMs(value, NOW)).toBe(ms);
  });

  it.each([
    ["429 slow down (Retry-After: 7)", 7000],
    ['headers {"retry-after":"12","x":"1"}', 12_000],
    ["(Retry-After: 3) then (Retry-After: 9)", 9000],
    ["Please try again in 1m2.5s.", 62_500],
    ["try again in 20ms", 20],
    ["retry after 30 seconds", 30_000],
    ["Try again in 2 minutes", 120_000],
    ["will retry after lunch", null],
    ["retry-after: nonsense", null],
    ["nothing", null],
  ])("in %j: %j ms", (message, ms) => {
    expect(findRetryAfterMs(message, NOW)).toBe(ms);
  });

  it("is never NaN or negative, whatever the text", () => {
    const text = fc.oneof(
      fc.string(),
      fc.string().map((it) => `Retry-After: ${it}`),
      fc.bigInt().map((it) => `retry after ${it}s (retry-after: ${it})`),
      fc.string().map((it) => `retry-after: Mon, ${it} 10:00:00`),
    );
    fc.assert(
      fc.property(text, (it) => {
        const ms = findRetryAfterMs(it, NOW);
        expect(ms === null || ms >= 0).toBe(true);
      }),
    );
  });
});

describe("error globs", () => {
  it("fit message, kind, or both, also behind a URL", () => {
    const error = { kind: "model-request", message: "fetch failed: https://api/x ECONNRESET" };
    expect(matchesError(["*econnreset*"], error)).toBe(true);
    expect(matchesError(["model-*"], error)).toBe(true);
    expect(matchesError(["model-request: fetch*"], error)).toBe(true);
    expect(matchesError(["ECONNRESET", "fetch"], error)).toBe(false);
    expect(matchesError([], error)).toBe(false);
  });
});

describe("the failure in what was thrown", () => {
  it("is its own judgement, else by its nature", () => {
    const failure = failed("x", "permanent");
    expect(failureOfThrown(new AttemptFailure(failure), NOW)).toBe(failure);
    expect(failureOfThrown(new UserError("bad", "mend it"), NOW).kind).toBe("permanent");
    expect(failureOfThrown(new DOMException("stop", "AbortError"), NOW).kind).toBe("cancelled");
    const reset = Object.assign(new Error("socket hang up"), { code: "ECONNRESET" });
    expect(failureOfThrown(reset, NOW)).toMatchObject({
      kind: "transient",
      reason: "network",
      error: { kind: "ECONNRESET" },
    });
    expect(failureOfThrown("just words", NOW)).toMatchObject({ kind: "transient", error: { message: "just words" } });
    expect(failureOfThrown(undefined, NOW).kind).toBe("transient");
  });
});
