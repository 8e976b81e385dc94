import { describe, expect, it } from "vitest";
import type { NewEvent } from "../../src/events/crew-event.ts";
import { applyEvent } from "../../src/runs/apply-event.ts";
import { initialRunState, type TaskMessage } from "../../src/runs/run-state.ts";
import { mailOf, tellTask, whyUnread } from "../../src/runs/task-message.ts";
import { manifestOf, taskSpec } from "./small-manifest.ts";

const manifest = manifestOf([
  taskSpec("a", { kind: "pi" }),
  taskSpec("b", { kind: "pi" }),
  taskSpec("s", { kind: "shell" }),
]);
const place = { team: "t", role: "r", stepName: "a", workerKind: "pi" as const };
const end = { team: "t", role: "r", taskType: "t", durationMs: 1, attempts: 1, tokens: 0, costUsd: 0 };

/** A run whose log takes everything. */
function bench(redact = (text: string) => text) {
  let state = initialRunState(manifest);
  let seq = 0;
  const put: { folder: string; mail: string[] }[] = [];
  const publish = async (event: NewEvent) => {
    const ids = { traceId: "0".repeat(32), spanId: "0".repeat(16) };
    const placed = { v: 1 as const, seq: ++seq, epoch: 1, ts: seq, runId: manifest.runId, ...ids, ...event };
    state = applyEvent(state, placed);
    return placed;
  };
  const run = {
    manifest,
    publisher: { publish },
    get state() {
      return state;
    },
  };
  const tell = (messageId: string, taskId: string, text = `say ${messageId}`) => {
    const parts = {
      run,
      redact,
      attemptFolder: (task: string, attempt: number) => `${task}/${attempt}`,
      putMail: async (folder: string, mail: readonly TaskMessage[]) => {
        put.push({ folder, mail: mail.map(({ text }) => text) });
      },
    };
    return tellTask(parts, { messageId, taskId, from: "s", text });
  };
  const start = async () => {
    await publish({ type: "crew.run.started", team: "t", workflow: "w" });
    await publish({ type: "crew.task.started", taskId: "a", ...place });
    await publish({
      type: "crew.task.attempt_started",
      taskId: "a",
      attempt: 1,
      workerId: "w",
      workerKind: "pi",
    });
  };
  return { run, put, tell, start, publish, told: () => seq };
}

describe("a message to a task", () => {
  it("is kept until an attempt begins, and handed to the one under way with all before it", async () => {
    const { run, put, tell, start } = bench();
    await tell("1", "a");
    expect(put).toEqual([]);
    await start();
    await tell("2", "a");
    await tell("3", "b");
    expect(put).toEqual([{ folder: "a/1", mail: ["say 1", "say 2"] }]);
    expect(mailOf(run.state, "b").map(({ messageId }) => messageId)).toEqual(["3"]);
  });

  it("is told once, and handed over again by whoever can't know that it was", async () => {
    const { put, tell, start, told } = bench();
    await start();
    await tell("1", "a");
    const before = told();
    await tell("1", "a", "said otherwise");
    expect(told()).toBe(before);
    expect(put.map(({ mail }) => mail)).toEqual([["say 1"], ["say 1"]]);
  });

  it("is in the log without secrets and with an end", async () => {
    const { run, tell } = bench((text) => text.replaceAll("hunter2", "***"));
    await tell("1", "a", `password hunter2 ${"x".repeat(10_000)}`);
    const [message] = mailOf(run.state, "a");
    expect(message?.text).toMatch(/^password \*\*\* x/);
    expect(message?.text).toHaveLength(4000);
  });

  it("is refused with the reason when nobody will read it", async () => {
    const { run, tell, start, publish } = bench();
    await start();
    expect(whyUnread(run, "a")).toBeNull();
    expect(whyUnread(run, "b")).toBeNull();
    expect(whyUnread(run, "zz")).toContain('no task "zz". It has a, b, s.');
    expect(whyUnread(run, "s")).toContain("of kind shell, which reads no messages");
    for (let at = 0; at < 50; at++) await tell(`m${at}`, "b");
    expect(whyUnread(run, "b")).toContain("50 messages");
    expect(whyUnread(run, "a")).toBeNull();
    await publish({ type: "crew.task.completed", taskId: "a", status: "completed", ...end });
    expect(whyUnread(run, "a")).toContain("Task a of run run-1 has already ended: completed");
    await publish({ type: "crew.run.cancelled", status: "cancelled", ...end, workflow: "w", taskCount: 3 });
    expect(whyUnread(run, "b")).toContain("has already ended: cancelled");
  });
});
