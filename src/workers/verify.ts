import { keepEnds } from "../system/safe-text.ts";
import { type CommandParts, endOf, runCommand, shellOrder, strangeEnd, withOutput } from "./command-process.ts";
import type { AttemptKind, KindContext, KindResult } from "./kind.ts";
import { failed, type PiVerdict } from "./pi-outcome.ts";
import type { StepRequest } from "./step-contract.ts";

const workCharsMax = 4000;
const outputCharsMax = 8000;

/**
 * A kind whose work counts only if the step's `verify` command then exits 0. It runs within the attempt, by the same
 * time limit; what it prints goes to stderr.log, since stdout.log is the work's own.
 */
export function withVerify(kind: AttemptKind, parts: CommandParts): AttemptKind {
  let worked: KindResult | null = null;
  return {
    load: async () => await kind.load?.(),
    prepare: (cwd) => kind.prepare(cwd),
    partial: () => worked ?? kind.partial(),
    run: async (request, context) => {
      worked = null;
      const result = await kind.run(request, context);
      if (result.outcome !== "completed" || request.verify === "") return result;
      worked = result;
      await context.claimed;
      return await verified(parts, request, context, result);
    },
  };
}

async function verified(
  parts: CommandParts,
  request: StepRequest,
  context: KindContext,
  result: KindResult,
): Promise<KindResult> {
  const { verify, timeoutSec, runtime } = request;
  const write = (bytes: Uint8Array) => context.bytes("stderr", bytes);
  context.stderr(`[verify: ${verify}]\n`);
  const order = { ...shellOrder(verify), cwd: runtime.worktreePath, env: context.environment, stdin: "" };
  const end = await runCommand(parts, { ...order, onStdout: write, onStderr: write }, context.signal);
  const install = "The step's verify needs it; install it.";
  const strange = await strangeEnd(parts, end, { ...order, install, timeoutSec }, context.signal);
  if (strange === null && end.code === 0) return result;
  const told = `verify (${verify.slice(0, 200)}) exited with ${end.code}`;
  const verdict: PiVerdict = strange ?? {
    ...failed("transient", "verify", withOutput(told, end.output)),
    exitCode: end.code,
  };
  // the next attempt reads it, and an error has less room
  const summary = `${keepEnds(result.summary, workCharsMax)}\n\n${told}:\n${endOf(end.output, outputCharsMax)}`.trim();
  return { ...result, ...verdict, summary: strange === null ? summary : result.summary };
}
