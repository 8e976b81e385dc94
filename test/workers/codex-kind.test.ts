import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { foldLines } from "../../src/workers/line-reader.ts";
import { stepBench } from "./step-bench.ts";

const agent = {
  ...{ name: "codex", prompt: "", models: [], thinking: null, tools: null },
  ...{ disallowedTools: [], skills: null, maxTurns: null },
};

/** As Codex 0.169 printed them. */
const RECORDED = [
  `{"type":"thread.started","thread_id":"01a1fcbd-ad27-7e70-9e9c-fa068a21322d"}`,
  `{"type":"item.completed","item":{"id":"item_0","type":"error","message":"Model metadata not found."}}`,
  `{"type":"turn.started"}`,
  `{"type":"item.started","item":{"id":"item_1","type":"command_execution","command":"ls","exit_code":null,"status":"in_progress"}}`,
  `{"type":"item.completed","item":{"id":"item_1","type":"command_execution","command":"ls","exit_code":0,"status":"completed"}}`,
  `{"type":"item.completed","item":{"id":"item_2","type":"agent_message","text":"All done."}}`,
  `{"type":"turn.completed","usage":{"input_tokens":200,"cached_input_tokens":80,"cache_write_input_tokens":5,"output_tokens":14,"reasoning_output_tokens":0}}`,
];

describe("a codex step", () => {
  it("says what to install where there is no codex", async () => {
    const empty = mkdtempSync(join(tmpdir(), "foreman-empty-"));
    onTestFinished(() => rmSync(empty, { recursive: true }));
    const assignment = { prompt: "Do it.", agent };
    const step = await stepBench({ workerKind: "codex", stepKind: "codex", assignment, env: { PATH: empty } });
    const result = await step.run();
    expect(result).toMatchObject({ outcome: "blocked", needsHuman: true, error: { kind: "missing-program" } });
    expect(result.error?.message).toMatch(/^codex is not there\. Install it with `npm install -g @openai\/codex`/);
  });

  it("is understood from the lines it left", () => {
    expect(foldLines("codex", RECORDED.join("\n"))).toMatchObject({
      tokens: { input: 120, output: 14, cacheRead: 80, cacheWrite: 5 },
      lastText: "All done.",
      stopReason: "stop",
      errorMessage: null,
    });
    const error = { message: JSON.stringify({ error: { message: "no such model" } }) };
    const failing = [`{"type":"error","message":"try 1"}`, JSON.stringify({ type: "turn.failed", error })];
    expect(foldLines("codex", failing.join("\n"))).toMatchObject({
      stopReason: "error",
      errorMessage: "no such model",
    });
    // of any other kind nothing is taken
    expect(foldLines("shell", RECORDED.join("\n"))).toMatchObject({ lastText: "", tokens: { input: 0 } });
  });
});
