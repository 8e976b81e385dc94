import { describe, expect, it } from "vitest";
import { attemptId } from "../../src/runs/run-state.ts";
import { attemptTags, eventId, parseAttemptState } from "../../src/workers/attempt-folder.ts";

describe("an attempt's folder", () => {
  it("has names of a fixed form", () => {
    expect(attemptId(1)).toBe("a0001");
    expect(eventId(12, 3)).toBe("a0012:event:0003");
    expect(attemptTags({ runId: "r", taskId: "t", attempt: 2 }, "w")).toEqual({
      FOREMAN_WORKER: "w",
      FOREMAN_ATTEMPT: "r/t/a0002",
    });
  });

  it("gives a state only when all an owner needs is there", () => {
    const running = {
      status: "running",
      workerId: "w",
      pid: 5,
      processStart: "1",
      hostId: "h",
      bootId: "b",
      pidNs: "n",
      startedAt: "x",
      lastEventSeq: 0,
    };
    expect(parseAttemptState(JSON.stringify(running))).toEqual(running);
    for (const name of ["workerId", "pid", "processStart", "bootId"]) {
      const { [name]: _gone, ...rest } = running as Record<string, unknown>;
      expect(parseAttemptState(JSON.stringify(rest))).toBeNull();
    }
    for (const text of [
      null,
      "",
      "{",
      "[]",
      '"running"',
      '{"status":"ended"}',
      '{"status":"ended","result":{}}',
      '{"status":"odd"}',
    ])
      expect(parseAttemptState(text)).toBeNull();
  });
});
