import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createCorrelation, newSpanId, spanIdsOf, traceparentOf } from "../../src/events/correlation.ts";

const id = fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,20}$/);

describe("span ids", () => {
  it("are the same in every process that knows the place", () => {
    // written down once: a change would cut the traces of runs under way
    expect(spanIdsOf({ runId: "run-1" })).toEqual({
      traceId: "4e65d3fbe8ad6535681b021b30785b12",
      spanId: "96d9b041d79027f1",
    });
  });

  it("have a readable origin, which no other span has", () => {
    expect(newSpanId("r")).toBe("r:main:0");
    expect(newSpanId("r", "build")).toBe("r:build:1");
    expect(newSpanId("r", "build", 2)).toBe("r:build:3");
    const w3c = (readable: string) => createHash("sha256").update(readable).digest("hex").slice(0, 16);
    expect(spanIdsOf({ runId: "r", taskId: "build", attempt: 2 })).toMatchObject({
      spanId: w3c("r:build:3"),
      parentSpanId: w3c("r:build:1"),
    });
    expect(spanIdsOf({ runId: "r", taskId: "build" }).parentSpanId).toBe(w3c("r:main:0"));
  });

  it("tell run, tasks and attempts apart, each a child of the one above", () => {
    const task = fc.oneof(id, fc.constant("main"));
    fc.assert(
      fc.property(id, fc.uniqueArray(task, { minLength: 2, maxLength: 8 }), (runId, tasks) => {
        const run = spanIdsOf({ runId });
        const spans = new Set([run.spanId]);
        expect(run).not.toHaveProperty("parentSpanId");
        for (const taskId of tasks) {
          const task = spanIdsOf({ runId, taskId });
          expect(task).toMatchObject({ traceId: run.traceId, parentSpanId: run.spanId });
          spans.add(task.spanId);
          for (const attempt of [1, 2, 11]) {
            const ids = spanIdsOf({ runId, taskId, attempt });
            expect(ids).toMatchObject({ traceId: run.traceId, parentSpanId: task.spanId });
            expect(ids).toEqual(spanIdsOf({ attempt, taskId, runId }));
            spans.add(ids.spanId);
          }
        }
        expect(spans.size).toBe(1 + tasks.length * 4);
      }),
    );
  });

  it("differ from run to run", () => {
    fc.assert(
      fc.property(fc.uniqueArray(id, { minLength: 2, maxLength: 2 }), ([a = "", b = ""]) => {
        expect(spanIdsOf({ runId: a }).traceId).not.toBe(spanIdsOf({ runId: b }).traceId);
      }),
    );
  });

  it("make a traceparent as W3C wants it", () => {
    fc.assert(
      fc.property(id, id, fc.nat(), (runId, taskId, attempt) => {
        const ids = spanIdsOf({ runId, taskId, attempt });
        const parent = traceparentOf({ runId, taskId, attempt });
        expect(parent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
        expect(parent).toBe(`00-${ids.traceId}-${ids.spanId}-01`);
        expect(ids.traceId).not.toBe("0".repeat(32));
      }),
    );
  });
});

describe("correlation", () => {
  it("follows the work through awaits, and ends with it", async () => {
    const { withCorrelation, getCurrentContext } = createCorrelation();
    const seen = await withCorrelation({ runId: "outer" }, async () => {
      const inner = withCorrelation({ runId: "inner", taskId: "t", attempt: 2 }, async () => {
        await new Promise((resolve) => setImmediate(resolve));
        return getCurrentContext();
      });
      const here = getCurrentContext();
      return [here, await inner, getCurrentContext()];
    });
    expect(seen).toEqual([{ runId: "outer" }, { runId: "inner", taskId: "t", attempt: 2 }, { runId: "outer" }]);
    expect(getCurrentContext()).toBeUndefined();
  });
});
