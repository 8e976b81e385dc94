import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { FailureKind } from "../../src/events/crew-event.ts";
import { DEFAULT_CONFIG } from "../../src/host/config.ts";
import type { RetryPolicy } from "../../src/runs/run-config.ts";
import type { AttemptRecord } from "../../src/runs/run-state.ts";
import { type Failure, INTERRUPTED } from "../../src/supervision/failure-kind.ts";
import {
  backoffDelayMs,
  countedAttempts,
  decideNext,
  nextDelayMs,
  policyOf,
} from "../../src/supervision/retry-policy.ts";

const DEFAULT_RETRY_POLICY = DEFAULT_CONFIG.reliability.retryPolicy;

const policies = fc.record<RetryPolicy>({
  maxAttempts: fc.integer({ min: 1, max: 10 }),
  backoffMs: fc.integer({ min: 0, max: 60_000 }),
  jitterRatio: fc.double({ min: 0, max: 1, noNaN: true }),
  exponentialFactor: fc.double({ min: 1, max: 5, noNaN: true }),
  maxDelayMs: fc.oneof(fc.integer({ min: 0, max: 600_000 }), fc.constant(Infinity)),
  retryableErrors: fc.constant([]),
});
const attempts = fc.oneof(fc.integer({ min: 0, max: 12 }), fc.constantFrom(3000, 1_000_000, Number.MAX_SAFE_INTEGER));
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const steady = { next: () => 0.5 };

function failure(kind: FailureKind, changes: Partial<Failure> = {}): Failure {
  return { kind, reason: "other", retryAfterMs: null, error: { kind: "model-request", message: "502" }, ...changes };
}

describe("the delay before the next attempt", () => {
  it("is a whole number within [0, maxDelayMs], for any attempt and any wish of the provider", () => {
    const wishes = fc.option(fc.oneof(fc.integer({ min: 0 }), fc.constantFrom(Infinity, Number.NaN, -1)));
    fc.assert(
      fc.property(attempts, policies, chance, wishes, (attempt, policy, luck, retryAfterMs) => {
        const delay = nextDelayMs(attempt, policy, { next: () => luck }, retryAfterMs);
        expect(Number.isFinite(delay)).toBe(true);
        expect(delay).toBeGreaterThanOrEqual(0);
        expect(delay).toBeLessThanOrEqual(Math.min(policy.maxDelayMs, 86_400_000));
        // what setTimeout takes without firing at once
        expect(delay).toBeLessThan(2 ** 31);
      }),
    );
  });

  it("never shrinks from attempt to attempt, before jitter", () => {
    fc.assert(
      fc.property(attempts, policies, (attempt, policy) => {
        expect(backoffDelayMs(attempt + 1, policy)).toBeGreaterThanOrEqual(backoffDelayMs(attempt, policy));
      }),
    );
  });

  it("stays within the jitter, and waits at least as long as the provider asked", () => {
    fc.assert(
      fc.property(attempts, policies, chance, fc.nat(100_000), (attempt, policy, luck, retryAfterMs) => {
        const base = backoffDelayMs(attempt, policy);
        const random = { next: () => luck };
        const delay = nextDelayMs(attempt, policy, random);
        expect(delay).toBeGreaterThanOrEqual(Math.floor(base * (1 - policy.jitterRatio)));
        expect(delay).toBeLessThanOrEqual(Math.ceil(base * (1 + policy.jitterRatio)));
        expect(nextDelayMs(attempt, policy, random, retryAfterMs)).toBeGreaterThanOrEqual(
          Math.min(retryAfterMs, policy.maxDelayMs),
        );
      }),
    );
  });

  it("is 1 s, 2 s, 4 s … by default, give or take 30 %", () => {
    const at = (luck: number) => [1, 2, 3].map((it) => nextDelayMs(it, DEFAULT_RETRY_POLICY, { next: () => luck }));
    expect(at(0.5)).toEqual([1000, 2000, 4000]);
    expect(at(0)).toEqual([700, 1400, 2800]);
    expect(nextDelayMs(3000, DEFAULT_RETRY_POLICY, steady)).toBe(300_000);
    expect(nextDelayMs(1, DEFAULT_RETRY_POLICY, steady, 45_000)).toBe(45_000);
    expect(nextDelayMs(3000, { ...DEFAULT_RETRY_POLICY, backoffMs: 0, exponentialFactor: 5 }, steady)).toBe(0);
    expect(backoffDelayMs(0, DEFAULT_RETRY_POLICY)).toBe(1000);
  });
});

describe("the decision about another attempt", () => {
  it("goes on for transient and lost only, and only while attempts are left", () => {
    const decide = (kind: FailureKind, made: number) => decideNext(failure(kind), made, DEFAULT_RETRY_POLICY, steady);
    expect(decide("transient", 1)).toEqual({ again: 1000, kind: "transient" });
    expect(decide("lost", 2)).toEqual({ again: 2000, kind: "lost" });
    expect(decide("transient", 3)).toEqual({ giveUp: "max-retries", kind: "transient" });
    expect(decide("permanent", 1)).toEqual({ giveUp: "permanent", kind: "permanent" });
    expect(decide("cancelled", 1)).toEqual({ giveUp: "cancelled", kind: "cancelled" });
    expect(decideNext(failure("lost"), 1, null, steady)).toEqual({ giveUp: "retry-off", kind: "lost" });
  });

  it("does again at once, retry or not, what went down with the run's owner", () => {
    const interrupted = failure("lost", { error: { kind: INTERRUPTED, message: "" } });
    expect(decideNext(interrupted, 0, null, steady)).toEqual({ again: 0, kind: "lost" });
    expect(decideNext(interrupted, 3, DEFAULT_RETRY_POLICY, steady)).toEqual({ again: 0, kind: "lost" });
  });

  it("leaves it to the globs, where there are any, which errors are retried", () => {
    const policy = { ...DEFAULT_RETRY_POLICY, retryableErrors: ["*ECONNRESET*", "verify"] };
    const decide = (it: Failure) => "again" in decideNext(it, 1, policy, steady);
    expect(decide(failure("transient"))).toBe(false);
    expect(decide(failure("permanent", { error: { kind: "x", message: "a ECONNRESET b" } }))).toBe(true);
    expect(decide(failure("permanent", { error: { kind: "verify", message: "exit 1" } }))).toBe(true);
    expect(decide(failure("lost"))).toBe(true);
    const anything = { ...policy, retryableErrors: ["*"] };
    expect(decideNext(failure("cancelled"), 1, anything, steady)).toMatchObject({ giveUp: "cancelled" });
    expect(decideNext(failure("permanent", { reason: "blocked" }), 1, anything, steady)).toMatchObject({
      giveUp: "permanent",
    });
  });

  it("row 24, retry storm of a poison task: attempts and delays are capped", () => {
    fc.assert(
      fc.property(policies, chance, (policy, luck) => {
        let made = 1;
        let waited = 0;
        for (;;) {
          const next = decideNext(failure("transient"), made, policy, { next: () => luck });
          if ("giveUp" in next) break;
          waited += next.again;
          made++;
        }
        expect(made).toBe(policy.maxAttempts);
        expect(waited).toBeLessThanOrEqual(policy.maxAttempts * Math.min(policy.maxDelayMs, 86_400_000));
      }),
    );
  });
});

describe("the policy of a step", () => {
  const retryPolicy = DEFAULT_RETRY_POLICY;

  it("follows the configuration, unless the step opts in or out", () => {
    expect(policyOf(null, { autoRetry: false, retryPolicy })).toBeNull();
    expect(policyOf(null, { autoRetry: true, retryPolicy })).toBe(retryPolicy);
    expect(policyOf({ maxAttempts: 5 }, { autoRetry: false, retryPolicy })).toEqual({ ...retryPolicy, maxAttempts: 5 });
    expect(policyOf({ maxAttempts: 1 }, { autoRetry: true, retryPolicy })).toBeNull();
  });
});

describe("what a former owner left", () => {
  it("counts ended attempts, but not those that went down with the owner", () => {
    const ended = (kind: string) => ({ status: "ended", error: { kind, message: "" } }) as AttemptRecord;
    const running = { status: "running" } as AttemptRecord;
    expect(countedAttempts([])).toBe(0);
    expect(countedAttempts([ended("model-request"), ended(INTERRUPTED), ended("worker-died"), running])).toBe(2);
  });
});
