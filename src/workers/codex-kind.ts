import { foldCodexEvent, parseCodexLine } from "./codex-events.ts";
import { type CommandEnd, type CommandParts, runCommand, strangeEnd, withOutput } from "./command-process.ts";
import { type AttemptKind, emptyResult, type KindResult } from "./kind.ts";
import { LineSplitter } from "./line-splitter.ts";
import { emptyTally, type PiTally } from "./pi-events.ts";
import { failed, failureKindOf, followUpOf, judgeWords, type PiVerdict } from "./pi-outcome.ts";
import type { StepRequest } from "./step-contract.ts";

const install = "Install it with `npm install -g @openai/codex` and log in with `codex login`, or use another kind.";

/** Kind `codex`: one turn of the Codex CLI, which may write within the work folder and asks nobody. */
export function createCodexKind(parts: CommandParts): AttemptKind {
  let partial: KindResult | null = null;
  return {
    prepare: async () => undefined,
    partial: () => partial,
    run: async (request, context) => {
      await context.claimed;
      const { assignment, runtime, timeoutSec } = request;
      if (!assignment)
        return { ...emptyResult, ...failed("permanent", "request", "A step of kind codex needs a task.") };
      const model = modelOf(assignment.agent.models);
      const lines = new LineSplitter();
      let tally: PiTally = emptyTally;
      const order = {
        command: process.platform === "win32" ? "codex.cmd" : "codex",
        args: argumentsOf(runtime.worktreePath, model),
        cwd: runtime.worktreePath,
        env: context.environment,
        stdin: [assignment.agent.prompt, assignment.prompt].filter((text) => text !== "").join("\n\n"),
        verbatim: false,
        onStdout: (bytes: Uint8Array) => {
          context.bytes("stdout", bytes);
          for (const line of lines.push(bytes)) {
            const event = parseCodexLine(line);
            if (event) tally = foldCodexEvent(tally, event);
          }
          partial = resultOf(tally, model, failed("transient", "worker-crashed", "Codex did not come to an end."));
        },
        onStderr: (bytes: Uint8Array) => context.bytes("stderr", bytes),
      };
      const end = await runCommand(parts, order, context.signal);
      partial = null;
      const place = { command: "codex", cwd: order.cwd, install, timeoutSec };
      const verdict = (await strangeEnd(parts, end, place, context.signal)) ?? judge(end, tally);
      return resultOf(tally, model, verdict);
    },
  };
}

function argumentsOf(cwd: string, model: string | null): string[] {
  const options = ["--json", "--skip-git-repo-check", "--sandbox", "workspace-write", "--color", "never"];
  return ["exec", ...options, "-C", cwd, ...(model === null ? [] : ["-m", model]), "-"];
}

/** Codex has models of its own; of what an agent names, only OpenAI's can be meant for it. */
function modelOf(models: StepModels): string | null {
  const named = models.find((model) => /^(openai|openai-codex|codex)\/(?!default$)/.test(model));
  return named === undefined ? null : named.slice(named.indexOf("/") + 1);
}

type StepModels = NonNullable<StepRequest["assignment"]>["agent"]["models"];

function judge(end: CommandEnd, tally: PiTally): PiVerdict {
  const exitCode = end.code;
  if (tally.stopReason === "error" || (end.code !== 0 && tally.errorMessage !== null)) {
    const message = tally.errorMessage ?? "unknown error";
    return { ...failed(failureKindOf(message), "model-request", message), exitCode };
  }
  if (end.code !== 0)
    return { ...failed("permanent", "exit", withOutput(`Codex exited with ${end.code}`, end.output)), exitCode };
  if (!tally.answered) return { ...failed("transient", "no-answer", "Codex ended without an answer."), exitCode };
  return judgeWords(tally.lastText);
}

/** What it cost is not told. */
function resultOf(tally: PiTally, model: string | null, verdict: PiVerdict): KindResult {
  const { tokens, lastText } = tally;
  const used = Object.values(tokens).some((count) => count > 0);
  const name = `codex/${model ?? "default"}`;
  return {
    ...emptyResult,
    ...verdict,
    summary: lastText,
    model: tally.turns > 0 ? name : null,
    tokens,
    usage: used ? [{ model: name, tokens, costUsd: 0 }] : [],
    suggestedFollowup: followUpOf(lastText),
  };
}
