import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { AttemptOutcome, EventError } from "../../src/events/crew-event.ts";
import type { AttemptRecord, DeadLetterReason, TaskState } from "../../src/runs/run-state.ts";
import {
  countDeadLetter,
  type DeadLetterOccasion,
  deadLetterAlertId,
  dueDeadLetter,
  NO_DEAD_LETTERS,
} from "../../src/supervision/dead-letter-decision.ts";
import { HEARTBEAT_DEAD } from "../../src/supervision/failure-kind.ts";

function attempt(outcome: AttemptOutcome, error: EventError | null): AttemptRecord {
  return { status: "ended", outcome, error } as AttemptRecord;
}

function task(attempts: AttemptRecord[], status: "running" | "failed" | "completed" = "running"): TaskState {
  return { taskId: "t", status, attempts, error: null } as unknown as TaskState;
}

const refused = attempt("failed", { kind: "model-request", message: "502" });
const silent = attempt("lost", { kind: HEARTBEAT_DEAD, message: "silent for 5 min" });
const died = attempt("lost", { kind: "worker-died", message: "exit code 137" });
const gaveUp = (reason: "max-retries" | "retry-off" | "permanent" | "cancelled") =>
  ({ kind: "gave-up", reason }) as const;

describe("a task becomes a dead letter", () => {
  it("when retries are used up, and only where retry is on", () => {
    expect(dueDeadLetter(task([refused, refused, refused]), gaveUp("max-retries"), [])).toEqual({
      reason: "max-retries",
      attempts: 3,
      lastError: { kind: "model-request", message: "502" },
    });
    expect(dueDeadLetter(task([died, died]), gaveUp("max-retries"), [])).toMatchObject({ reason: "max-retries" });
    for (const reason of ["retry-off", "permanent", "cancelled"] as const)
      expect(dueDeadLetter(task([refused]), gaveUp(reason), [])).toBeNull();
  });

  it("when its heartbeat was dead and no attempt is left, retry or not", () => {
    for (const reason of ["retry-off", "max-retries"] as const)
      expect(dueDeadLetter(task([refused, silent]), gaveUp(reason), [])).toMatchObject({
        reason: "heartbeat-dead",
        attempts: 2,
      });
    expect(dueDeadLetter(task([silent, refused]), gaveUp("retry-off"), [])).toBeNull();
  });

  it("by hand, when it failed", () => {
    expect(dueDeadLetter(task([refused], "failed"), { kind: "manual" }, [])).toMatchObject({ reason: "manual" });
    expect(dueDeadLetter(task([], "failed"), { kind: "manual" }, [])).toEqual({ reason: "manual", attempts: 0 });
    expect(dueDeadLetter(task([refused]), { kind: "manual" }, [])).toBeNull();
    expect(dueDeadLetter(task([], "completed"), { kind: "manual" }, [])).toBeNull();
  });

  it("row 24: exactly one entry per task and trigger, however often and in whatever order it is asked", () => {
    const occasions = fc.constantFrom<DeadLetterOccasion>(
      gaveUp("max-retries"),
      gaveUp("retry-off"),
      gaveUp("permanent"),
      { kind: "manual" },
    );
    const tasks = fc.constantFrom(task([refused]), task([silent]), task([refused], "failed"), task([silent], "failed"));
    fc.assert(
      fc.property(fc.array(fc.tuple(tasks, occasions)), (steps) => {
        const written: DeadLetterReason[] = [];
        for (const [state, occasion] of steps) {
          const due = dueDeadLetter(state, occasion, written);
          if (due) written.push(due.reason);
          expect(dueDeadLetter(state, occasion, written)).toBeNull();
        }
        expect(new Set(written).size).toBe(written.length);
      }),
    );
  });
});

describe("the alert about too many dead letters", () => {
  const minute = 60_000;
  const hour = 60 * minute;
  const count = (times: number[], threshold = 3) => {
    let rate = NO_DEAD_LETTERS;
    return times.map((ts) => {
      const counted = countDeadLetter(rate, ts, threshold);
      rate = counted.rate;
      return counted.alert;
    });
  };

  it("comes with the fourth within an hour, once", () => {
    expect(count([0, 1, 2, 3, 4, 5].map((it) => it * minute))).toEqual([false, false, false, true, false, false]);
    expect(count([0, 20, 40, 60, 80].map((it) => it * minute))).toEqual([false, false, false, false, false]);
    expect(count([0, 20, 40, 59].map((it) => it * minute)).at(-1)).toBe(true);
    expect(deadLetterAlertId("r1")).toBe("deadletter_threshold_r1");
  });

  it("comes again after an hour, when they go on", () => {
    const alerts = count(Array.from({ length: 13 }, (_, it) => it * 10 * minute));
    expect(alerts.flatMap((alert, it) => (alert ? [it * 10] : []))).toEqual([30, 90]);
  });

  it("keeps no more times than it needs, and never alerts twice within an hour", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(hour)), fc.nat(5), (steps, threshold) => {
        let rate = NO_DEAD_LETTERS;
        let ts = 0;
        let sinceAlert = Infinity;
        for (const step of steps) {
          ts += step;
          sinceAlert += step;
          const counted = countDeadLetter(rate, ts, threshold);
          rate = counted.rate;
          expect(rate.times.length).toBeLessThanOrEqual(threshold + 1);
          if (!counted.alert) continue;
          expect(sinceAlert).toBeGreaterThanOrEqual(hour);
          sinceAlert = 0;
        }
      }),
    );
  });
});
