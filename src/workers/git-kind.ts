import { parseGitCommand } from "../runs/git-command.ts";
import { type CommandEnd, type CommandParts, runCommand, strangeEnd, withOutput } from "./command-process.ts";
import { ELSEWHERE } from "./git.ts";
import { type AttemptKind, emptyResult, type KindContext } from "./kind.ts";
import { failed, type PiVerdict } from "./pi-outcome.ts";
import type { StepRequest } from "./step-contract.ts";

/** Nothing asks, pages or opens an editor; a variable that points git at another repository is taken away. */
const safeEnvironment: Readonly<Record<string, string | null>> = {
  GIT_TERMINAL_PROMPT: "0",
  GIT_EDITOR: "false",
  GIT_SEQUENCE_EDITOR: "false",
  GIT_MERGE_AUTOEDIT: "no",
  GIT_PAGER: "cat",
  GIT_ASKPASS: null,
  SSH_ASKPASS: null,
  ...ELSEWHERE,
};
const safeOptions = ["--no-pager", "-c", "color.ui=false", "-c", "core.askPass="];
const install = "A step of kind git needs it; install git and put it on the path.";

/** Kind `git`: one git command line of the workflow, without a shell. A merge that conflicts is taken back. */
export function createGitKind(parts: CommandParts): AttemptKind {
  return {
    prepare: async () => undefined,
    partial: () => null,
    run: async (request, context) => {
      await context.claimed;
      const parsed = parseGitCommand(request.command);
      if ("problem" in parsed) return { ...emptyResult, ...failed("permanent", "command", parsed.problem) };
      const takesBack = parsed.args[0] === "merge" && !(await isMerging(parts, request, context));
      const staged = takesBack && (await hasStaged(parts, request, context));
      const end = await git(parts, request, context, parsed.args, context.signal);
      const conflict =
        takesBack && end.failure === null && end.code !== 0
          ? await takeBackMerge(parts, request, context, staged)
          : null;
      const verdict = await judge(parts, request, context, { end, name: parsed.args[0] ?? "", conflict });
      return { ...emptyResult, ...verdict, summary: end.stdout || end.output };
    },
  };
}

function git(
  parts: CommandParts,
  { runtime }: StepRequest,
  context: KindContext,
  args: readonly string[],
  signal: AbortSignal,
): Promise<CommandEnd> {
  const order = {
    command: "git",
    args: [...safeOptions, ...args],
    cwd: runtime.worktreePath,
    env: { ...context.environment, ...safeEnvironment },
    stdin: "",
    verbatim: false,
    onStdout: (bytes: Uint8Array) => context.bytes("stdout", bytes),
    onStderr: (bytes: Uint8Array) => context.bytes("stderr", bytes),
  };
  return runCommand(parts, order, signal);
}

async function judge(
  parts: CommandParts,
  request: StepRequest,
  context: KindContext,
  { end, name, conflict }: { end: CommandEnd; name: string; conflict: string | null },
): Promise<PiVerdict> {
  const place = { command: "git", cwd: request.runtime.worktreePath, install, timeoutSec: request.timeoutSec };
  const strange = await strangeEnd(parts, end, place, context.signal);
  if (strange) return strange;
  if (end.code === 0) return { outcome: "completed", failureKind: null, error: null, exitCode: 0 };
  const message = conflict ?? withOutput(`git ${name} exited with ${end.code}`, end.output);
  return { ...failed("permanent", conflict ? "merge-conflict" : "exit", message), exitCode: end.code };
}

/** One that somebody else began: his to end, with all he has resolved. */
async function isMerging(parts: CommandParts, request: StepRequest, context: KindContext): Promise<boolean> {
  const silent = { ...context, bytes: () => undefined };
  return (await git(parts, request, silent, ["rev-parse", "-q", "--verify", "MERGE_HEAD"], context.signal)).code === 0;
}

async function hasStaged(parts: CommandParts, request: StepRequest, context: KindContext): Promise<boolean> {
  const silent = { ...context, bytes: () => undefined };
  return (await git(parts, request, silent, ["diff", "--cached", "--quiet"], context.signal)).code !== 0;
}

/**
 * Also of a merge that was stopped: the work tree is left as it was. `staged`: the user had changes in the index before.
 * The sentence on its conflicts, null without any.
 */
async function takeBackMerge(
  parts: CommandParts,
  request: StepRequest,
  context: KindContext,
  staged: boolean,
): Promise<string | null> {
  const always = new AbortController().signal;
  const silent = { ...context, bytes: () => undefined };
  const unmerged = await git(parts, request, silent, ["diff", "--name-only", "--diff-filter=U"], always);
  const aborted = await git(parts, request, silent, ["merge", "--abort"], always);
  const files = unmerged.stdout.split("\n").filter(Boolean);
  // stopped within a hook it has changed files and index, and not yet noted what it merges
  if (aborted.code !== 0 && !staged) await git(parts, request, silent, ["reset", "-q", "--merge"], always);
  if (files.length === 0) return null;
  const after = aborted.code === 0 ? "the merge was aborted" : "aborting the merge failed, too";
  return `The merge conflicts in ${files.slice(0, 50).join(", ")}; ${after}. Resolve it by hand, or in a step of kind pi.`;
}
