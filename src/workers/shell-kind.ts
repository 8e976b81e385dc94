import { type CommandParts, runCommand, shellOrder, strangeEnd, withOutput } from "./command-process.ts";
import { type AttemptKind, emptyResult } from "./kind.ts";
import { blocked, failed, type PiVerdict } from "./pi-outcome.ts";

/** The exit codes of POSIX shells for a program that can't be run, and one that is not there. */
const notExecutable = 126;
const notFound = 127;

/** Kind `shell`: a command line of the workflow, whose exit code is the outcome. Its output is the step's. */
export function createShellKind(parts: CommandParts): AttemptKind {
  return {
    prepare: async () => undefined,
    partial: () => null,
    run: async (request, context) => {
      await context.claimed;
      const { timeoutSec, command, runtime } = request;
      const order = {
        ...shellOrder(command),
        cwd: runtime.worktreePath,
        env: context.environment,
        stdin: "",
        onStdout: (bytes: Uint8Array) => context.bytes("stdout", bytes),
        onStderr: (bytes: Uint8Array) => context.bytes("stderr", bytes),
      };
      const end = await runCommand(parts, order, context.signal);
      const install = "A step of kind shell needs it; install it, or use another kind.";
      const verdict =
        (await strangeEnd(
          parts,
          end,
          { command: order.command, cwd: order.cwd, install, timeoutSec },
          context.signal,
        )) ?? judgeExit(end.code ?? 0, end.output);
      return { ...emptyResult, ...verdict, summary: end.stdout || end.output };
    },
  };
}

function judgeExit(code: number, output: string): PiVerdict {
  if (code === 0) return { outcome: "completed", failureKind: null, error: null, exitCode: 0 };
  if (code === notFound)
    return { ...blocked("missing-program", withOutput("A program is missing; install it", output)), exitCode: code };
  // who turned retries on for a command knows that it can be run again
  const kind = code === notExecutable ? "permanent" : "transient";
  return { ...failed(kind, "exit", withOutput(`The command exited with ${code}`, output)), exitCode: code };
}
