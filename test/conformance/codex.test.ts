import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { lineReaderOf } from "../../src/workers/line-reader.ts";
import { HOW_TO_GET_JUDGES, judgePath } from "../support/install-judges.ts";
import { expectGone, processesVisible, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import {
  type ResponsesReply,
  type ResponsesServer,
  responseUsage,
  startResponsesServer,
} from "../support/responses-server.ts";
import { type StepBench, stepBench } from "../workers/step-bench.ts";

const codex = judgePath("codex");
const agent = {
  ...{ name: "coder", prompt: "You are CODER.", models: ["anthropic/other", "openai/mock-1"], thinking: null },
  ...{ tools: null, disallowedTools: [], skills: null, maxTurns: null },
};

/** The real Codex CLI with a home of its own, whose provider is the loopback server. */
async function bench(...replies: ResponsesReply[]): Promise<{ step: StepBench; server: ResponsesServer }> {
  const server = await startResponsesServer(...replies);
  const home = mkdtempSync(join(tmpdir(), "foreman-codex-"));
  onTestFinished(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  });
  const provider = `name = "mock"\nbase_url = "${server.url}"\nwire_api = "responses"\nenv_key = "MOCK_KEY"\n`;
  const once = "request_max_retries = 0\nstream_max_retries = 0\n";
  writeFileSync(join(home, "config.toml"), `model_provider = "mock"\n[model_providers.mock]\n${provider}${once}`);
  const env = {
    CODEX_HOME: home,
    MOCK_KEY: "x",
    PATH: [dirname(codex ?? ""), process.env["PATH"]].join(delimiter),
  };
  const assignment = { prompt: "Make the file.", agent };
  return { step: await stepBench({ workerKind: "codex", stepKind: "codex", assignment, env }), server };
}

describe.skipIf(codex === null)(`the Codex CLI (${codex ?? HOW_TO_GET_JUDGES})`, { timeout: 60_000 }, () => {
  it("does a step: its words, tools and tokens are taken", async () => {
    const { step, server } = await bench(
      { tool: "exec_command", args: { cmd: "echo made > made.txt; echo $FOREMAN_WORKER", login: false } },
      { text: "Made it.\n\nFOLLOW-UP: test it" },
    );
    const result = await step.run();
    expect(result).toMatchObject({ ok: true, suggestedFollowup: "test it" });
    expect(result.summary).toMatch(/^Made it\./);
    expect(result.metadata).toMatchObject({ model: "codex/mock-1", exitCode: 0 });
    const { input, cached, output } = responseUsage;
    const tokens = { input: 2 * (input - cached), output: 2 * output, cacheRead: 2 * cached, cacheWrite: 0 };
    expect(result.metrics.tokens).toEqual(tokens);
    expect(result.metrics.usage).toEqual([{ model: "codex/mock-1", tokens, costUsd: 0 }]);
    expect(readFileSync(join(step.work, "made.txt"), "utf8")).toBe("made\n");
    expect(server.requests[0]).toMatchObject({ model: "mock-1" });
    expect(JSON.stringify(server.requests[0]?.["input"])).toContain("You are CODER.\\n\\nMake the file.");
    // what the tool printed reached the model: what it starts carries the attempt's tag
    expect(JSON.stringify(server.requests[1]?.["input"])).toContain(step.workerId);

    const reader = lineReaderOf("codex");
    const lines = `${await step.log("stdout")}`.split("\n");
    const shown = lines.flatMap((line) => {
      const event = reader?.parse(line);
      return (event && reader?.progressOf(event)?.progress) ?? [];
    });
    expect(shown).toMatchObject([
      { tool: "command_execution", toolStatus: "running" },
      { tool: "command_execution", toolStatus: "ok" },
      { text: expect.stringContaining("Made it.") },
    ]);
  });

  it("fails as its provider does, with the provider's words", async () => {
    const { step } = await bench({ status: 400, error: "no such model here" });
    const result = await step.run();
    expect(result).toMatchObject({ outcome: "failed", failureKind: "permanent" });
    expect(result.error).toEqual({ kind: "model-request", message: "no such model here" });
  });

  it.skipIf(!processesVisible)("ends with its attempt, and leaves nothing behind", async () => {
    const { step, server } = await bench({ stall: true });
    const cancel = new AbortController();
    const done = step.run(cancel.signal);
    await waitUntil(() => server.requests.length > 0);
    cancel.abort();
    expect(await done).toMatchObject({ attemptOutcome: "cancelled" });
    await expectGone(() => processesWithEnvironment("FOREMAN_WORKER", step.workerId));
  });
});
