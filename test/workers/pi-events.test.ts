import { describe, expect, it } from "vitest";
import { foldLines } from "../../src/workers/line-reader.ts";
import {
  emptyTally,
  foldPiEvent,
  logLineOf,
  parsePiLine,
  progressOf,
  usageByModel,
} from "../../src/workers/pi-events.ts";

const reply = (fields: Record<string, unknown> = {}) => ({
  role: "assistant",
  provider: "mock",
  model: "m1",
  stopReason: "stop",
  content: [{ type: "text", text: "hi" }],
  usage: { input: 10, output: 2, cacheRead: 3, cacheWrite: 4, cost: { input: 1, output: 1, total: 0.25 } },
  ...fields,
});
const line = (type: string, fields: Record<string, unknown>) => JSON.stringify({ type, ...fields });

describe("the tally of the host's event lines", () => {
  it("counts each reply once, per model, failed tries included", () => {
    const failed = reply({ stopReason: "error", errorMessage: "503", content: [], model: "m2" });
    const tally = foldLines(
      "pi",
      [
        line("session", { id: "x" }),
        line("message_end", { message: { role: "user", content: "no", usage: { input: 99 } } }),
        line("message_end", { message: reply() }),
        line("turn_end", { message: reply(), toolResults: [] }),
        line("agent_end", { messages: [reply()] }),
        line("auto_retry_start", { attempt: 1 }),
        line("message_end", { message: failed }),
        '{"type":"message_end","mess', // torn
      ].join("\n"),
    );
    expect(tally).toMatchObject({
      tokens: { input: 20, output: 4, cacheRead: 6, cacheWrite: 8 },
      costUsd: 0.5,
      turns: 1,
      hostRetries: 1,
    });
    expect(tally).toMatchObject({
      lastText: "hi",
      answered: false,
      lastModel: "mock/m2",
      stopReason: "error",
      errorMessage: "503",
    });
    expect(Object.keys(tally.byModel)).toEqual(["mock/m1", "mock/m2"]);
    expect(tally.byModel["mock/m1"]).toMatchObject({ costUsd: 0.25, replies: 1 });
  });

  it("takes nothing from lines that are not what they seem", () => {
    const strange = [
      "",
      "plain",
      "[]",
      "{}",
      '{"type":5}',
      '{"type":"message_end","message":null}',
      line("message_end", {
        message: reply({ usage: { input: "7", output: -1, cost: { total: Number.NaN } }, content: "text" }),
      }),
    ];
    const tally = strange.map(parsePiLine).reduce((sum, event) => (event ? foldPiEvent(sum, event) : sum), emptyTally);
    expect(tally).toMatchObject({ tokens: { input: 0, output: 0 }, costUsd: 0, lastText: "text" });
  });

  it("attributes usage to each model, in the order of use", () => {
    const tally = foldLines(
      "pi",
      ["m1", "m2", "m1"].map((model) => line("message_end", { message: reply({ model }) })).join("\n"),
    );
    expect(usageByModel(tally)).toEqual([
      { model: "mock/m1", tokens: { input: 20, output: 4, cacheRead: 6, cacheWrite: 8 }, costUsd: 0.5 },
      { model: "mock/m2", tokens: { input: 10, output: 2, cacheRead: 3, cacheWrite: 4 }, costUsd: 0.25 },
    ]);
  });

  it("logs each fact once, its type in front, and nothing that is partial", () => {
    const big = "x".repeat(50_000);
    const logged = (type: string, fields: Record<string, unknown>) => logLineOf({ type, ...fields });
    for (const type of [
      "tool_execution_update",
      "message_update",
      "message_start",
      "turn_start",
      "something_new",
      "constructor",
    ])
      expect(logged(type, { partialResult: big, message: reply() }), type).toBeNull();
    expect(logged("turn_end", { message: reply(), toolResults: [big] })).toBe('{"type":"turn_end"}');
    expect(logged("agent_end", { messages: [reply()] })).toBe('{"type":"agent_end"}');
    expect(
      logLineOf({ toolName: "bash", result: big, toolCallId: "c", isError: false, type: "tool_execution_end" }),
    ).toBe('{"type":"tool_execution_end","toolCallId":"c","toolName":"bash","isError":false}');
    expect(parsePiLine(logged("message_end", { message: reply() }) ?? "")).toEqual({
      type: "message_end",
      message: reply(),
    });
  });

  it("does not parse what says nothing here", () => {
    expect(parsePiLine(line("tool_execution_update", { partialResult: "x" }))).toBeNull();
    expect(parsePiLine(line("turn_end", {}))).toBeNull();
  });

  it("hands words on whole: they are cut when their secrets are masked", () => {
    const text = "y".repeat(3000);
    expect(progressOf({ type: "message_end", message: reply({ content: text }) })?.progress.text).toBe(text);
  });

  it("shows tools and words", () => {
    const shown = (type: string, fields: Record<string, unknown>) => progressOf({ type, ...fields });
    expect(shown("tool_execution_start", { toolName: "bash", toolCallId: "c1" })).toEqual({
      progress: { tool: "bash", toolStatus: "running" },
      toolCallId: "c1",
    });
    expect(shown("tool_execution_end", { toolName: "bash", toolCallId: "c1", isError: true })?.progress).toEqual({
      tool: "bash",
      toolStatus: "error",
    });
    expect(shown("message_end", { message: reply() })).toEqual({ progress: { text: "hi" }, toolCallId: null });
    expect(shown("turn_start", {})).toBeNull();
  });
});
