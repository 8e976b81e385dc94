import { UserError } from "../system/errors.ts";
import { numberOf } from "./command-checkpoint.ts";
import { followToEnd } from "./command-run.ts";
import type { Command } from "./commands.ts";
import { type RedriveTarget, redriveTask } from "./redrive.ts";
import { resumeRun } from "./resume-run.ts";
import { splitWords } from "./words.ts";

/** `/team-resume [run]`: the newest run when none is named. */
export const resumeCommand: Command = async (call) => {
  const { active, said } = await resumeRun(call.session, call.args);
  return followToEnd(call, active, said);
};

/** `/team-redrive <dead letter | run task> [--model provider/id] [--prompt "…"] [--checkpoint <n> [--yes]]` */
export const redriveCommand: Command = async (call) => {
  const { words, options, flags } = splitWords(call.args, ["model", "prompt", "checkpoint"], ["yes"]);
  const number = options.get("checkpoint");
  const changes = {
    model: options.get("model") ?? null,
    prompt: options.get("prompt") ?? null,
    begin: number === undefined ? null : { seq: numberOf(number), agreed: flags.has("yes") },
  };
  const { active, said } = await redriveTask(call.session, targetOf(words), changes);
  return followToEnd(call, active, said);
};

function targetOf([first, second, ...more]: readonly string[]): RedriveTarget {
  if (first !== undefined && second === undefined) return { deadLetterId: first };
  if (first !== undefined && second !== undefined && more.length === 0) return { run: first, taskId: second };
  throw new UserError(
    "usage",
    'Usage: /team-redrive <dead letter | run task> [--model provider/id] [--prompt "…"] [--checkpoint <n>]. /team-deadletters lists the dead letters.',
  );
}
